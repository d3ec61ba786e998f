"""The very file that was merged before, into a dataset nobody touched since: what it says is known without reading it.

Only where nothing but the bytes, the mapping and the definition decides what becomes of a row. A unique column
besides the key, an empty cell that keeps a value or a mode that looks at what exists make it depend on records.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import connection

from datasets.spec import DatasetSpec
from importer import staging
from importer.models import ImportIssue, ImportJob, Mode, RejectedRow, RowFix, State
from importer.parts import staged_of
from importer.plan import Counts, is_touched, make_empty
from importer.staging import quoted

COUNTED = ("read_rows", "staged_rows", "rejected_rows", "blank_rows", "issue_counts", "warning_counts")
DECIDES = ("position", "column", "reading", "recipe")


def same_before(job: ImportJob, spec: DatasetSpec) -> ImportJob | None:
    """Return the import of this very file that left the dataset as it is now, if there is one."""
    if job.mode != Mode.UPSERT or job.kind != "csv" or not spec.key:
        return None
    if any(column.is_unique and spec.key != (column.name,) for column in spec.columns):
        return None
    if staged_of(job, spec).kept or RowFix.objects.filter(job=job).exists():
        return None
    earlier = (
        ImportJob.objects.filter(
            dataset=job.dataset, sha256=job.sha256, kind=job.kind, mode=job.mode, undoes=None,
            state=State.IMPORT_SUCCEEDED, definition_version=job.dataset.definition_version,
        )
        .exclude(pk=job.pk)
        .order_by("-pk")
        .first()
    )  # fmt: skip
    if earlier is not None and "foreign-key" in earlier.issue_counts:
        return None  # by now the record may be there
    if earlier is None or RowFix.objects.filter(job=earlier).exists() or _reads(earlier) != _reads(job):
        return None
    return earlier if _is_last_writer(earlier, spec) else None


def take_over(job: ImportJob, earlier: ImportJob, spec: DatasetSpec) -> tuple[Counts, str]:
    """Give the job what its reading would find again (not saved); return its plan's counts and snapshot."""
    for name in COUNTED:
        setattr(job, name, getattr(earlier, name))
    staged = staged_of(job, spec)
    staging.create(job.pk, staged.columns, spec.key_columns)
    job.head = {
        **job.head,
        "same_as": earlier.head.get("same_as", earlier.pk),
        "keyless": earlier.head.get("keyless", 0),
    }
    for model in (ImportIssue, RejectedRow):
        _copy(model, earlier, job)
    snapshot = make_empty(staged)
    return Counts(0, 0, 0, earlier.missing_rows), snapshot


def _reads(job: ImportJob) -> str:
    """Return all that decides how the job's bytes become values, as the database keeps it."""
    matches = [
        {name: match.get(name) for name in DECIDES} for match in job.mapping if match["column"] is not None
    ]
    return json.dumps(
        [job.head.get(name) for name in ("reading", "labels", "blank")] + [job.dialect, matches],
        sort_keys=True,
    )


def is_still_so(job: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether the dataset is as it was when the job was recognised."""
    earlier = ImportJob.objects.filter(pk=job.head["same_as"], state=State.IMPORT_SUCCEEDED).first()
    return earlier is not None and _is_last_writer(earlier, spec)


def _is_last_writer(earlier: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether no record changed since the import: its own entries are the last in history."""
    if earlier.is_same:  # it leads to the one that was read, in one step
        return is_still_so(earlier, spec)
    if not earlier.changes_in_all:
        return not is_touched(earlier, spec)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT history_change_reason FROM {spec.history_table} ORDER BY history_id DESC LIMIT 1"
        )
        last = cursor.fetchone()
        return last is not None and last[0] == earlier.reason


def _copy(model: Any, earlier: ImportJob, job: ImportJob) -> None:
    names = [one.column for one in model._meta.local_fields if one.name not in ("id", "job")]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (job_id, {quoted(names)}) SELECT %s, {quoted(names)} FROM {table}"
            " WHERE job_id = %s ORDER BY id",
            [job.pk, earlier.pk],
        )
