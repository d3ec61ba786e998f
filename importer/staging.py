"""The tables of one import job: what was read (`stg_`), what was refused in SQL (`bad_`), what will change (`diff_`).

All three are UNLOGGED: a crash of the database empties them, which the row counts kept on the job show.
They lie in the tenant's schema and are dropped when the job has ended.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from core.clock import now
from datasets.columntypes import type_of
from datasets.spec import ColumnSpec
from importer.models import STAGED, ImportJob, State

PREFIXES = ("stg", "bad", "diff")
FAILED_KEPT = timedelta(days=7)


def staging_table(job_id: int) -> str:
    return f"stg_{job_id}"


def refused_table(job_id: int) -> str:
    return f"bad_{job_id}"


def plan_table(job_id: int) -> str:
    return f"diff_{job_id}"


def quoted(names: Iterable[str], prefix: str = "") -> str:
    """Return the names as a list for SQL, each with the prefix ("s.") before it."""
    return ", ".join(f"{prefix}{connection.ops.quote_name(name)}" for name in names)


def create(job_id: int, columns: Sequence[ColumnSpec]) -> None:
    """Create the empty staging table with these columns of the dataset and forget a former one."""
    drop(job_id)
    fields = "".join(
        f", {connection.ops.quote_name(column.name)} {type_of(column).sql_type(column)}" for column in columns
    )
    with connection.cursor() as cursor:
        # It is written once, in row order, and read whole: autovacuum has nothing to do here.
        cursor.execute(
            f"CREATE UNLOGGED TABLE {staging_table(job_id)} (rn bigint NOT NULL{fields})"
            " WITH (autovacuum_enabled = off)"
        )


def drop(job_id: int) -> None:
    """Drop the job's tables, those that are there."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS " + ", ".join(f"{prefix}_{job_id}" for prefix in PREFIXES))


def copy_sql(job_id: int, columns: Sequence[ColumnSpec]) -> str:
    """Return the COPY statement that takes what `Validator.check` stages."""
    names = quoted(["rn", *(column.name for column in columns)])
    return f"COPY {staging_table(job_id)} ({names}) FROM STDIN (FORMAT csv)"


def copy(cursor: Any, sql: str, data: bytes) -> None:
    """Send CSV bytes to a COPY statement. `cursor` is the driver's own, so a thread may hold it."""
    if data:
        cursor.copy_expert(sql, io.BytesIO(data))


def is_whole(job: ImportJob) -> bool:
    """Return whether the staging table still holds every row the job counted into it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [staging_table(job.pk)])
        if cursor.fetchone()[0] is None:
            return False
        cursor.execute(f"SELECT count(*) FROM {staging_table(job.pk)}")
        return bool(cursor.fetchone()[0] == job.staged_rows)


def sweep() -> list[str]:
    """Drop the tables of jobs that have ended or are gone; return their names.

    Those of a failed import are kept for a while: its merge can be started again.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename ~ %s",
            [f"^({'|'.join(PREFIXES)})_[0-9]+$"],
        )
        tables = {name: int(re.sub(r"\D", "", name)) for (name,) in cursor.fetchall()}
    recently_failed = Q(state=State.IMPORT_FAILED, ended_at__gt=now() - FAILED_KEPT)
    needed = set(
        ImportJob.objects.filter(
            Q(state__in=STAGED) | recently_failed, pk__in=set(tables.values())
        ).values_list("pk", flat=True)
    )
    orphans = sorted(name for name, job_id in tables.items() if job_id not in needed)
    if orphans:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS " + ", ".join(orphans))
    return orphans
