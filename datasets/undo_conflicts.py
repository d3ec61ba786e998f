"""What stands against bringing former values back: rules that came later, and records that hold them now.

Both are asked of the table itself: its constraints are the rules of today, whatever made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection

from datasets.columntypes.grammar import sql_literal
from datasets.spec import DatasetSpec
from datasets.sqltext import quoted


def stored_columns(spec: DatasetSpec) -> list[str]:
    """Return the columns that records and their history both have, retired ones too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.attname FROM pg_attribute r JOIN pg_attribute h ON h.attname = r.attname"
            " AND h.attrelid = %s::regclass AND h.attnum > 0 AND NOT h.attisdropped"
            " WHERE r.attrelid = %s::regclass AND r.attnum > 0 AND NOT r.attisdropped AND r.attname <> 'id'"
            " ORDER BY r.attnum",
            [spec.history_table, spec.table],
        )
        return [name for (name,) in cursor.fetchall()]


def unique_columns(spec: DatasetSpec) -> list[tuple[str, ...]]:
    """Return the columns of each rule that values are unique: the key's and those of single columns."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (num, at)"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.at)"
            " FROM pg_constraint c WHERE c.conrelid = %s::regclass AND c.contype = 'u' ORDER BY c.conname",
            [spec.table],
        )
        return [tuple(names) for (names,) in cursor.fetchall()]


def misfit_sql(spec: DatasetSpec, table: str) -> str:
    """Return the SQL of the label of the first column whose rules the values of `table` break, or NULL."""
    return misfit_of(spec, {name: quoted([name], f"{table}.") for name in stored_columns(spec)})


def misfit_of(spec: DatasetSpec, values: Mapping[str, str]) -> str:
    """Return the same of values given as SQL, by the name of each column."""
    labels = {column.name: column.label for column in spec.columns}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname, NULL AS rule FROM pg_attribute a WHERE a.attrelid = %(table)s::regclass"
            " AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND a.attname <> 'id'"
            " UNION ALL SELECT coalesce(a.attname, ''), pg_get_expr(c.conbin, c.conrelid) FROM pg_constraint c"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.conrelid = %(table)s::regclass AND c.contype = 'c'",
            {"table": spec.table},
        )
        rules = cursor.fetchall()
    if not rules:
        return "NULL::text"
    broken = " ".join(
        f"WHEN {_is_broken(name, rule)} THEN {sql_literal(labels.get(name, name))}" for name, rule in rules
    )
    # The rules name bare columns; inside this query they can only mean these.
    named = ", ".join(f"{value} AS {quoted([name])}" for name, value in values.items())
    return f"(SELECT CASE {broken} END FROM (SELECT {named}) AS former_values)"


def _is_broken(name: str, rule: str | None) -> str:
    if rule is None:
        return f"{quoted([name])} IS NULL"
    return f"({rule}) IS FALSE"


def keep_conflicting(spec: DatasetSpec, table: str, *, code: str) -> None:
    """Mark the entries of a plan whose key or unique value another record will hold; the others all fit together.

    First the records that change: what another record holds now is taken, unless the undo removes that
    record, so that nothing depends on the order of one UPDATE. An import never hands a value from one record
    that stays to another, so its undo never has to either. Then those that come back, which are added last:
    what counts is how the others will be. Of two that want one value, the older record gets it.
    """
    rules = [(names, _label(spec, names)) for names in unique_columns(spec)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT op::text FROM {table} WHERE moves AND kept IS NULL GROUP BY op")
        ops = {op for (op,) in cursor.fetchall()}
        for op, holders in (("~", _holders_now), ("+", _holders_then)):
            if op not in ops:
                continue
            for names, label in rules:
                for conflicting in (_held(spec, table, op, names, holders(spec, table, names)),
                                    _wanted_twice(spec, table, op, names)):  # fmt: skip
                    cursor.execute(
                        f"UPDATE {table} SET kept = %s, label = %s WHERE id IN ({conflicting})", [code, label]
                    )


def _label(spec: DatasetSpec, names: Sequence[str]) -> str:
    labels = {column.name: column.label for column in spec.columns}
    return ", ".join(labels.get(name, name) for name in names)


def _wanting(spec: DatasetSpec, table: str, op: str) -> str:
    return (
        f"{table} p JOIN {spec.history_table} f ON f.history_id = p.former"
        f" WHERE p.op = '{op}' AND p.moves AND p.kept IS NULL"
    )


def _held(spec: DatasetSpec, table: str, op: str, names: Sequence[str], holders: str) -> str:
    same = " AND ".join(f"{quoted([name], 'r.')} = {quoted([name], 'w.')}" for name in names)
    return (
        f"SELECT w.wanting FROM (SELECT p.id AS wanting, f.* FROM {_wanting(spec, table, op)}) w"
        f" JOIN ({holders}) r ON {same} AND r.id <> w.wanting"
    )


def _wanted_twice(spec: DatasetSpec, table: str, op: str, names: Sequence[str]) -> str:
    values = quoted(names, "f.")
    some = " AND ".join(f"{quoted([name], 'f.')} IS NOT NULL" for name in names)
    return (
        f"SELECT id FROM (SELECT p.id, row_number() OVER (PARTITION BY {values} ORDER BY p.id) AS place"
        f" FROM {_wanting(spec, table, op)} AND {some}) w WHERE place > 1"
    )


def _holders_now(spec: DatasetSpec, table: str, names: Sequence[str]) -> str:
    """Return the SQL of who holds what now, but for those the plan removes."""
    return (
        f"SELECT t.id, {quoted(names, 't.')} FROM {spec.table} t WHERE NOT EXISTS"
        f" (SELECT FROM {table} q WHERE q.id = t.id AND q.op = '-' AND q.kept IS NULL)"
    )


def _holders_then(spec: DatasetSpec, table: str, names: Sequence[str]) -> str:
    """Return the SQL of who holds what once records are removed and changed."""
    return (
        f"SELECT t.id, {quoted(names, 't.')} FROM {spec.table} t WHERE NOT EXISTS"
        f" (SELECT FROM {table} q WHERE q.id = t.id AND q.kept IS NULL AND (q.op = '-' OR q.moves))"
        f" UNION ALL SELECT q.id, {quoted(names, 'f.')} FROM {table} q"
        f" JOIN {spec.history_table} f ON f.history_id = q.former"
        " WHERE q.op = '~' AND q.moves AND q.kept IS NULL"
    )
