"""Each alert stays quiet in an installation that is well, and fires on its cause; the dashboard's queries have data.

A real web and worker, scraped by a real Prometheus that is in a hurry: it looks every second, and at seconds where it
would look at minutes. What must hold for long is asked of promtool, which makes time of its own (alerts.test.yaml).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Thread

import psycopg2
import pytest

from tests.conftest import own_database
from tests.source import ROOT
from tests.watched import (
    ALERTS,
    DASHBOARD,
    ROWHOUSE,
    Prometheus,
    Watched,
    get,
    programs,
    prometheus,
    until,
    watched,
)

ACME = "(SELECT schema_name FROM tenants_tenant WHERE slug = 'acme')"
ACME_ID = "(SELECT id FROM tenants_tenant WHERE slug = 'acme')"
JOB = (
    "INSERT INTO jobs_job (schema, slug, kind, target, payload, priority, state, step, cursor, processed, busy_seconds,"
    " attempts, cancel_requested, error_code, error, not_before, finished_at) SELECT"
    f" {ACME}, 'acme', 'importer.tidy', '%s', '{{}}', 100, '%s', 0, '{{}}', 0, 0, 0, false, '', '', %s, %s"
)
BACKUP = (
    f"INSERT INTO tenants_tenantbackup (tenant_id, trigger, state, asked_by, finished_at, key, path, bytes, rows,"
    f" tables, sha256, is_sealed, version, taken_at, verified_at, verdict, findings, error_code, error)"
    f" SELECT {ACME_ID},"
    " 'MANUAL', 'SUCCEEDED', '', now(), 'k', '', 1, 1, 1, 'x', false, '', now() - interval '%s', %s, '%s', '', '', ''"
)
SKEWED = (
    "CREATE SCHEMA wrong",
    "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
    " $$SELECT pg_catalog.clock_timestamp() + interval '1 hour'$$",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = wrong, pg_catalog, public', current_database());"
    " END $$",
)

LIMIT_CONNECTIONS = (
    "DO $$ BEGIN EXECUTE (SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', datname, {}) FROM pg_database"
    " WHERE datname = current_database()); END $$"
)
# One cause after the other, in one installation: the first needs the worker that the second takes away.
CAUSES: dict[str, tuple[str, ...] | str] = {
    "RowhouseNoWorker": "stop the worker",
    "RowhouseQueueOld": (JOB % ("old", "QUEUED", "now() - interval '1 hour'", "NULL"),),
    "RowhouseJobsFailed": (JOB % ("bad", "FAILED", "now()", "now()"),),
    "RowhouseExportLate": (
        "UPDATE tenants_tenant SET created_at = now() - interval '3 hours'",
        "DELETE FROM jobs_job WHERE kind = 'exporter.run'",
    ),
    "RowhouseScheduleStands": ("UPDATE jobs_tenantshare SET next_hour_at = now() - interval '1 hour'",),
    "RowhouseBackupOld": (BACKUP % ("3 days", "NULL", ""),),
    "RowhouseDrillFailed": (BACKUP % ("3 days", "now()", "BAD"),),
    "RowhouseDrillOld": ("UPDATE tenants_tenantbackup SET verified_at = now() - interval '20 days'",),
    "RowhouseQuotaNearlyReached": (
        f"INSERT INTO tenants_tenantlimits (tenant_id, rows) SELECT {ACME_ID}, 10",
        "INSERT INTO tenants_tenantfigures (tenant_id, rows, datasets, users, database_bytes, file_bytes, measured_at)"
        f" SELECT {ACME_ID}, 10, 1, 1, 1, 1, now() ON CONFLICT (tenant_id) DO UPDATE SET rows = 10",
    ),
    "RowhouseMigrationsBehind": ("DELETE FROM django_migrations WHERE name = '0006_worker_signs'",),
    "RowhouseConnectionsNearlyUsedUp": "use up the connections",
    "RowhouseErrorRate": "break a page",
    "RowhouseSlow": "hold a lock",
    "RowhouseClockSkew": (*SKEWED, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE application_name = 'rowhouse-metrics' AND datname = current_database()"),
    "RowhouseFiguresMissing": ("ALTER TABLE tenants_tenantfigures RENAME TO elsewhere",),
}  # fmt: skip


def alert_names() -> list[str]:
    return re.findall(r"- alert: (\w+)", ALERTS.read_text())


def test_every_alert_has_a_cause_here():
    assert sorted(CAUSES) == sorted(alert_names())


@pytest.fixture(scope="module")
def tools() -> tuple[str, str]:
    found = programs()
    if found is None:
        pytest.skip("no Prometheus: Debian's could not be installed")
    return found


def test_promtool_understands_the_rules(tools):
    done = subprocess.run(
        [tools[1], "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alert_names())} rules found" in done.stdout


def test_alerts_wait_as_long_as_they_say(tools):
    done = subprocess.run(
        [tools[1], "test", "rules", str(Path(__file__).with_name("alerts.test.yaml"))],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def stack(tmp_path: Path, django_db_modify_db_settings: None) -> Iterator[Watched]:
    with own_database() as url, watched(url, tmp_path, ROWHOUSE_METRICS_SECONDS="1") as stack:
        stack.command(
            "provision_tenant", "acme", "--admin", "ann@acme.example", "--password", "correct horse 9"
        )
        stack.command("measure_tenants")
        yield stack


def page(stack: Watched, path: str = "/admin/login/", session: str = "a") -> int:
    cookie = {"Cookie": f"sessionid={session * 32}"}
    return get(stack.web_port, path, host="acme.localhost", **cookie)[0]


def with_worker(stack: Watched) -> int:
    """Start the worker, and have it do the hour's work at once."""
    stack.sql("UPDATE jobs_tenantshare SET next_hour_at = now() - interval '1 minute' WHERE state = 'ACTIVE'")
    return stack.start("worker", *ROWHOUSE, "worker", "--workers", "1")


