"""Schemas of tenants as the migrations leave them, without running all of them for each tenant of a test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg2
from django.conf import settings
from django.db import connection

from core.embedded import EmbeddedServer
from core.tenancy import TenantRef
from tenants import services

_dumps: dict[str, tuple[str, str]] = {}  # of each database: a schema's name, and the SQL that makes it


def make_schema(tenant: TenantRef) -> None:
    """Make a tenant's schema: the first of a database by its migrations, the others from a dump of that one.

    Every step of provision_tenant() may run again, and finds nothing left to migrate. Rendering the models of
    sixty migrations takes two seconds, a dump is replayed in a fifth of one. Without a pg_dump it does nothing.
    """
    services.make_schema(tenant)
    if _pg_dump() is None:
        return
    database = str(connection.settings_dict["NAME"])
    if database not in _dumps:
        services.migrate_schema(tenant)
        _dumps[database] = (tenant.schema, dump(tenant.schema, "--no-privileges"))
        return
    schema, statements = _dumps[database]
    link = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    try:
        with link, link.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {tenant.schema}")
            cursor.execute(re.sub(rf"\b{re.escape(schema)}\b", tenant.schema, statements))
    finally:
        link.close()
    services.make_schema(tenant)


def dump(schema: str, *options: str) -> str:
    """Return the SQL that makes the schema again, as pg_dump says it with these further options."""
    database = connection.settings_dict
    program = _pg_dump()
    assert program, "There is no pg_dump."
    done = subprocess.run(
        [
            program, "--schema", schema, "--no-owner", "--inserts", "--host", str(database["HOST"]), "--port",
            str(database["PORT"] or 5432), "--username", str(database["USER"]), *options, str(database["NAME"]),
        ],
        env={**os.environ, "PGPASSWORD": str(database["PASSWORD"] or "")},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.M)  # they speak to psql


def _pg_dump() -> Path | None:
    """Return the embedded server's own, or for a given database the one on PATH."""
    if not settings.DATABASE_URL:
        return EmbeddedServer(settings.ROWHOUSE_DATA / "postgres").program("pg_dump")
    found = shutil.which("pg_dump")
    return Path(found) if found else None
