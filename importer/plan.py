"""What an import would do, worked out in SQL from the staging table: refusals first, then the plan itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from core import clock
from datasets.columntypes import type_of
from datasets.spec import ColumnSpec, DatasetSpec
from importer.models import ImportJob, Mode
from importer.staging import plan_table, quoted, refused_table, staging_table

LONGEST_TRANSACTION = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records the plan creates and changes."""

    created: int
    updated: int


def find_refusals(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> int:
    """Fill the table of refused rows; return how many rows it names.

    Repeated keys: the first row wins. A unique value that another record holds is refused even if the file
    takes it from that record, so that the merge never depends on the order of its rows.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        # The rows lie in the order of rn: a BRIN index costs next to nothing and serves the pages.
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {staging_table(job.pk)}_rn ON {staging_table(job.pk)} USING brin (rn)"
        )
        cursor.execute(f"ANALYZE {staging_table(job.pk)} ({quoted(['rn', *spec.key])})")
        cursor.execute(f"DROP TABLE IF EXISTS {refused_table(job.pk)}")
        cursor.execute(
            f"CREATE UNLOGGED TABLE {refused_table(job.pk)}"
            " (rn bigint, code text, label text, value text, rule text) WITH (autovacuum_enabled = off)"
        )
        for sql, parameters in _refusals(job, spec, columns):
            cursor.execute(sql, parameters)
        cursor.execute(f"SELECT count(DISTINCT rn) FROM {refused_table(job.pk)}")
        return int(cursor.fetchone()[0])


def _refusals(
    job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]
) -> list[tuple[str, list[str]]]:
    key, staged, refused, table = spec.key_columns, staging_table(job.pk), refused_table(job.pk), spec.table
    into = f"INSERT INTO {refused} SELECT s.rn, %s, %s, left({_text(key)}, 200), "
    label = ", ".join(column.label for column in key)
    is_same_key = _same(spec.key, "t", "s")
    statements = []
    if key:
        repeated = (
            f"WITH r AS (SELECT {quoted(spec.key)}, min(rn) AS first FROM {staged}"
            f" GROUP BY {quoted(spec.key)} HAVING count(*) > 1) "
            + into
            + f"'The key is that of row ' || r.first || ' already; the first row counts.'"
            f" FROM {staged} s JOIN r ON {_same(spec.key, 'r', 's')} WHERE s.rn > r.first",
            ["primary-key", label],
        )
        statements.append(repeated)
    if job.mode == Mode.INSERT:
        statements.append(
            (
                into + "'A record with this key exists, and this import only adds records.'"
                f" FROM {staged} s JOIN {table} t ON {is_same_key}",
                ["primary-key", label],
            )
        )
    if job.mode == Mode.UPDATE:
        statements.append(
            (
                into + "'No record has this key, and this import only changes records.'"
                f" FROM {staged} s LEFT JOIN {table} t ON {is_same_key} WHERE t.id IS NULL",
                ["primary-key", label],
            )
        )
    for column in columns:
        if column.is_unique and spec.key != (column.name,):
            statements += _unique_refusals(column, spec, staged, refused)
    return statements


def _unique_refusals(
    column: ColumnSpec, spec: DatasetSpec, staged: str, refused: str
) -> list[tuple[str, list[str]]]:
    name = connection.ops.quote_name(column.name)
    into = f"INSERT INTO {refused} SELECT s.rn, %s, %s, left({_text([column])}, 200), "
    is_left = f"NOT EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)"
    return [
        (
            f"WITH r AS (SELECT {name}, min(rn) AS first FROM {staged} s WHERE {is_left} AND {name} IS NOT NULL"
            f" GROUP BY {name} HAVING count(*) > 1) "
            + into
            + f"'The value is that of row ' || r.first || ' already; it must be unique.'"
            f" FROM {staged} s JOIN r ON r.{name} = s.{name} WHERE s.rn > r.first AND {is_left}",
            ["constraint-error", column.label],
        ),
        (
            into + "'Another record has this value; it must be unique.'"
            f" FROM {staged} s JOIN {spec.table} t ON t.{name} = s.{name}"
            f" WHERE NOT ({_same(spec.key, 't', 's')}) AND {is_left}",
            ["constraint-error", column.label],
        ),
    ]


def remove_refused(job: ImportJob) -> int:
    """Take the refused rows out of the staging table, forget the list of them and return how many they were."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {staging_table(job.pk)} s WHERE EXISTS"
            f" (SELECT FROM {refused_table(job.pk)} b WHERE b.rn = s.rn)"
        )
        removed = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {refused_table(job.pk)}")
    return removed


