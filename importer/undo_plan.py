"""What an undo would do, worked out in SQL from history: the plan, and what it leaves alone.

A merge touches a record once, so each of its entries in history stands for one record. The entry before it
holds the record as it was; a deletion's own entry holds it too. The plan is a table `diff_<job>` of (id,
entry, op, former, kept, label, moves, seen): `entry` is the import's entry in history, `former` the one whose
values come back, `op` what is done ("-" the record goes, "~" it gets its former values, "+" it comes back
under its old id), `kept` the reason why nothing is done, `seen` the record's version.

When a record was edited since: when it is not what the import left. What the import created or changed must
hold exactly the values of its entry, what it deleted must not be there. So an edit that was taken back by
hand is no edit, and one back to the values before the import is one. A created record that somebody deleted
since needs nothing and is not among the kept; a changed one that was deleted is. A column that is newer than
the import has no value in its entry: whoever filled it in edited the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from core.errors import RowhouseError
from datasets.spec import DatasetSpec
from importer import staging, undo_conflicts
from importer.models import ImportIssue, ImportJob
from importer.plan import NAMED_KEYS, Drift, is_touched, key_text
from importer.references import HELD, UNFIT, held_rule_of, keep_in_undo
from importer.stage import KEPT_ISSUES
from importer.staging import keys_table, plan_table, quoted, refused_table
from importer.undo_conflicts import stored_columns

# History keeps the database's time, a job its web process's: they are not always the same.
CLOCKS_APART = timedelta(hours=1)

EDITED, TAKEN = "edited-since", "key-taken"
RULES = {
    EDITED: "This record was changed since the import and stays as it is.",
    TAKEN: "Another record has this value now, and it must be unique. Change that record if this one is to"
    " get its former values.",
    UNFIT: "The value before the import does not fit the column's rules of today, or refers to a record that is gone.",
    HELD: "Others refer to this record, so it stays.",
}
GONE = "This record was deleted since the import and stays deleted."
BACK = "This record was brought back since the import and stays as it is."


class HistoryPruned(RowhouseError):
    """What a record was before the import is not in its history any more."""

    code = "history-pruned"
    status = 409


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records an undo removes, restores and brings back, and how many it leaves, by the reason."""

    removed: int
    restored: int
    brought_back: int
    kept: dict[str, int]
    entries: int  # records the import touched


def make(job: ImportJob, spec: DatasetSpec) -> tuple[Counts, str]:
    """Write the plan; return its counts and the snapshot it saw.

    :raises HistoryPruned: history does not hold all that the import did, or what was before it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute("SELECT pg_current_snapshot()::text")
        snapshot = str(cursor.fetchone()[0])
    table = plan_table(job.pk)
    entries = _write(job, spec, table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table} WHERE op <> '-' AND former IS NULL)")
        if cursor.fetchone()[0]:
            raise pruned(job.undoes)
        cursor.execute(f"SELECT op::text, coalesce(kept, ''), count(*) FROM {table} GROUP BY 1, 2")
        found = cursor.fetchall()
    done = {op: number for op, kept, number in found if not kept}
    left = {code: sum(n for _op, kept, n in found if kept == code) for code in RULES}
    counts = Counts(
        done.get("-", 0),
        done.get("~", 0),
        done.get("+", 0),
        {code: number for code, number in left.items() if number},
        entries,
    )
    return counts, snapshot


def drift(job: ImportJob, spec: DatasetSpec) -> Drift:
    """Return for which records the plan would be another if it were made now."""
    if not is_touched(job, spec):
        return Drift()
    now, then = refused_table(job.pk), plan_table(job.pk)  # an undo refuses no rows: the name is free
    _write(job, spec, now)
    is_other = (
        "(n.op, n.kept, n.former, n.seen::text) IS DISTINCT FROM (d.op, d.kept, d.former, d.seen::text)"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH drifted AS MATERIALIZED (SELECT coalesce(n.entry, d.entry) AS entry FROM {now} n"
            f" FULL JOIN {then} d USING (id) WHERE {is_other}),"
            f" first AS (SELECT entry FROM drifted ORDER BY entry LIMIT {NAMED_KEYS})"
            f" SELECT (SELECT count(*) FROM drifted), ARRAY(SELECT {name_text(spec, 'e')}"
            f" FROM first JOIN {spec.history_table} e ON e.history_id = first.entry ORDER BY first.entry)"
        )
        entries, keys = cursor.fetchone()
        cursor.execute(f"DROP TABLE {now}")
    return Drift(int(entries), tuple(keys))


def is_whole(job: ImportJob) -> bool:
    """Return whether the plan still holds every record the job counted into it: a crash empties the table."""
    if not staging.exist(plan_table(job.pk)):
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {plan_table(job.pk)}")
        return bool(cursor.fetchone()[0] == job.staged_rows)


def write_issues(job: ImportJob, spec: DatasetSpec) -> None:
    """Keep a warning for each record that the plan leaves alone, the first KEPT_ISSUES of them."""
    fields = quoted(["job_id", "code", "row", "line", "column", "value", "rule", "severity"])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {ImportIssue._meta.db_table} ({fields})"
            f" SELECT %s, d.kept, 0, 0, coalesce(d.label, ''), left({name_text(spec, 'e')}, 200),"
            f" CASE WHEN d.kept = %s THEN {held_rule_of(spec, 'e')}"
            " WHEN d.kept = %s THEN %s WHEN d.kept = %s THEN %s WHEN d.op = '+' THEN %s"
            " WHEN d.seen IS NULL THEN %s ELSE %s END, 'warning'"
            f" FROM {plan_table(job.pk)} d JOIN {spec.history_table} e ON e.history_id = d.entry"
            f" WHERE d.kept IS NOT NULL ORDER BY d.entry LIMIT {KEPT_ISSUES}",
            [job.pk, HELD, TAKEN, RULES[TAKEN], UNFIT, RULES[UNFIT], BACK, GONE, RULES[EDITED]],
        )


def pruned(undone: ImportJob | None) -> HistoryPruned:
    """Return the error that history does not reach back far enough."""
    return HistoryPruned(
        f"The history of this dataset does not reach back to what was before {undone}. It cannot be undone"
        " any more; import a file with the values you want instead."
    )


def of_import(job: ImportJob, alias: str) -> tuple[str, list[str | datetime]]:
    """Return the condition, with parameters, that a history entry is one of an import's own."""
    assert job.confirmed_at is not None
    assert job.ended_at is not None
    # The dates only keep the search to some pages of the index.
    return (
        f"{alias}.history_change_reason = %s AND {alias}.history_date BETWEEN %s AND %s",
        [job.reason, job.confirmed_at - CLOCKS_APART, job.ended_at + CLOCKS_APART],
    )


