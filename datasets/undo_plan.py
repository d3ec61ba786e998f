"""What taking changes back would do, worked out in SQL from history: the plan, and what it leaves alone.

The changes are those of one cause, an import or a change set, which touched each record once: so each of its
entries in history stands for one record. The entry before it holds the record as it was; a deletion's own entry
holds it too. The plan is a table of (id, entry, op, former, kept, label, moves, seen): `entry` is the cause's
entry in history, `former` the one whose values come back, `op` what is done ("-" the record goes, "~" it gets its
former values, "+" it comes back under its old id), `kept` the reason why nothing is done, `seen` the record's
version.

When a record was edited since: when it is not what the changes left. What they created or changed must hold
exactly the values of its entry (those a change of type has put aside count: it may be reverted), what they
deleted must not be there, nor be erased since. So an edit that was taken back by hand is no edit, and one back
to the values before is one. A created record that somebody deleted since needs nothing and is not among the
kept; a changed one that was deleted is. A column that is newer than the changes has no value in their entries:
whoever filled it in edited the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from audit.actor import only_changes
from core.errors import RowhouseError
from core.tenancy import as_owner
from datasets import undo_conflicts
from datasets.bulk import first_load
from datasets.erasure_models import not_erased_sql
from datasets.spec import DatasetSpec
from datasets.sqltext import name_text, quoted
from datasets.undo_conflicts import stored_columns
from datasets.undo_references import HELD, UNFIT, keep_in_undo

EDITED, TAKEN = "edited-since", "key-taken"
REASONS = (EDITED, TAKEN, UNFIT, HELD)


class HistoryPruned(RowhouseError):
    """What a record was before is not in its history any more."""

    code = "history-pruned"
    status = 409


@dataclass(frozen=True, slots=True)
class Touched:
    """The entries of one cause: the SQL condition over history `e`, its values, and how many there must be."""

    condition: str
    parameters: Sequence[Any]
    created: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records an undo removes, restores and brings back, and how many it leaves, by the reason."""

    removed: int
    restored: int
    brought_back: int
    kept: dict[str, int]


@as_owner()
def write(spec: DatasetSpec, touched: Touched, *, table: str, scratch: str, pruned: HistoryPruned) -> int:
    """Write the plan into `table`, with `scratch` for a table on the way; return how many records were touched.

    :raises HistoryPruned: `pruned`, where history does not hold all of the entries.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}, {scratch}")
        # On its own and analysed: from the conditions alone nobody could guess how many there are, and the
        # joins of a million records would be made one by one.
        cursor.execute(
            f"CREATE UNLOGGED TABLE {scratch} WITH (autovacuum_enabled = off) AS SELECT e.id,"
            f" e.history_id AS entry, e.history_type::text AS kind FROM {spec.history_table} e"
            f" WHERE {touched.condition}",
            touched.parameters,
        )
        cursor.execute(f"ANALYZE {scratch}")
        counted = ", ".join(f"count(*) FILTER (WHERE kind = '{kind}')" for kind in "+~-")
        cursor.execute(f"SELECT {counted} FROM {scratch}")
        found = cursor.fetchone()
        if found != (touched.created, touched.updated, touched.deleted):
            raise pruned
        cursor.execute(
            f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = off) AS"
            f" {_plan_sql(touched, spec, scratch)}"
        )
        cursor.execute(f"DROP TABLE {scratch}")
        cursor.execute(f"ANALYZE {table}")
    has_former = bool(touched.updated or touched.deleted)
    if has_former:
        undo_conflicts.keep_conflicting(spec, table, code=TAKEN)
    while keep_in_undo(spec, table, has_former=has_former):
        if not has_former:
            break
        undo_conflicts.keep_conflicting(spec, table, code=TAKEN)  # a record that stays keeps its values
    return int(sum(found))


def counts_of(table: str, *, pruned: HistoryPruned) -> Counts:
    """Return what a plan does.

    :raises HistoryPruned: `pruned`, where what was before is not in history.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table} WHERE op <> '-' AND former IS NULL)")
        if cursor.fetchone()[0]:
            raise pruned
        cursor.execute(f"SELECT op::text, coalesce(kept, ''), count(*) FROM {table} GROUP BY 1, 2")
        found = cursor.fetchall()
    done = {op: number for op, kept, number in found if not kept}
    left = {code: sum(n for _op, kept, n in found if kept == code) for code in REASONS}
    kept = {code: number for code, number in left.items() if number}
    return Counts(done.get("-", 0), done.get("~", 0), done.get("+", 0), kept)


