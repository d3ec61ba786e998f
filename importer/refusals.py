"""Rows that only the whole file, or the records there are, can refuse: found in SQL, in one pass over staged rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from core.tenancy import as_owner
from datasets import access
from datasets.checks import CODE, SHOWN_VALUE, check_sql, read_columns, rule_of
from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.ddl import default_sql
from datasets.references import missing_rule
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec, Target
from importer.models import ImportJob, Mode
from importer.staging import analyze, keys_table, quoted, refused_table, same_key, staging_table, use_memory

RANGE_PAGES = 16  # of the index of staged rows by their numbers
FEW_ROWS = 1_000
KEPT_RULE = "It reads a column you may not see. Ask who manages the dataset."

type Statement = tuple[str, Sequence[Any]]


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


@as_owner()
def find_refusals(staged: Staged, suspects: Sequence[int] | None = None) -> int:
    """Fill the table of refused rows; return how many rows it names.

    Repeated keys: the first row wins. A unique value that another record holds is refused even if the file
    takes it from that record, so that the merge never depends on the order of its rows; unless the file makes
    that record go, which happens first.

    :param suspects: all rows that may repeat a key or have theirs repeated, where that is known; None: any may.
    """
    pk, spec = staged.job.pk, staged.spec
    table, refused = staging_table(pk), refused_table(pk)
    with connection.cursor() as cursor:
        use_memory(cursor)
        # The rows lie in the order of rn: a BRIN index costs next to nothing and serves the pages. Its ranges are
        # short, for single rows are asked for too.
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {table}_rn ON {table} USING brin (rn) WITH (pages_per_range = {RANGE_PAGES})"
        )
        analyze(table, ["rn", *spec.key])
        cursor.execute(f"DROP TABLE IF EXISTS {refused}")
        cursor.execute(
            f"CREATE UNLOGGED TABLE {refused} (rn bigint, code text, label text, value text, rule text,"
            " first bigint, first_line bigint) WITH (autovacuum_enabled = off)"
        )
        cursor.execute(
            "SET LOCAL enable_hashagg = off"
        )  # sorting finds repetitions in three quarters of the time
        for sql, parameters in _refusals(staged, suspects):
            cursor.execute(sql, parameters)
        cursor.execute("SET LOCAL enable_hashagg = DEFAULT")
        cursor.execute(f"SELECT count(DISTINCT rn) FROM {refused}")
        found = int(cursor.fetchone()[0])
        if found:
            cursor.execute(f"CREATE INDEX ON {refused} (rn)")
            cursor.execute(f"CREATE INDEX ON {refused} (first)")
        return found


@as_owner()
def remove_refused(staged: Staged) -> int:
    """Take the refused rows out of the staging table, forget the list of them and return how many they were.

    Their keys are kept: a record whose row was refused is not missing from the file.
    """
    pk, key = staged.job.pk, staged.spec.key
    table, refused = staging_table(pk), refused_table(pk)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT rn FROM {refused} LIMIT {FEW_ROWS + 1}")
        rows = [row for (row,) in cursor.fetchall()]
        # A few by the index: with their numbers in the statement they are looked up, not searched for.
        is_refused, parameters = f"EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)", list[Any]()
        if len(rows) <= FEW_ROWS:
            is_refused, parameters = "s.rn = ANY(%s::bigint[])", [rows]
        removing = f"DELETE FROM {table} s WHERE {is_refused}"
        if key:  # both in one statement: it may read all staged rows
            removing = (
                f"WITH gone AS ({removing} RETURNING s.rn, {quoted(key, 's.')})"
                f" INSERT INTO {keys_table(pk)} (rn, {quoted(key)}) SELECT rn, {quoted(key)} FROM gone"
            )
        cursor.execute(removing, parameters)
        removed = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {refused}")
    return removed


def _refusals(staged: Staged, suspects: Sequence[int] | None) -> Iterator[Statement]:
    spec = staged.spec
    # First what a row breaks by itself: it takes no key and no value from a later one.
    for check in spec.checks:
        yield _broken_check(staged, check)
    if spec.key and suspects != []:
        yield _repeated_keys(staged, suspects)
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
    yield from _without_record(staged)


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

    # The record's own values may be among them, and whoever uploaded the file may not know each.
    visible = {column.name for column in access.visible_columns(staged.job.created_by, staged.job.dataset)}
    told = [column for column in columns if column.name in visible]
    rule = rule_of(check, spec) if told == list(columns) else f"{check.name}: {KEPT_RULE}"
    shown = " || '; ' || ".join(
        f"{sql_literal(column.label + ': ')} || coalesce(nullif(left({type_of(column).text_sql(value(column.name))},"
        f" {SHOWN_VALUE}), ''), '(empty)')"
        for column in told
    )
    records = "" if is_alone else f" LEFT JOIN {spec.table} t ON {same_key(spec.key, 't', 's')}"
    return (
        f"INSERT INTO {refused_table(staged.job.pk)} SELECT s.rn, %s, %s, left({shown or "''"}, 200), %s"
        f" FROM {staging_table(staged.job.pk)} s{records} WHERE {check_sql(check, spec, value)} IS FALSE",
        [CODE, _label(told), rule],
    )


def _repeated_keys(staged: Staged, suspects: Sequence[int] | None) -> Statement:
    """Refuse rows whose key stands before them. Only the rows `suspects` can be such, or have such; None: any."""
    table, key = staging_table(staged.job.pk), quoted(staged.spec.key)
    is_left = (
        f"NOT EXISTS (SELECT FROM {refused_table(staged.job.pk)} b WHERE b.rn = g.rn)"
        if staged.spec.checks
        else "true"
    )
    rows, parameters = f"(SELECT g.* FROM {table} g WHERE {is_left})", list[Any]()
    found = (
        # First the keys alone, which sort in half the time of keys with their rows.
        f"WITH r AS MATERIALIZED (SELECT {key} FROM {rows} q GROUP BY {key} HAVING count(*) > 1),"
        f" s AS (SELECT s.rn, {quoted(staged.spec.key, 's.')}, min(s.rn) OVER"
        f" (PARTITION BY {quoted(staged.spec.key, 's.')}) AS first"
        f" FROM {rows} s JOIN r ON {same_key(staged.spec.key, 'r', 's')}) "
    )
    if suspects is not None:
        parameters.append(list(suspects))
        found = (
            f"WITH s AS (SELECT g.rn, {key}, min(g.rn) OVER (PARTITION BY {key}) AS first FROM {table} g"
            f" WHERE g.rn = ANY(%s::bigint[]) AND {is_left}) "
        )
    return (
        found
        + _into(staged, staged.spec.key_columns)
        + "'The key is that of row {first} already; the first row counts.', s.first FROM s WHERE s.rn > s.first",
        [*parameters, "primary-key", _label(staged.spec.key_columns)],
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


def _without_record(staged: Staged) -> Iterator[Statement]:
    """Yield what refuses the rows that refer to no record: of another dataset, or of this one and the file's rows."""
    own: list[tuple[ColumnSpec, Target]] = []
    for column in staged.columns:
        target = column.options.target
        if target is not None and target.dataset == staged.spec.pk:
            own.append((column, target))
        elif target is not None:
            yield _without_other(staged, column, target)
    if own:
        yield _without_own(staged, own)


