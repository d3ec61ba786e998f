"""Whether a preview may be confirmed as it stands."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection

from core.words import count
from importer.models import ImportJob, Mode, Policy, State
from importer.parts import staged_of
from importer.rules import rules_of
from importer.staging import plan_table, quoted, staging_table


def why_not_confirmable(
    job: ImportJob, *, policy: str, seen: int | None = None, deletes: int | None = None
) -> str | None:
    """Return what stands against it, with what to do, or None.

    `deletes`: how many deletions were agreed to; 0 goes on without any.
    """
    return (
        _why_not_now(job, seen)
        or why_not_with_rejects(job, policy)
        or (None if deletes == 0 else why_not_deletable(job))
        or _why_not_agreed(job, deletes)
    )


def why_not_with_rejects(job: ImportJob, policy: str) -> str | None:
    """Return why its rejected rows forbid the import under a policy, or None."""
    if not job.rejected_rows:
        return None
    if policy == Policy.ALL_OR_NOTHING:
        return (
            f"The file has {count(job.rejected_rows, 'rejected row')}, and all or nothing was chosen."
            " Correct the file and upload it again, or import the good rows."
        )
    limit = None if job.target else rules_of(job.dataset).max_rejected_percent
    share = Decimal(job.rejected_rows * 100) / max(1, job.read_rows)
    if limit is not None and share > limit:
        return (
            f"{count(job.rejected_rows, 'row')} of {job.read_rows:,} are rejected ({share:.2f} %); this dataset bears"
            f" {limit.normalize():f} %. Correct the rejected rows, or change the dataset's import rules."
        )
    return None


def why_not_deletable(job: ImportJob) -> str | None:
    """Return why nobody can tell which records the file lacks, or None."""
    keyless = job.head.get("keyless", 0)
    if job.mode != Mode.SYNC or job.is_undo or not keyless or not job.deleted_rows:
        return None
    return (
        f"The key of {count(keyless, 'rejected row')} cannot be read, so a record may only seem to be missing from the"
        " file. Correct or leave out those rows, or import the file without deleting."
    )


def rows_that_need_deletions(job: ImportJob) -> int:
    """Return how many staged rows take a unique value from a record that the plan of a sync deletes."""
    if job.is_undo or job.target or job.mode != Mode.SYNC:
        return 0
    spec = job.dataset.spec()
    gone = f"SELECT {{}} FROM {plan_table(job.pk)} d JOIN {spec.table} t ON t.id = d.id WHERE d.op = '-'"
    takes = " OR ".join(
        f"{quoted([column.name], 's.')} IN ({gone.format(quoted([column.name], 't.'))})"
        for column in staged_of(job, spec).columns
        if column.is_unique and spec.key != (column.name,)
    )
    if not takes:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {staging_table(job.pk)} s WHERE {takes}")
        return int(cursor.fetchone()[0])


def _why_not_now(job: ImportJob, seen: int | None) -> str | None:
    if job.state != State.PREVIEW_SUCCEEDED:
        return f"Its preview did not finish, or it was confirmed already: {job.get_state_display()}."
    if seen is not None and seen != job.previews:
        return "The preview was made again since this page was opened. Look at it, then confirm."
    if not job.target and job.dataset.definition_version != job.definition_version:
        return "The dataset's definition changed since the preview. Preview it again, then confirm."
    return None


def _why_not_agreed(job: ImportJob, deletes: int | None) -> str | None:
    if job.is_undo or not job.deleted_rows or deletes in (0, job.deleted_rows):
        return None
    if deletes is None:
        return f"{count(job.deleted_rows, 'record')} would be deleted. Confirm that number too."
    return f"You agreed to delete {count(deletes, 'record')}, but it would be {job.deleted_rows:,}. Look, then confirm."