def differing(spec: DatasetSpec, *, now: str, then: str, named: int) -> tuple[int, tuple[str, ...]]:
    """Return how many entries two plans of the same changes differ in, and what the first records are called."""
    is_other = (
        "(n.op, n.kept, n.former, n.seen::text) IS DISTINCT FROM (d.op, d.kept, d.former, d.seen::text)"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH drifted AS MATERIALIZED (SELECT coalesce(n.entry, d.entry) AS entry FROM {now} n"
            f" FULL JOIN {then} d USING (id) WHERE {is_other}),"
            f" first AS (SELECT entry FROM drifted ORDER BY entry LIMIT {int(named)})"
            f" SELECT (SELECT count(*) FROM drifted), ARRAY(SELECT {name_text(spec, 'e')}"
            f" FROM first JOIN {spec.history_table} e ON e.history_id = first.entry ORDER BY first.entry)"
        )
        entries, keys = cursor.fetchone()
    return int(entries), tuple(keys)


def _plan_sql(touched: Touched, spec: DatasetSpec, scratch: str) -> str:
    columns, history = stored_columns(spec), spec.history_table
    is_edited = (
        f"CASE k.kind WHEN '-' THEN t.id IS NOT NULL OR NOT {not_erased_sql(spec.pk, 'k.id')}"
        f" ELSE t.id IS NULL OR ({quoted(columns, 't.')}) IS DISTINCT FROM ({quoted(columns, 'e.')}) END"
    )
    former, misfit, moves, joined = "NULL::bigint", "NULL::text", "false", ""
    if touched.updated or touched.deleted:  # else all of them go, and nothing has to come back
        unique = sorted({name for one in undo_conflicts.unique_columns(spec) for name in one})
        changes = f"({quoted(unique, 't.')}) IS DISTINCT FROM ({quoted(unique, 'f.')})" if unique else "false"
        former = "f.history_id"
        misfit = f"CASE WHEN k.kind <> '+' THEN {undo_conflicts.misfit_sql(spec, 'f')} END"
        moves = f"k.kind = '-' OR (k.kind = '~' AND {changes})"
        # "+ 0": looked up by the index of all earlier entries, each record would cost the whole table.
        before = (
            f"SELECT b.id, max(b.history_id) AS history_id FROM {scratch} k JOIN {history} b ON b.id = k.id"
            " AND b.history_id + 0 < k.entry WHERE k.kind = '~' GROUP BY b.id"
        )
        joined = (
            f" LEFT JOIN ({before}) l ON l.id = k.id LEFT JOIN {history} f ON f.history_id ="
            " CASE k.kind WHEN '~' THEN l.history_id WHEN '-' THEN k.entry END"
        )
    return (
        "SELECT id, entry, op, former, CASE WHEN is_edited THEN 'edited-since'"
        " WHEN misfit IS NOT NULL THEN 'no-longer-fits' END AS kept,"
        " CASE WHEN NOT is_edited THEN misfit END AS label, moves, seen FROM (SELECT k.id, k.entry,"
        " (CASE k.kind WHEN '+' THEN '-' WHEN '~' THEN '~' ELSE '+' END)::\"char\" AS op,"
        f" {former} AS former, {is_edited} AS is_edited, {misfit} AS misfit, {moves} AS moves, t.xmin AS seen"
        f" FROM {scratch} k JOIN {history} e ON e.history_id = k.entry"
        f" LEFT JOIN {spec.table} t ON t.id = k.id{joined}"
        " WHERE NOT (k.kind = '+' AND t.id IS NULL)) w"
    )


# ---- carrying a plan out: removed first, then changed, then brought back, because what goes frees the values
# that others take


def remove(spec: DatasetSpec, table: str, *, expected: int) -> int:
    """Delete the records that the plan removes, `expected` by its counts; return how many."""
    if not expected:
        return 0
    return _executed(
        f"DELETE FROM {spec.table} t USING {table} d WHERE d.op = '-' AND d.kept IS NULL AND t.id = d.id"
    )


def restore(spec: DatasetSpec, table: str, *, expected: int) -> int:
    """Give records the values that the plan brings back, `expected` by its counts; return how many."""
    if not expected:
        return 0
    names = stored_columns(spec)
    changes = ", ".join(f"{quoted([name])} = {quoted([name], 's.')}" for name in names)
    # In the records' own order, as a merge writes them; OFFSET 0 keeps the planner from another.
    source = (
        f"SELECT d.id AS record, {quoted(names, 'f.')} FROM {table} d"
        f" JOIN {spec.history_table} f ON f.history_id = d.former"
        " WHERE d.op = '~' AND d.kept IS NULL ORDER BY d.id OFFSET 0"
    )
    with only_changes():
        return _executed(f"UPDATE {spec.table} t SET {changes} FROM ({source}) s WHERE t.id = s.record")


def bring_back(spec: DatasetSpec, table: str, *, expected: int) -> int:
    """Insert the records that the plan brings back, `expected` by its counts; return how many."""
    if not expected:
        return 0
    names = ["id", *stored_columns(spec)]
    # Numbers of the past: the table's sequence is beyond them.
    with first_load(spec, expected):
        return _executed(
            f"INSERT INTO {spec.table} ({quoted(names)}) SELECT {quoted(names, 'f.')} FROM {table} d"
            f" JOIN {spec.history_table} f ON f.history_id = d.former"
            " WHERE d.op = '+' AND d.kept IS NULL ORDER BY f.id"
        )


def _executed(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)
