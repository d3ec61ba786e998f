"""Changing a few records at once as one change set, and saying in words what the database refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, connection
from django.db.models.functions import Now

from audit.actor import actor
from audit.services import record
from datasets import ddl, references
from datasets.changeset import ChangeSet, Kind, State
from datasets.models import Dataset
from datasets.spec import DatasetSpec


@contextmanager
def change_set(*, dataset: Dataset, kind: Kind, title: str, by: Any, note: str = "") -> Iterator[ChangeSet]:
    """Run the block, whose changes of records history ascribes to a new change set; it sets the counts.

    Must be inside a transaction.
    """
    made = ChangeSet.objects.create(
        dataset=dataset, kind=kind, state=State.WORKING, title=title[:300], note=note[:300], created_by=by,
        confirmed_by=by, confirmed_at=Now(), definition_version=dataset.definition_version,
    )  # fmt: skip
    made.refresh_from_db()
    with actor(by.pk, made.reason):
        yield made
    made.state, made.picked_records = State.DONE, made.touched_records
    made.ended_at = Now()
    made.save()
    made.refresh_from_db()
    record(
        "datasets.changes.written", actor=by, target=made, kind=kind, created=made.created_records,
        updated=made.updated_records, deleted=made.deleted_records,
    )  # fmt: skip


def hold_for_editing(spec: DatasetSpec) -> None:
    """Wait for a merge or a bulk change that is at the dataset, before any record is held.

    Who held a record first and then waited for such work would be waited for by it.

    :raises DatasetBusy: it does not end soon.
    """
    with ddl.short_wait(), connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{spec.table}" IN ROW EXCLUSIVE MODE')


def why_refused(error: IntegrityError, spec: DatasetSpec) -> str:
    """Return the sentence for what a constraint of the table refused."""
    if refusal := references.refusal_of(error):
        return refusal.message
    if rule := ddl.broken_rule(spec, error):
        return rule
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    missing = getattr(diagnosis, "column_name", None)
    if name == ddl.key_constraint(spec):
        labels = ", ".join(column.label for column in spec.key_columns)
        return f"Another record has this key ({labels})."
    for column in spec.columns:
        if name == ddl.unique_constraint(spec, column):
            return f"Another record has this value in “{column.label}”."
        if not name and missing == column.name:
            return f"“{column.label}” needs a value."
        if name in ddl.checks_of(spec, column):
            return f"This value does not fit the rules of “{column.label}”."
    return "The values together break a rule of the dataset."