def _without_other(staged: Staged, column: ColumnSpec, target: Target) -> Statement:
    name = quoted([column.name], "s.")
    return (
        _into(staged, [column]) + f"%s FROM {staging_table(staged.job.pk)} s WHERE {name} IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM {target.table} t WHERE t.{target.name} = {name})",
        ["foreign-key", column.label, missing_rule(target)],
    )


def _without_own(staged: Staged, own: Sequence[tuple[ColumnSpec, Target]]) -> Statement:
    """Refuse rows that refer to neither a record nor a good row, and those that refer to such rows, and so on."""
    table, refused = staging_table(staged.job.pk), refused_table(staged.job.pk)
    column, target = own[0]
    key = quoted([target.name], "s.")
    is_left = f"NOT EXISTS (SELECT FROM {refused} b WHERE b.rn = s.rn)"
    edges = " UNION ALL ".join(
        f"SELECT s.rn, %s::text AS label, {name} AS value FROM {table} s WHERE {name} IS NOT NULL AND {is_left}"
        f" AND NOT EXISTS (SELECT FROM {target.table} t WHERE t.{target.name} = {name})"
        for name in (quoted([one.name], "s.") for one, _ in own)
    )
    return (
        f"INSERT INTO {refused} WITH RECURSIVE e AS MATERIALIZED ({edges}),"
        f" k AS MATERIALIZED (SELECT s.rn, {key} AS value FROM {table} s WHERE {is_left}),"
        " lost AS (SELECT e.* FROM e WHERE NOT EXISTS (SELECT FROM k WHERE k.value = e.value)"
        " UNION SELECT e.* FROM lost l JOIN k ON k.rn = l.rn JOIN e ON e.value = k.value)"
        f" SELECT rn, %s, label, left({type_of(column).text_sql('value')}, 200), %s FROM lost",
        [
            *(one.label for one, _ in own),
            "foreign-key",
            f"No record of “{target.title}” has this key, nor has a good row of the file."
            " Correct the value, or add that record first.",
        ],
    )


def _label(columns: Sequence[ColumnSpec]) -> str:
    return ", ".join(column.label for column in columns)


def _text(columns: Sequence[ColumnSpec]) -> str:
    texts = [type_of(column).text_sql(f"s.{connection.ops.quote_name(column.name)}") for column in columns]
    return "concat_ws(', ', " + ", ".join(texts) + ")"
