"""What a backup of one tenant takes among many, beside `pg_dump -n` of the same; and whether a restore is exact.

python -m benchmarks.tenancy_backup [--tenants N] [--rounds N]

On a server of its own with so many tenants. One of them has a dataset with records and history. It is backed up to a
file by us and dumped to a file by the server's own pg_dump, in turns; ours runs in this process, and pg_dump's start is
in its time, which is some hundredths of a second. Ours holds, beyond what a dump has, the values to verify it by.

The last line is one JSON object: `ratio_backup` is ours by theirs at the median, `restore_differences` how many tables
or sequences of a restore differ from the backup, `…_ms` the times.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.imports_ground import Ground, open_ground

if TYPE_CHECKING:
    from core.embedded import EmbeddedServer
    from tenants.models import Tenant

SLUG = "measured"
RECORDS = 1000
GOAL = 1 / 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with open_ground() as ground:
        set_up(ground)
        tenant = many_tenants(asked.tenants)
        found = measure(tenant, ground.server, rounds=asked.rounds)
        for name, value in found.items():
            sys.stdout.write(f"{name:24} {value:,.3f}\n")
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()  # removing the files of so many tenants takes longer than all of it


def set_up(ground: Ground) -> None:
    """Let this process be the platform on the ground's server, migrated."""
    os.environ.update(ground.environment, DJANGO_SETTINGS_MODULE="rowhouse.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "platform"))
    import django  # noqa: PLC0415 -- after the settings

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 -- after the settings
    from django.core.management.commands.migrate import Command as Migrate  # noqa: PLC0415 -- after the settings

    call_command(Migrate(), interactive=False, verbosity=0)


def many_tenants(number: int) -> Tenant:
    """Provision so many tenants, and return the one that is measured, with records in it."""
    measured = measured_tenant()
    for at in range(1, number):
        _provision(f"other-{at}")
        if (at + 1) % 100 == 0:
            sys.stderr.write(f"{at + 1} tenants\n")
    return measured


def measured_tenant() -> Tenant:
    """Provision the tenant that is measured, with records in it."""
    tenant = _provision(SLUG)
    _fill(tenant)
    return tenant


def _provision(slug: str) -> Tenant:
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    tenant = request_tenant(slug=slug, name=slug, owner_email=f"owner@{slug}.example", provision_now=True)
    provision_tenant(tenant=tenant, owner_password="not used by anybody")
    return tenant


def _fill(tenant: Tenant) -> None:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings

    columns = [NewColumn("id", "integer"), NewColumn("name", "text"), NewColumn("amount", "decimal")]
    with in_tenant(tenant.ref), connection.cursor() as cursor:
        spec = create_dataset(title="Orders", columns=columns, key=["id"], by=None).spec()
        names = ", ".join(column.name for column in spec.columns)
        cursor.execute(
            f"INSERT INTO {spec.table} ({names}) SELECT n, 'order ' || n, n / 7.0 FROM generate_series(1, %s) n",
            [RECORDS],
        )


def measure(tenant: Tenant, server: EmbeddedServer, *, rounds: int = 7) -> dict[str, float]:
    """Back a tenant up and dump it, in turns, and restore one backup on trial; times in milliseconds."""
    from tenants.backup import services  # noqa: PLC0415 -- after the settings
    from tenants.models import Tenant as Row  # noqa: PLC0415 -- after the settings

    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        ours_to, theirs_to = Path(name) / "ours.backup", Path(name) / "theirs.sql"
        dump = [
            str(server.program("pg_dump")), "--dbname", server.url(), "--schema", tenant.schema_name,
            "--file", str(theirs_to),
        ]  # fmt: skip

        def back_up() -> None:
            services.back_up_to_file(tenant=tenant, path=ours_to)

        def pg_dump() -> None:
            subprocess.run(dump, check=True)

        for act in (back_up, pg_dump):  # nobody pays for a cold cache
            act()
        for _ in range(rounds):
            ours.append(_milliseconds(back_up))
            theirs.append(_milliseconds(pg_dump))
        found = services.find_backup(str(ours_to))
        verified: Any = None

        def verify() -> None:
            nonlocal verified
            verified = services.verify_backup(found=found)

        restore = _milliseconds(verify)
        size, dumped = ours_to.stat().st_size, theirs_to.stat().st_size
    return {
        "ratio_backup": statistics.median(ours) / statistics.median(theirs),
        "goal_backup": GOAL,
        "backup_ms": statistics.median(ours),
        "pg_dump_ms": statistics.median(theirs),
        "backup_kb": size / 1024,
        "pg_dump_kb": dumped / 1024,
        "restore_and_compare_ms": restore,
        "restore_differences": len(verified.findings),
        "restore_rows": verified.contents.rows,
        "tenants": Row.objects.exclude(state=Row.State.DELETED).count(),
    }


def _milliseconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
