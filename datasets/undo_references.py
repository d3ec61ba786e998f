"""What references forbid an undo: records that others refer to stay, and values that name nobody do not come back.

The database says the last word, when the undo is made. What is worked out here says it before, of each record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from datasets.columntypes.grammar import sql_literal
from datasets.models import Dataset
from datasets.references import Referrer, referrers_of
from datasets.spec import ColumnSpec, DatasetSpec

HELD, UNFIT = "still-referenced", "no-longer-fits"
type Statement = tuple[str, list[str]]


def held_rule(referrers: Sequence[Referrer], record: str) -> str:
    """Return the SQL of the sentence why a record stays, with how many records of which datasets refer to it."""
    parts = []
    for one in referrers:
        title = sql_literal(f" of “{one.dataset.title}”")
        of_them = f"SELECT count(*) AS n FROM {one.table} r WHERE r.{one.name} = {record}.{one.key}"
        words = f"CASE n WHEN 0 THEN NULL WHEN 1 THEN '1 record' ELSE n || ' records' END || {title}"
        parts.append(f"(SELECT {words} FROM ({of_them}) c)")
    found = f"coalesce(nullif(concat_ws(' and ', {', '.join(parts)}), ''), 'Rows of the file')"
    return f"'Others refer to this record, so it stays: ' || {found} || '.'"


def single_keysingle_key_referrers(spec: DatasetSpec) -> list[Referrer]:
    return referrers_of(Dataset(pk=spec.pk)) if len(spec.key) == 1 else []


def single_key_referrers(spec: DatasetSpec) -> list[Referrer]:
    """Return who refers to a dataset; only a key of one column can be referred to."""
    return referrers_of(Dataset(pk=spec.pk)) if len(spec.key) == 1 else []


def keep_in_undo(spec: DatasetSpec, table: str, *, has_former: bool) -> bool:
    """Mark the entries of an undo's plan that a reference forbids; return whether there were any.

    What would go stays if a record refers to it that will be there; a former value does not come back if what it
    refers to will not be there. One keeps the other, so this goes on until nothing more is found.
    """
    referrers, found = single_key_referrers(spec), False
    marks = [*_marks_of_others(spec, table, referrers, has_former=has_former)]
    own = [*_own_marks(spec, table, referrers, has_former=has_former)]
    with connection.cursor() as cursor:
        found = _mark(cursor, marks)
        while own and _mark(cursor, own):
            found = True
    return found


def _mark(cursor: Any, marks: Sequence[Statement]) -> bool:
    marked = 0
    for sql, parameters in marks:
        cursor.execute(sql, parameters)
        marked += int(cursor.rowcount)
    return marked > 0


def _marks_of_others(
    spec: DatasetSpec, table: str, referrers: Sequence[Referrer], *, has_former: bool
) -> Iterator[Statement]:
    for one in referrers:
        if one.dataset.pk != spec.pk:
            yield _held_sql(spec, table, one.key, f"SELECT 0 AS id, {one.name} AS value FROM {one.table}")
    for column, target in spec.references if has_former else ():
        if target.dataset != spec.pk:
            keys = f"SELECT {target.name} AS key FROM {target.table}"
            yield _unfit_sql(spec, table, column, keys)


def _own_marks(
    spec: DatasetSpec, table: str, referrers: Sequence[Referrer], *, has_former: bool
) -> Iterator[Statement]:
    comes = (
        f"FROM {table} q JOIN {spec.history_table} f ON f.history_id = q.former"
        " WHERE q.op IN ('~', '+') AND q.kept IS NULL"
    )
    for one in referrers:
        if one.dataset.pk != spec.pk:
            continue
        values = (
            f"SELECT r.id, r.{one.name} AS value FROM {spec.table} r"
            f" WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.id = r.id AND q.kept IS NULL)"
        )
        if has_former:
            values += f" UNION ALL SELECT q.id, f.{one.name} {comes}"
        yield _held_sql(spec, table, one.key, values)
    if not has_former:
        return
    keys = (
        f"SELECT r.{{key}} AS key FROM {spec.table} r WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.id = r.id"
        f" AND q.op IN ('~', '-') AND q.kept IS NULL) UNION ALL SELECT f.{{key}} {comes}"
    )
    for column in spec.own_references:
        yield _unfit_sql(spec, table, column, keys.format(key=spec.key[0]))


def _held_sql(spec: DatasetSpec, table: str, key: str, values: str) -> Statement:
    return (
        f"UPDATE {table} p SET kept = %s FROM {spec.table} t WHERE t.id = p.id AND p.op = '-' AND p.kept IS NULL"
        f" AND EXISTS (SELECT FROM ({values}) h WHERE h.value = t.{key} AND h.id <> t.id)",
        [HELD],
    )


def _unfit_sql(spec: DatasetSpec, table: str, column: ColumnSpec, keys: str) -> Statement:
    return (
        f"UPDATE {table} p SET kept = %s, label = %s FROM {spec.history_table} f WHERE f.history_id = p.former"
        f" AND p.op IN ('~', '+') AND p.kept IS NULL AND f.{column.name} IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM ({keys}) k WHERE k.key = f.{column.name})",
        [UNFIT, column.label],
    )


def held_rule_of(spec: DatasetSpec, record: str) -> str:
    """Return the SQL of why an undo leaves a record, given by an entry of its history."""
    referrers = single_key_referrers(spec)
    return held_rule(referrers, record) if referrers else "''"
