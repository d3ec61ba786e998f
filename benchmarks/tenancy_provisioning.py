"""Provisioning and migrating against what they replace: a restored dump, and django-tenants' own executor.

    python -m benchmarks.tenancy_provisioning --tenants 1000

Provisioning is the whole service: schema, roles, owner, audit, the tenant let in. Its peer is `psql -1` restoring
`pg_dump` of the template, which makes a schema without roles and rights, and nothing else. A migration (two fields, an
index, one constraint for another) is done by django-tenants' executor in a few tenants and by us in the others. One run
of ours is killed with SIGKILL at a random tenant, and begun again. Medians, peers interleaved, everything on one server
of the benchmark's own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
BY_DJANGO_TENANTS = 5


@contextmanager
def open_server() -> Iterator[EmbeddedServer]:
    """Start a server, set Django up on it and migrate; once per process. All of it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rowhouse-tenancy-"))
    server = EmbeddedServer(folder / "postgres")
    try:
        server.start()
        os.environ |= {
            "DATABASE_URL": server.url(),
            "DJANGO_SETTINGS_MODULE": "benchmarks.tenancy_settings",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
            "ROWHOUSE_DATA": str(folder / "data"),
            "ROWHOUSE_EXTRA_APPS": "importer.examples.stock",
            "ROWHOUSE_LOG_LEVEL": "ERROR",
            "ROWHOUSE_SPARE_SCHEMAS": "0",
        }
        import django  # noqa: PLC0415 -- after the environment
        from django.db import connections  # noqa: PLC0415 -- likewise

        django.setup()
        _run("migrate_tenants")
        yield server
        connections.close_all()
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def measure(server: EmbeddedServer, tenants: int, *, seed: int = 1) -> dict[str, float]:
    """Return every figure by its name. Needs a server as `open_server` gives it; takes minutes for 1,000 tenants."""
    chance = random.Random(seed)
    figures = _provisioning(server)
    figures |= _growth(tenants, few_seconds=figures["provision_cold_few_seconds"])
    figures |= _checking(tenants)
    figures |= _migrating(chance)
    return figures


# ---- provisioning


def _provisioning(server: EmbeddedServer) -> dict[str, float]:
    from tenants import spares  # noqa: PLC0415 -- after the settings
    from tenants.models import Tenant  # noqa: PLC0415 -- likewise

    _provision("first")  # loads what only the first needs
    restored, cold, warm = [], [], []
    dump = _dump(server)
    for number in range(ROUNDS):
        restored.append(_restore(server, dump, f"t_restored{number:04}"))
        cold.append(_provision(f"cold-{number}"))
        spares.make_one()
        warm.append(_provision(f"warm-{number}"))
    for number in range(ROUNDS):
        _sql(f"DROP SCHEMA t_restored{number:04} CASCADE")
    base = statistics.median(restored)
    schemas = [Tenant.objects.get(slug=slug).schema_name for slug in ("cold-0", "warm-0")]
    return {
        "restore_seconds": base,
        "provision_cold_few_seconds": statistics.median(cold),
        "ratio_provision_cold": statistics.median(cold) / base,
        "ratio_provision_warm": statistics.median(warm) / base,
        "catalog_differences": float(_differences(schemas)),
    }


def _differences(schemas: list[str]) -> int:
    """Return in how much schemas differ from one that the migrations made."""
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from core.tenancy import TenantRef  # noqa: PLC0415 -- likewise
    from tenants.catalog import differences  # noqa: PLC0415 -- likewise
    from tenants.services import migrate_schema  # noqa: PLC0415 -- likewise
    from tenants.template import create_schema, drop_schema  # noqa: PLC0415 -- likewise

    migrated = "t_migratedhere"
    with connection.cursor() as cursor:
        create_schema(cursor, migrated)
        migrate_schema(TenantRef(migrated, "migrated"))
        found = [one for schema in schemas for one in differences(cursor, migrated, schema, rights=True)]
        drop_schema(cursor, migrated)
    for one in found:
        print(one, file=sys.stderr)
    return len(found)


def _growth(tenants: int, *, few_seconds: float) -> dict[str, float]:
    from tenants.models import Tenant  # noqa: PLC0415 -- after the settings

    for number in range(Tenant.objects.count(), tenants - ROUNDS):
        _provision(f"more-{number}")
    many = [_provision(f"last-{number}") for number in range(ROUNDS)]
    return {
        "ratio_cold_growth": statistics.median(many) / few_seconds,
        "tenants": float(Tenant.objects.count()),
    }


def _provision(slug: str) -> float:
    """Provision a tenant, and return the seconds from when it was asked for."""
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    tenant = request_tenant(slug=slug, name=slug, owner_email=f"owner@{slug}.example", provision_now=True)
    return _timed(lambda: provision_tenant(tenant=tenant))


