"""Rows that only the whole file, or the records there are, can refuse: found in SQL, in one pass over staged rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection

from datasets.checks import CODE, SHOWN_VALUE, check_sql, read_columns, rule_of
from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.ddl import default_sql
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec
from importer.models import ImportJob, Mode
from importer.staging import keys_table, quoted, refused_table, same_key, staging_table, use_memory

type Statement = tuple[str, list[str]]


@dataclass(frozen=True, slots=True)
class Staged:
    """A job's staged rows beside their dataset. `kept` are the columns in which an empty cell keeps the value.

    Without `has_table` they are for a plain model, whose records are nothing to compare with in SQL.
    """

    job: ImportJob
    spec: DatasetSpec
    columns: tuple[ColumnSpec, ...]
    kept: frozenset[str] = frozenset()
    has_table: bool = True


def find_refusals(staged: Staged) -> int:
    """Fill the table of refused rows; return how many rows it names.

    Repeated keys: the first row wins. A unique value that another record holds is refused even if the file
    takes it from that record, so that the merge never depends on the order of its rows; unless the file makes
    that record go, which happens first.
    """
    pk, spec = staged.job.pk, staged.spec
    table, refused = staging_table(pk), refused_table(pk)
    with connection.cursor() as cursor:
        use_memory(cursor)
        # The rows lie in the order of rn: a BRIN index costs next to nothing and serves the pages.
        cursor.execute(f"CREATE INDEX IF NOT EXISTS {table}_rn ON {table} USING brin (rn)")
        cursor.execute(f"ANALYZE {table} ({quoted(['rn', *spec.key])})")
        cursor.execute(f"DROP TABLE IF EXISTS {refused}")
        cursor.execute(
            f"CREATE UNLOGGED TABLE {refused} (rn bigint, code text, label text, value text, rule text,"
            " first bigint, first_line bigint) WITH (autovacuum_enabled = off)"
        )
        cursor.execute(
            "SET LOCAL enable_hashagg = off"
        )  # sorting finds repetitions in three quarters of the time
        for sql, parameters in _refusals(staged):
            cursor.execute(sql, parameters)
        cursor.execute("SET LOCAL enable_hashagg = DEFAULT")
        cursor.execute(f"SELECT count(DISTINCT rn) FROM {refused}")
        found = int(cursor.fetchone()[0])
        if found:
            cursor.execute(f"CREATE INDEX ON {refused} (rn)")
            cursor.execute(f"CREATE INDEX ON {refused} (first)")
        return found


def remove_refused(staged: Staged) -> int:
    """Take the refused rows out of the staging table, forget the list of them and return how many they were.

    Their keys are kept: a record whose row was refused is not missing from the file.
    """
    pk, key = staged.job.pk, staged.spec.key
    table, refused = staging_table(pk), refused_table(pk)
    is_refused = f"EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)"
    with connection.cursor() as cursor:
        if key:
            cursor.execute(
                f"INSERT INTO {keys_table(pk)} (rn, {quoted(key)}) SELECT s.rn, {quoted(key, 's.')}"
                f" FROM {table} s WHERE {is_refused}"
            )
        cursor.execute(f"DELETE FROM {table} s WHERE {is_refused}")
        removed = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {refused}")
    return removed


def _refusals(staged: Staged) -> Iterator[Statement]:
    spec = staged.spec
    # First what a row breaks by itself: it takes no key and no value from a later one.
    for check in spec.checks:
        yield _broken_check(staged, check)
    if spec.key:
        yield _repeated_keys(staged)
    if not staged.has_table:
        return
    if staged.job.mode == Mode.INSERT and spec.key:
        yield _by_key(
            staged, "A record with this key exists, and this import only adds records.", exists=True
        )
    if staged.job.mode == Mode.UPDATE:
        yield _by_key(staged, "No record has this key, and this import only changes records.", exists=False)
    for column in staged.columns:
        if column.name in staged.kept and column.must_be_given:
            yield _without_value(staged, column)
        if column.is_unique and spec.key != (column.name,):
            yield from _repeated_values(staged, column)
            yield _values_of_others(staged, column)


def _into(staged: Staged, columns: Sequence[ColumnSpec]) -> str:
    return f"INSERT INTO {refused_table(staged.job.pk)} SELECT s.rn, %s, %s, left({_text(columns)}, 200), "


def _broken_check(staged: Staged, check: CheckSpec) -> Statement:
    """Refuse rows whose record would break a check: with the row's values, and the record's where it has none."""
    spec, columns = staged.spec, read_columns(check, staged.spec)
    filled = {column.name for column in staged.columns}
    defaults = {one.name: default_sql(one) for one in columns if one.options.default is not None}
    is_alone = all(
        one.name in filled and one.name not in staged.kept and one.name not in defaults for one in columns
    )

    def value(name: str) -> str:
        own, old = quoted([name], "s."), quoted([name], "t.")
        if name in defaults:
            held = old if name in staged.kept or name not in filled else "NULL"
            old = f"CASE WHEN t.id IS NULL THEN {defaults[name]} ELSE {held} END"
        if name not in filled:
            return old
        return f"coalesce({own}, {old})" if name in staged.kept or name in defaults else own

    shown = " || '; ' || ".join(
        f"{sql_literal(column.label + ': ')} || coalesce(nullif(left({type_of(column).text_sql(value(column.name))},"
        f" {SHOWN_VALUE}), ''), '(empty)')"
        for column in columns
    )
    records = "" if is_alone else f" LEFT JOIN {spec.table} t ON {same_key(spec.key, 't', 's')}"
    return (
        f"INSERT INTO {refused_table(staged.job.pk)} SELECT s.rn, %s, %s, left({shown}, 200), %s"
        f" FROM {staging_table(staged.job.pk)} s{records} WHERE {check_sql(check, spec, value)} IS FALSE",
        [CODE, _label(columns), rule_of(check, spec)],
    )


def _repeated_keys(staged: Staged) -> Statement:
    # First the keys alone, which sort in half the time of keys with their rows.
    table, key = staging_table(staged.job.pk), staged.spec.key
    if staged.spec.checks:
        is_left = f"NOT EXISTS (SELECT FROM {refused_table(staged.job.pk)} b WHERE b.rn = g.rn)"
        table = f"(SELECT g.* FROM {table} g WHERE {is_left})"
    return (
        f"WITH r AS MATERIALIZED (SELECT {quoted(key)} FROM {table} q GROUP BY {quoted(key)} HAVING count(*) > 1),"
        f" s AS (SELECT s.rn, {quoted(key, 's.')}, min(s.rn) OVER (PARTITION BY {quoted(key, 's.')}) AS first"
        f" FROM {table} s JOIN r ON {same_key(key, 'r', 's')}) "
        + _into(staged, staged.spec.key_columns)
        + "'The key is that of row {first} already; the first row counts.', s.first FROM s WHERE s.rn > s.first",
        ["primary-key", _label(staged.spec.key_columns)],
    )


def _by_key(staged: Staged, rule: str, *, exists: bool) -> Statement:
    key = staged.spec.key_columns
    table, is_same = staging_table(staged.job.pk), same_key(staged.spec.key, "t", "s")
    some = "EXISTS" if exists else "NOT EXISTS"
    return (
        (
            _into(staged, key)
            if key
            else f"INSERT INTO {refused_table(staged.job.pk)} SELECT s.rn, %s, %s, '', "
        )
        + f"'{rule}' FROM {table} s WHERE {some} (SELECT FROM {staged.spec.table} t WHERE {is_same})",
        ["primary-key", _label(key)],
    )


def _without_value(staged: Staged, column: ColumnSpec) -> Statement:
    name, is_same = quoted([column.name], "s."), same_key(staged.spec.key, "t", "s")
    return (
        f"INSERT INTO {refused_table(staged.job.pk)} SELECT s.rn, %s, %s, '', 'This column needs a value in a"
        " row that creates a record; only in a record that has one may the cell be empty.'"
        f" FROM {staging_table(staged.job.pk)} s WHERE {name} IS NULL"
        f" AND NOT EXISTS (SELECT FROM {staged.spec.table} t WHERE {is_same})",
        ["missing-cell", column.label],
    )


def _repeated_values(staged: Staged, column: ColumnSpec) -> Iterator[Statement]:
    table, refused = staging_table(staged.job.pk), refused_table(staged.job.pk)
    name = connection.ops.quote_name(column.name)
    is_left = f"NOT EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)"
    yield (
        f"WITH r AS (SELECT {name}, min(rn) AS first FROM {table} s WHERE {is_left} AND {name} IS NOT NULL"
        f" GROUP BY {name} HAVING count(*) > 1) "
        + _into(staged, [column])
        + "'The value is that of row {first} already; it must be unique.', r.first"
        f" FROM {table} s JOIN r ON r.{name} = s.{name} WHERE s.rn > r.first AND {is_left}",
        ["constraint-error", column.label],
    )


def _values_of_others(staged: Staged, column: ColumnSpec) -> Statement:
    pk, key = staged.job.pk, staged.spec.key
    table, refused = staging_table(pk), refused_table(pk)
    name = connection.ops.quote_name(column.name)
    stays = ""
    if staged.job.mode == Mode.SYNC:
        stays = (
            f" AND (EXISTS (SELECT FROM {table} f WHERE {same_key(key, 'f', 't')})"
            f" OR EXISTS (SELECT FROM {keys_table(pk)} k WHERE {same_key(key, 'k', 't')}))"
        )
    return (
        _into(staged, [column]) + "'Another record has this value; it must be unique.'"
        f" FROM {table} s JOIN {staged.spec.table} t ON t.{name} = s.{name}"
        f" WHERE NOT ({same_key(key, 't', 's')}){stays}"
        f" AND NOT EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)",
        ["constraint-error", column.label],
    )


def _label(columns: Sequence[ColumnSpec]) -> str:
    return ", ".join(column.label for column in columns)


def _text(columns: Sequence[ColumnSpec]) -> str:
    texts = [type_of(column).text_sql(f"s.{connection.ops.quote_name(column.name)}") for column in columns]
    return "concat_ws(', ', " + ", ".join(texts) + ")"
