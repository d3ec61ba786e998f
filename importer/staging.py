"""The tables of one import job: what was read (`stg_`), the keys of rejected rows (`keys_`), where in the file the
chunks stand (`at_`), what was refused in SQL (`bad_`), what will change (`diff_`).

All are UNLOGGED: a crash of the database empties them, which the row counts kept on the job show.
They lie in the tenant's schema and are dropped when the job has ended.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from core.clock import now
from core.tenancy import as_owner
from datasets import sqltext
from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.spec import ColumnSpec
from importer.models import STAGED, ImportJob, State

PREFIXES = ("stg", "keys", "at", "bad", "diff")
FAILED_KEPT = timedelta(days=7)
SAMPLE = 20  # statistics target: so many times 300 rows are looked at


def staging_table(job_id: int) -> str:
    return f"stg_{job_id}"


def keys_table(job_id: int) -> str:
    return f"keys_{job_id}"


def places_table(job_id: int) -> str:
    return f"at_{job_id}"


def refused_table(job_id: int) -> str:
    return f"bad_{job_id}"


def plan_table(job_id: int) -> str:
    return f"diff_{job_id}"


quoted = sqltext.quoted


def use_memory(cursor: Any) -> None:
    """Let this transaction's sorts and hashes have what a merge may have, rather than temporary files."""
    for memory in ("work_mem", "maintenance_work_mem"):
        cursor.execute(f"SET LOCAL {memory} = '{int(settings.ROWHOUSE_MERGE_MEMORY_MB)}MB'")


@as_owner()
def analyze(table: str, names: Sequence[str]) -> None:
    """Let the planner know of a table of a job what little it needs to: a sample of a few thousand rows says it."""
    with connection.cursor() as cursor:
        targets = ", ".join(f"ALTER {quoted([name])} SET STATISTICS {SAMPLE}" for name in names)
        cursor.execute(f"ALTER TABLE {table} {targets}")
        cursor.execute(f"ANALYZE {table} ({quoted(names)})")


def same_key(key: Sequence[str], left: str, right: str) -> str:
    """Return the condition that two tables' rows have one key; without a key no row is the same as another."""
    names = [connection.ops.quote_name(name) for name in key]
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names) or "false"


@as_owner()
def create(job_id: int, columns: Sequence[ColumnSpec], key: Sequence[ColumnSpec]) -> None:
    """Create the empty tables for staged rows and for the keys of rejected ones, and forget former ones."""
    drop(job_id)
    with connection.cursor() as cursor:
        # They are written once, in row order, and read whole: autovacuum has nothing to do here.
        for table, fields in ((staging_table(job_id), columns), (keys_table(job_id), key)):
            cursor.execute(
                f"CREATE UNLOGGED TABLE {table} (rn bigint NOT NULL{_fields(fields)})"
                " WITH (autovacuum_enabled = off)"
            )
        cursor.execute(
            f"CREATE UNLOGGED TABLE {places_table(job_id)} (first_row bigint, end_row bigint, first_line bigint,"
            " end_line bigint, begin_offset bigint, begin_line bigint, begin_row bigint, data_offset bigint,"
            " data_length bigint)"
        )


def _fields(columns: Sequence[ColumnSpec]) -> str:
    quote = connection.ops.quote_name
    return "".join(f", {quote(column.name)} {type_of(column).sql_type(column)}" for column in columns)


@as_owner()
def drop(job_id: int) -> None:
    """Drop the job's tables, those that are there."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS " + ", ".join(f"{prefix}_{job_id}" for prefix in PREFIXES))


def copy_sql(table: str, columns: Sequence[ColumnSpec], delimiter: str = ",", quote: str = '"') -> str:
    """Return the COPY statement that takes row numbers and the values of columns as CSV."""
    names = quoted(["rn", *(column.name for column in columns)])
    marks = f"DELIMITER {sql_literal(delimiter)}, QUOTE {sql_literal(quote)}"
    return f"COPY {table} ({names}) FROM STDIN (FORMAT csv, {marks})"


def copy(cursor: Any, sql: str, data: bytes) -> int:
    """Send CSV bytes to a COPY statement; return how many rows it took.

    :param cursor: the driver's own, so a thread may hold it.
    """
    if not data:
        return 0
    cursor.copy_expert(sql, io.BytesIO(data), size=len(data))
    return int(cursor.rowcount)


def is_whole(job: ImportJob) -> bool:
    """Return whether the staging table holds every row the job counted into it. It reads the table."""
    if job.is_same:
        return True
    if not is_there(job):
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {staging_table(job.pk)}), (SELECT count(*) FROM {keys_table(job.pk)})"
        )
        return bool(cursor.fetchone() == (job.staged_rows, kept_keys(job)))


def is_kept(job: ImportJob) -> bool:
    """Return whether a staging table that was whole is so still: a crash empties it, and loses no single row."""
    if job.is_same:
        return True
    if not is_there(job):
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {staging_table(job.pk)}), EXISTS (SELECT FROM {keys_table(job.pk)})"
        )
        return bool(cursor.fetchone() == (job.staged_rows > 0, kept_keys(job) > 0))


def kept_keys(job: ImportJob) -> int:
    """Return of how many rejected rows the key is kept. Without a key there is none to keep."""
    return int(job.rejected_rows - job.head["keyless"]) if "keyless" in job.head else 0


def is_there(job: ImportJob) -> bool:
    """Return whether the job has its tables, as this release makes them."""
    return exist(staging_table(job.pk), keys_table(job.pk))


def can_go_on(job: ImportJob) -> bool:
    """Return whether the job has all tables that staging fills: an earlier release made fewer."""
    return exist(staging_table(job.pk), keys_table(job.pk), places_table(job.pk))


def exist(*tables: str) -> bool:
    """Return whether all of these tables are in the tenant's schema."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s) name", [list(tables)])
        return bool(cursor.fetchone()[0])


@as_owner()
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