def _dump(server: EmbeddedServer) -> tuple[str, str]:
    from tenants.template import ensure  # noqa: PLC0415 -- after the settings

    schema = ensure().schema_name
    done = subprocess.run(
        [str(server.program("pg_dump")), "--dbname", server.url(), "--schema", schema, "--no-owner", "--no-privileges"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return schema, done.stdout


def _restore(server: EmbeddedServer, dump: tuple[str, str], schema: str) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(dump[1].replace(dump[0], schema))
        file.flush()
        words = [
            str(server.program("psql")),
            "--dbname",
            server.url(),
            "-1",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-o",
            "/dev/null",
            "-f",
            file.name,
        ]
        return _timed(lambda: subprocess.run(words, check=True, stdin=subprocess.DEVNULL))


# ---- migrating


def _checking(tenants: int) -> dict[str, float]:
    from tenants.fanout import PUBLIC, tenants_to_migrate  # noqa: PLC0415 -- after the settings
    from tenants.planning import behind  # noqa: PLC0415 -- likewise

    schemas = [PUBLIC, *tenants_to_migrate()]
    seconds = statistics.median(_timed(lambda: behind(schemas)) for _ in range(3))
    command = _timed(lambda: _run("migrate_tenants", "--check"))
    return {"check_seconds": seconds, f"check_{tenants}_seconds": seconds, "check_command_seconds": command}


def _migrating(chance: random.Random) -> dict[str, float]:
    from django.conf import settings  # noqa: PLC0415 -- after the settings
    from django.db import connection  # noqa: PLC0415 -- likewise

    from tenants.catalog import differences  # noqa: PLC0415 -- likewise
    from tenants.fanout import tenants_to_migrate  # noqa: PLC0415 -- likewise
    from tenants.models import MigrationOutcome  # noqa: PLC0415 -- likewise
    from tenants.planning import behind  # noqa: PLC0415 -- likewise

    settings.MIGRATION_MODULES = {**settings.MIGRATION_MODULES, "stock": "benchmarks.tenancy_migrations"}
    schemas = list(tenants_to_migrate())
    theirs = []
    for schema in schemas[-BY_DJANGO_TENANTS:]:
        started = time.perf_counter()
        _by_django_tenants(schema)
        theirs.append(time.perf_counter() - started)
    # As late as it can be, so that tenants of every age are migrated by either run.
    killed_at = chance.randint(1, max(1, len(schemas) - 2 * BY_DJANGO_TENANTS))
    _killed_run(killed_at)
    done = MigrationOutcome.objects.count()
    before = len(behind(schemas))
    whole = before + done + BY_DJANGO_TENANTS == len(schemas)
    started = time.perf_counter()
    _run("migrate_tenants", TENANCY_AFTER="1")
    rest = time.perf_counter() - started
    left = len(behind(schemas))
    with connection.cursor() as cursor:
        unlike = [
            one
            for schema in {schemas[0], schemas[done - 1], schemas[done], chance.choice(schemas)}
            for one in differences(cursor, schemas[-1], schema, rights=True)
        ]
    ours = [one.seconds for one in MigrationOutcome.objects.filter(state="REPLAYED")]
    return {
        "migrate_django_tenants_seconds": statistics.median(theirs),
        "migrate_seconds": statistics.median(ours),
        "ratio_migrate": statistics.median(ours) / statistics.median(theirs),
        "ratio_migrate_whole_run": rest / max(1, before) / statistics.median(theirs),
        "migrate_not_replayed": float(MigrationOutcome.objects.exclude(state="REPLAYED").count()),
        "killed_after_tenants": float(done),
        "killed_half_migrated": float(not whole),
        "left_after_resume": float(left),
        "migrate_differences": float(len(unlike)),
    }


def _by_django_tenants(schema: str) -> None:
    from django_tenants.migration_executors.base import run_migrations  # noqa: PLC0415 -- after the settings

    from core.tenancy import leave_tenant  # noqa: PLC0415 -- likewise

    no = (
        "interactive",
        "fake",
        "fake_initial",
        "plan",
        "check_unapplied",
        "run_syncdb",
        "prune",
        "traceback",
    )
    options: dict[str, Any] = dict.fromkeys([*no, "no_color", "force_color"], False)
    options |= dict.fromkeys(["app_label", "migration_name", "settings", "pythonpath"])
    options |= {"verbosity": 0, "database": "default", "skip_checks": True}
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        run_migrations([], options | {"stdout": nowhere}, "standard", schema, allow_atomic=False)
    leave_tenant()


def _killed_run(after: int) -> None:
    """Run the command and kill it once it has migrated so many tenants."""
    from tenants.models import MigrationOutcome  # noqa: PLC0415 -- after the settings

    process = subprocess.Popen(
        [sys.executable, "-m", "rowhouse", "migrate_tenants"],
        env=os.environ | {"TENANCY_AFTER": "1"}, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while MigrationOutcome.objects.count() < after and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # The server ends what it had begun when it sees that nobody listens; its locks go with it.
    _sql(
        "SELECT pg_advisory_lock(hashtext('tenants.migrate')), pg_advisory_unlock(hashtext('tenants.migrate'))"
    )


# ---- small things


def _timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _run(*command: str, **more: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "rowhouse", *command],
        env=os.environ | more, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _sql(statement: str) -> None:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute(statement)


def main() -> None:
    """Measure, print a table, and as the last line a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.tenants < 4 * ROUNDS:
        parser.error(f"at least {4 * ROUNDS} tenants")
    with open_server() as server:
        figures = measure(server, options.tenants, seed=options.seed)
    for name, value in figures.items():
        print(f"{name:<34} {value:>12.4f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
