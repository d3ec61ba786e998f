"""What pg_dump says of a schema."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from django.conf import settings
from django.db import connection

from core.embedded import EmbeddedServer


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
