"""Probes, metrics and lines of a real web and a real worker."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import own_database
from tests.watched import ROWHOUSE, Watched, get, until, watched


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings: None) -> Iterator[Watched]:
    with own_database() as url, watched(url, tmp_path_factory.mktemp("watched")) as stack:
        stack.command(
            "provision_tenant", "acme", "--admin", "ann@acme.example", "--password", "correct horse 9"
        )
        stack.start_web()
        yield stack


def metrics(port: int) -> str:
    status, headers, body = get(port, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    return body.decode()


def value(told: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", told, re.M)
    assert found, f"{series} is not in:\n{told}"
    return float(found[1])


def test_probes_answer_for_any_host(stack):
    assert get(stack.web_port, "/healthz")[::2] == (200, b"ok\n")
    assert get(stack.web_port, "/readyz", host="10.244.0.17:8000")[::2] == (200, b'{"ready": true}')


def test_metrics_are_not_told_on_the_webs_own_port(stack):
    for host in ("10.1.2.3", "localhost", "acme.localhost"):
        assert get(stack.web_port, "/metrics", host=host)[0] == 404


def test_requests_of_all_processes_are_counted_by_view_and_class(stack):
    for _ in range(8):
        assert get(stack.web_port, "/admin/login/", host="acme.localhost")[0] == 200
    get(stack.web_port, "/admin/login/", host="nobody.localhost")
    told = metrics(stack.metrics_port)
    assert value(told, 'rowhouse_requests_total{method="GET",status="2xx",view="admin:login"}') >= 8
    assert value(told, 'rowhouse_requests_total{method="GET",status="4xx",view="none"}') >= 1
    assert value(told, 'rowhouse_request_seconds_count{view="admin:login"}') >= 8
    assert value(told, "rowhouse_requests_in_progress") == 0
    assert value(told, 'rowhouse_tenants{state="active"}') == 1
    assert "localhost" not in told


def test_a_request_keeps_its_number_from_the_header_to_the_line_and_back(stack):
    path = "/admin/login/?next=/admin/secret-of-mine/"
    _, headers, _ = get(stack.web_port, path, host="acme.localhost", **{"X-Request-ID": "abcd-1234-efgh"})
    assert headers["X-Request-ID"] == "abcd-1234-efgh"
    line = until(
        lambda: next((one for one in stack.lines("web") if one.get("request_id") == "abcd-1234-efgh"), None)
    )
    assert {name: line[name] for name in ("event", "tenant", "view", "method", "path", "host", "status")} == {
        "event": "request", "tenant": "acme", "view": "admin:login", "method": "GET", "path": "/admin/login/",
        "host": "acme.localhost", "status": 200,
    }  # fmt: skip
    assert "secret-of-mine" not in stack.log("web")


def test_a_number_that_is_none_is_replaced(stack):
    given = "x" * 200
    _, headers, _ = get(stack.web_port, "/admin/login/", host="acme.localhost", **{"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-ID"])


def test_probes_write_no_lines(stack):
    get(stack.web_port, "/healthz")
    _, headers, _ = get(stack.web_port, "/admin/login/", host="acme.localhost")
    until(lambda: headers["X-Request-ID"] in stack.log("web"))
    assert "/healthz" not in stack.log("web")


def test_a_replaced_process_goes_on_being_counted(stack):
    before = value(metrics(stack.metrics_port), 'rowhouse_request_seconds_count{view="admin:login"}')
    get(stack.web_port, "/admin/login/", host="acme.localhost")
    boots = len(re.findall("Booting worker", stack.log("web")))
    stack.processes["web"].send_signal(signal.SIGHUP)  # all are replaced
    until(lambda: len(re.findall("Booting worker", stack.log("web"))) >= boots + 2)
    until(lambda: get(stack.web_port, "/healthz")[0] == 200)
    get(stack.web_port, "/admin/login/", host="acme.localhost")
    folder = next((Path(stack.environment["ROWHOUSE_DATA"]) / "run" / "metrics").glob("web-*"))

    def files() -> set[str]:
        told = metrics(stack.metrics_port)
        assert value(told, 'rowhouse_request_seconds_count{view="admin:login"}') == before + 2
        return {file.name for file in folder.glob("counter_*.db")}

    until(lambda: "counter_0.db" in files() and len(files()) <= 3)


def test_a_worker_tells_what_it_did_and_that_it_lives(stack):
    port = stack.start("worker", *ROWHOUSE, "worker", "--workers", "1")
    stack.sql("UPDATE jobs_tenantshare SET next_hour_at = now() - interval '1 minute' WHERE state = 'ACTIVE'")

    def done() -> bool:
        try:
            told = metrics(port)
        except OSError:
            return False
        return 'rowhouse_jobs_ended_total{kind="rowhouse.measure",state="DONE"}' in told

    until(done, lambda: stack.log("worker"))
    told = metrics(port)
    assert value(told, 'rowhouse_slices_total{kind="rowhouse.measure",outcome="committed"}') == 1
    assert value(told, 'rowhouse_slice_seconds_count{kind="rowhouse.measure"}') == 1
    assert stack.sql("SELECT processes FROM jobs_workersign") == [(1,)]
    assert stack.stop("worker") == 0
    assert stack.sql("SELECT count(*) FROM jobs_workersign") == [(0,)]


def test_ready_says_what_is_missing(stack):
    stack.sql("CREATE TABLE aside AS TABLE public.django_migrations")
    other = Watched(
        stack.url, stack.folder / "other", {**stack.environment, "ROWHOUSE_DATA": str(stack.folder / "o")}
    )
    other.folder.mkdir()
    stack.sql("DELETE FROM public.django_migrations WHERE app = 'jobs' AND name = '0006_worker_signs'")
    try:
        other.start_web()
        status, _, body = get(other.web_port, "/readyz")
        assert (status, b'"reason": "migrations"' in body) == (503, True)
    finally:
        stack.sql(
            "INSERT INTO public.django_migrations SELECT * FROM aside WHERE id NOT IN"
            " (SELECT id FROM public.django_migrations)", "DROP TABLE aside",
        )  # fmt: skip
        until(lambda: get(other.web_port, "/readyz")[0] == 200)
        other.stop("web")


def test_told_to_end_a_web_answers_on_and_is_not_ready(stack):
    other = Watched(
        stack.url, stack.folder / "left", {**stack.environment, "ROWHOUSE_DATA": str(stack.folder / "l")}
    )
    other.folder.mkdir()
    other.start_web(ROWHOUSE_WEB_DRAIN_SECONDS="6")
    other.processes["web"].send_signal(signal.SIGTERM)
    until(lambda: get(other.web_port, "/readyz")[0] == 503)
    assert b'"reason": "draining"' in get(other.web_port, "/readyz")[2]
    assert get(other.web_port, "/admin/login/", host="acme.localhost")[0] == 200
    assert other.processes.pop("web").wait(60) == 0


def test_a_database_that_hangs_does_not_hang_the_probe(stack):
    """It takes connections and says nothing, as one behind a broken network does."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/nothing"
        other = Watched(
            url, stack.folder / "mute",
            {**stack.environment, "DATABASE_URL": url, "ROWHOUSE_DATA": str(stack.folder / "m")},
        )  # fmt: skip
        other.folder.mkdir()
        other.start_web()
        for _ in range(5):
            status, _, body = get(other.web_port, "/readyz")
            assert (status, b'"reason": "database"' in body) == (503, True)
        assert get(other.web_port, "/healthz")[0] == 200
        told = metrics(other.metrics_port)
        assert "rowhouse_queue_age_seconds" not in told
        assert 'rowhouse_collection_errors_total{figure="clock"} ' in told
        other.stop("web")


def test_production_answers_probes_in_plain_http(stack, tmp_path):
    other = Watched(
        stack.url, tmp_path,
        {**stack.environment, "ROWHOUSE_DATA": str(tmp_path / "data"),
         "ROWHOUSE_PRODUCTION": "true", "ROWHOUSE_SECRET_KEY": "a1b2c3d4e5" * 6},
    )  # fmt: skip
    (tmp_path / "data" / "static").mkdir(parents=True)
    other.start_web()
    assert get(other.web_port, "/healthz")[0] == 200
    assert get(other.web_port, "/readyz")[0] == 200
    assert get(other.web_port, "/admin/login/", host="acme.localhost")[0] == 301
    other.stop("web")