def make(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> tuple[Counts, str]:
    """Write the plan; return its counts and the snapshot it saw."""
    table = plan_table(job.pk)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute("SELECT pg_current_snapshot()::text")
        snapshot = str(cursor.fetchone()[0])
        cursor.execute(
            f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = off) AS {_plan_sql(job, spec, columns)}"
        )
        cursor.execute(
            f"SELECT count(*) FILTER (WHERE op = '+'), count(*) FILTER (WHERE op = '~') FROM {table}"
        )
        created, updated = cursor.fetchone()
    return Counts(created, updated), snapshot


def drift(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> int:
    """Return how many rows would be treated differently if the plan were made now.

    The version (xmin) of each record to change is part of the plan, so a record edited since counts even
    if the file would change it still.
    """
    if not _is_touched(job, spec):
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(
            f"SELECT count(*) FROM ({_plan_sql(job, spec, columns)}) n FULL JOIN {plan_table(job.pk)} d USING (rn)"
            " WHERE (n.id, n.op, n.seen::text) IS DISTINCT FROM (d.id, d.op, d.seen::text)"
        )
        return int(cursor.fetchone()[0])


def _is_touched(job: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether history has an entry the plan may not have seen. Cheap, and never a wrong no.

    Every change leaves an entry with its transaction's number. Those below the snapshot's xmin were over when
    the plan was made. The date keeps the search to the index's last pages; no transaction lasts a day here.
    An old plan counts as touched: entries may have been pruned.
    """
    assert job.previewed_at is not None
    if clock.now() - job.previewed_at > LONGEST_TRANSACTION:
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {spec.history_table} WHERE history_date > %s"
            " AND history_xid >= pg_snapshot_xmin(%s::pg_snapshot))",
            [job.previewed_at - LONGEST_TRANSACTION, job.snapshot],
        )
        return bool(cursor.fetchone()[0])


def is_in_key_order(job: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether the file's rows come in the key's order, as far as statistics tell. Only speed hangs on it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT correlation FROM pg_stats WHERE schemaname = current_schema()"
            " AND tablename = %s AND attname = %s",
            [staging_table(job.pk), spec.key[0] if spec.key else "rn"],
        )
        found = cursor.fetchone()
        return bool(found and found[0] is not None and found[0] > 0.99)


def _plan_sql(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> str:
    others = [column.name for column in columns if column.name not in spec.key]
    # Columns the file does not have keep their values, so only those it has are compared.
    is_changed = f"({quoted(others, 's.')}) IS DISTINCT FROM ({quoted(others, 't.')})"
    if not others:
        is_changed = "false"
    elif len(others) == 1:
        is_changed = f"{quoted(others, 's.')} IS DISTINCT FROM {quoted(others, 't.')}"
    return (
        "SELECT s.rn, t.id, (CASE WHEN t.id IS NULL THEN '+' ELSE '~' END)::\"char\" AS op, t.xmin AS seen"
        f" FROM {staging_table(job.pk)} s LEFT JOIN {spec.table} t ON {_same(spec.key, 't', 's')}"
        f" WHERE t.id IS NULL OR {is_changed}"
    )


def _same(key: Sequence[str], left: str, right: str) -> str:
    names = [connection.ops.quote_name(name) for name in key]
    # Without a key no row is ever the same as another.
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names) or "false"


def _text(columns: Sequence[ColumnSpec]) -> str:
    texts = [type_of(column).text_sql(f"s.{connection.ops.quote_name(column.name)}") for column in columns]
    return "concat_ws(', ', " + ", ".join(texts) + ")"
