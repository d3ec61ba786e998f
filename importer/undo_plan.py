"""The plan of an undo: which entries of history are an import's own, and what people are told of it.

The plan itself, a table `diff_<job>`, is that of `datasets.undo_plan`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from core.tenancy import as_owner
from datasets import undo_plan
from datasets.spec import DatasetSpec
from datasets.sqltext import name_text
from datasets.undo_plan import EDITED, TAKEN, Counts, HistoryPruned, Touched
from datasets.undo_references import HELD, UNFIT, held_rule_of
from importer import staging
from importer.models import ImportIssue, ImportJob
from importer.plan import NAMED_KEYS, Drift, is_touched, snapshot_of
from importer.stage import KEPT_ISSUES
from importer.staging import keys_table, plan_table, quoted, refused_table

__all__ = ["Counts", "HistoryPruned"]

# History keeps the database's time, a job its web process's: they are not always the same.
CLOCKS_APART = timedelta(hours=1)


RULES = {
    EDITED: "This record was changed since the import and stays as it is.",
    TAKEN: "Another record has this value now, and it must be unique. Change that record if this one is to"
    " get its former values.",
    UNFIT: "The value before the import does not fit the column's rules of today, or refers to a record that is gone.",
    HELD: "Others refer to this record, so it stays.",
}
GONE = "This record was deleted since the import and stays deleted."
BACK = "This record was brought back since the import and stays as it is."


def make(job: ImportJob, spec: DatasetSpec) -> tuple[Counts, int, str]:
    """Write the plan; return its counts, how many records the import touched, and the snapshot it saw.

    :raises HistoryPruned: history does not hold all that the import did, or what was before it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        snapshot = snapshot_of(cursor, job, spec)
    entries = _write(job, spec, plan_table(job.pk))
    return undo_plan.counts_of(plan_table(job.pk), pruned=pruned(job.undoes)), entries, snapshot


@as_owner()
def drift(job: ImportJob, spec: DatasetSpec) -> Drift:
    """Return for which records the plan would be another if it were made now."""
    if not is_touched(job, spec):
        return Drift()
    now, then = refused_table(job.pk), plan_table(job.pk)  # an undo refuses no rows: the name is free
    _write(job, spec, now)
    drifted = Drift(*undo_plan.differing(spec, now=now, then=then, named=NAMED_KEYS))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {now}")
    return drifted


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


def _write(job: ImportJob, spec: DatasetSpec, table: str) -> int:
    """Write the plan into a table; return how many records the import touched."""
    undone = job.undoes
    assert undone is not None
    touched = Touched(*of_import(undone, "e"), undone.created_rows, undone.updated_rows, undone.deleted_rows)
    # An undo has no file, so no keys of its rows: that name is free.
    return undo_plan.write(spec, touched, table=table, scratch=keys_table(job.pk), pruned=pruned(undone))