def name_text(spec: DatasetSpec, table: str) -> str:
    """Return the SQL of what people call a record by: its key, or its id where there is none."""
    return f"coalesce({key_text(spec, table)}, 'record ' || {table}.id)"


def _write(job: ImportJob, spec: DatasetSpec, table: str) -> int:
    """Write the plan into a table; return how many records the import touched."""
    undone, touched = job.undoes, keys_table(job.pk)  # an undo has no file, so no keys of its rows
    assert undone is not None
    condition, parameters = of_import(undone, "e")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}, {touched}")
        # On its own and analysed: from the conditions alone nobody could guess how many there are, and the
        # joins of a million records would be made one by one.
        cursor.execute(
            f"CREATE UNLOGGED TABLE {touched} WITH (autovacuum_enabled = off) AS SELECT e.id,"
            f" e.history_id AS entry, e.history_type::text AS kind FROM {spec.history_table} e WHERE {condition}",
            parameters,
        )
        cursor.execute(f"ANALYZE {touched}")
        counted = ", ".join(f"count(*) FILTER (WHERE kind = '{kind}')" for kind in "+~-")
        cursor.execute(f"SELECT {counted} FROM {touched}")
        found = cursor.fetchone()
        if found != (undone.created_rows, undone.updated_rows, undone.deleted_rows):
            raise pruned(undone)
        cursor.execute(
            f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = off) AS"
            f" {_plan_sql(undone, spec, touched)}"
        )
        cursor.execute(f"DROP TABLE {touched}")
        cursor.execute(f"ANALYZE {table}")
    has_former = bool(undone.updated_rows or undone.deleted_rows)
    if has_former:
        undo_conflicts.keep_conflicting(spec, table, code=TAKEN)
    while keep_in_undo(spec, table, has_former=has_former):
        if not has_former:
            break
        undo_conflicts.keep_conflicting(spec, table, code=TAKEN)  # a record that stays keeps its values
    return int(sum(found))


def _plan_sql(undone: ImportJob, spec: DatasetSpec, touched: str) -> str:
    columns, history = stored_columns(spec), spec.history_table
    is_edited = (
        "CASE k.kind WHEN '-' THEN t.id IS NOT NULL"
        f" ELSE t.id IS NULL OR ({quoted(columns, 't.')}) IS DISTINCT FROM ({quoted(columns, 'e.')}) END"
    )
    former, misfit, moves, joined = "NULL::bigint", "NULL::text", "false", ""
    if undone.updated_rows or undone.deleted_rows:  # else all of them go, and nothing has to come back
        unique = sorted({name for one in undo_conflicts.unique_columns(spec) for name in one})
        changes = f"({quoted(unique, 't.')}) IS DISTINCT FROM ({quoted(unique, 'f.')})" if unique else "false"
        former = "f.history_id"
        misfit = f"CASE WHEN k.kind <> '+' THEN {undo_conflicts.misfit_sql(spec, 'f')} END"
        moves = f"k.kind = '-' OR (k.kind = '~' AND {changes})"
        # "+ 0": looked up by the index of all earlier entries, each record would cost the whole table.
        before = (
            f"SELECT b.id, max(b.history_id) AS history_id FROM {touched} k JOIN {history} b ON b.id = k.id"
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
        f" FROM {touched} k JOIN {history} e ON e.history_id = k.entry"
        f" LEFT JOIN {spec.table} t ON t.id = k.id{joined}"
        " WHERE NOT (k.kind = '+' AND t.id IS NULL)) w"
    )