@contextmanager
def caused(stack: Watched, name: str) -> Iterator[None]:
    """Do what an alert is for; what would keep the others from their turn ends with the block."""
    schema = stack.sql(f"SELECT {ACME}")[0][0]
    match CAUSES[name]:
        case "stop the worker":
            assert stack.stop("worker") == 0
            yield
        case "break a page":
            stack.sql(f"ALTER TABLE {schema}.django_session RENAME TO aside")
            assert [page(stack, "/admin/") for _ in range(20)] == [500] * 20
            yield
            stack.sql(f"ALTER TABLE {schema}.aside RENAME TO django_session")
        case "hold a lock":
            with psycopg2.connect(stack.url) as link, link.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {schema}.django_session")
                threads = [Thread(target=page, args=(stack, "/admin/", "b")) for _ in range(6)]
                for thread in threads:
                    thread.start()
                threads[0].join(6)
            for thread in threads:
                thread.join()
            yield
        case "use up the connections":
            links = [psycopg2.connect(stack.url) for _ in range(12)]
            with links[0].cursor() as cursor:
                cursor.execute(LIMIT_CONNECTIONS.format("pg_stat_get_db_numbackends(oid)"))
                links[0].commit()
                yield
                cursor.execute(LIMIT_CONNECTIONS.format("-1"))
                links[0].commit()
            for link in links:
                link.close()
        case statements:
            stack.sql(*statements)
            yield


def fires(watcher: Prometheus, name: str, stack: Watched) -> None:
    """Wait until an alert calls somebody."""
    until(
        lambda: name in watcher.firing(),
        lambda: f"{name}: {watcher.firing()}\n{get(stack.metrics_port, '/metrics')[2].decode()}",
    )


@pytest.mark.slow
def test_each_alert_fires_on_its_cause_and_not_before(stack, tools, tmp_path):
    stack.start_web()
    worker = with_worker(stack)
    until(lambda: stack.sql("SELECT 1 FROM jobs_job WHERE kind = 'exporter.run' AND state = 'DONE'"))
    with prometheus(tmp_path / "prometheus", [stack.metrics_port, worker]) as watcher:
        until(lambda: watcher.query("rowhouse_workers_alive offset 5s == 1"))
        # A series that is new has no rate yet: the slow ones come later.
        assert (page(stack), page(stack, "/admin/")) == (200, 302)
        until(lambda: watcher.query('rowhouse_request_seconds_count{view="admin:index"} offset 2s'))
        assert watcher.firing() == set()
        for name in CAUSES:
            assert name not in watcher.firing()
            with caused(stack, name):
                fires(watcher, name, stack)


def test_a_failed_job_calls_somebody_and_the_dashboard_has_data(stack, tools, tmp_path):
    """The shorter form: one alert from its cause to its call, and all of the dashboard."""
    stack.start_web()
    worker = with_worker(stack)
    stack.sql(f"INSERT INTO tenants_tenantlimits (tenant_id, rows) SELECT {ACME_ID}, 1000")
    with prometheus(tmp_path / "prometheus", [stack.metrics_port, worker]) as watcher:
        until(lambda: watcher.query("rowhouse_workers_alive == 1"), lambda: stack.log("web"))
        assert "RowhouseJobsFailed" not in watcher.firing()
        stack.sql(
            JOB % ("sad", "FAILED", "now()", "now()"),
            JOB % ("later", "QUEUED", "now() + interval '1 hour'", "NULL"),
        )
        until(lambda: "RowhouseJobsFailed" in watcher.firing(), lambda: str(watcher.firing()))
        waiting = [query for query in queries() if "tenant_queue_age" in query]
        rest = [query for query in queries() if query not in waiting]
        until(lambda: all_answered(stack, watcher, rest), lambda: f"no data: {rest}")
        assert stack.stop("worker") == 0
        stack.sql(JOB % ("old", "QUEUED", "now() - interval '1 hour'", "NULL"))
        until(lambda: all_answered(stack, watcher, waiting), lambda: f"no data: {waiting}")


def queries() -> list[str]:
    """Return what the dashboard asks for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        target["expr"].replace("$__rate_interval", "20s") for panel in panels for target in panel["targets"]
    ]


def all_answered(stack: Watched, watcher: Prometheus, rest: list[str]) -> bool:
    """Take those off the list that have data by now, and return whether none is left."""
    page(stack)
    stack.sql(JOB % (token_hex(4), "QUEUED", "now()", "NULL"))  # a rate needs something that goes on
    for query in list(rest):
        if any(series["value"][1] != "NaN" for series in watcher.query(query)):
            rest.remove(query)
    return not rest
