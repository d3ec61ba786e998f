"""Changing a definition whose dataset has records: asked for, checked, confirmed, made, reverted.

A change is checked first (nothing is written), then a person decides, then a job makes it beside the traffic
(`datasets.change_work`). See docs/changing-columns.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q

import jobs.services
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import current_tenant
from core.words import count
from datasets import access, change_work, references
from datasets.change_models import OPEN, RUNNING, Change, ChangeState, OnFailure
from datasets.checks import CODE, BadCheck, parsed
from datasets.conversion import is_in_place
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec

UNIQUE = "unique-error"


class NothingToChange(RowhouseError):
    """The definition is already as it was to become."""

    code = "nothing-to-change"
    status = 422


class NotChangeable(RowhouseError):
    """A change cannot be confirmed as it stands."""

    code = "not-changeable"


class NotRevertible(RowhouseError):
    """A change cannot be reverted, or not any more."""

    code = "not-revertible"


class ChangeOver(RowhouseError):
    """A change was cancelled that is over, or in force already."""

    code = "change-over"


def _require(user: Any, dataset: Dataset) -> None:
    if not access.may_define(user, dataset):
        raise PermissionDenied("You may not change the definition of a dataset. Ask an owner to do it.")


def propose_change(
    *,
    dataset: Dataset,
    column: Column,
    type: str | None = None,
    is_required: bool | None = None,
    is_unique: bool | None = None,
    options: ColumnOptions | None = None,
    by: Any = None,
) -> Change:
    """Ask for the check of a column's other type or rules; what is left out stays. Nothing is changed.

    `options` are all the options of the new definition; left out, those of the old if the type stays.

    :raises PermissionDenied: the person may not change definitions.
    :raises InvalidDefinition: a column cannot be of this type with these rules.
    :raises NothingToChange: it is so already.
    :raises StillReferenced: it is the key that a column refers to, and would get another type.
    """
    _require(by, dataset)
    spec = dataset.spec()
    old = next((one for one in spec.columns if one.pk == column.pk), None)
    if old is None:
        raise InvalidDefinition(f"“{column.label}” is no column of “{dataset.title}”.")
    kind = old.type if type is None else type
    kept = old.options if kind == old.type else ColumnOptions()
    wanted = replace(
        old,
        type=kind,
        is_required=old.is_required if is_required is None else is_required,
        is_unique=old.is_unique if is_unique is None else is_unique,
        options=kept if options is None or kind == "reference" else options,
    )
    if not is_in_place(old, wanted):
        _require_free(dataset, column, kind)
    new = _checked(dataset, replace(spec, columns=_with(spec, wanted)))
    _require_readable(new)
    return _ask(dataset, column, spec, new, [column.pk], by)


def propose_key(*, dataset: Dataset, key: Sequence[str], by: Any = None) -> Change:
    """Ask for the check of another key, by labels in its order; empty: none. Its columns become required.

    :raises PermissionDenied: the person may not change definitions.
    :raises InvalidDefinition: a label is no column, or stands twice.
    :raises NothingToChange: it is the key already.
    :raises StillReferenced: a column refers to the key.
    """
    _require(by, dataset)
    spec = dataset.spec()
    for one in dataset.columns.filter(pk__in=dataset.key):
        references.require_unreferenced(dataset, column=one, to=f"change the key of “{dataset.title}”")
    names = {column.label: column.name for column in spec.columns}
    if unknown := [label for label in key if label not in names]:
        raise InvalidDefinition(f"“{unknown[0]}” is no column of “{dataset.title}”.")
    new = _checked(dataset, replace(spec, key=tuple(names[label] for label in key)), key)
    was = {column.pk: column for column in spec.columns}
    columns = [column.pk for column in new.columns if column != was[column.pk]]
    return _ask(dataset, None, spec, new, columns, by)


def _require_free(dataset: Dataset, column: Column, kind: str) -> None:
    """Refuse to change what references hold.

    :raises StillReferenced: it is a key that a column refers to.
    :raises InvalidDefinition: it is a reference, or was to become one.
    """
    references.require_unreferenced(dataset, column=column, to=f"change the type of “{column.label}”")
    if "reference" in (column.type, kind):
        raise InvalidDefinition(
            f"“{column.label}” cannot change from {column.type} to {kind}: what a reference points to is decided when"
            " its column is made."
        )


def _require_readable(spec: DatasetSpec) -> None:
    """Refuse a definition that a check of the dataset could not read.

    :raises InvalidDefinition: it names the check.
    """
    for check in spec.checks:
        try:
            parsed(check.expression, spec.columns)
        except BadCheck as error:
            raise InvalidDefinition(
                f"The check “{check.name}” could not read the column any more: {error.rule}."
                " Change the check, then the column."
            ) from error


def _with(spec: DatasetSpec, wanted: ColumnSpec) -> tuple[ColumnSpec, ...]:
    return tuple(wanted if one.pk == wanted.pk else one for one in spec.columns)


def _checked(dataset: Dataset, spec: DatasetSpec, key: Sequence[str] | None = None) -> DatasetSpec:
    """Return the definition as a fresh dataset would have it: canonical limits, key columns required."""
    columns = [NewColumn(c.label, c.type, c.is_required, c.is_unique, c.options) for c in spec.columns]
    labels = [one.label for one in spec.key_columns] if key is None else list(key)
    checked = checked_definition(title=dataset.title, columns=columns, key=labels)
    found = {one.label: one for one in checked.columns}
    return replace(
        spec,
        columns=tuple(
            replace(c, is_required=found[c.label].is_required, options=found[c.label].options)
            for c in spec.columns
        ),
    )


@transaction.atomic
def _ask(
    dataset: Dataset,
    column: Column | None,
    old: DatasetSpec,
    new: DatasetSpec,
    columns: Sequence[int],
    by: Any,
    *,
    reverts: Change | None = None,
) -> Change:
    if old == new:
        raise NothingToChange("The definition is already so. Choose another type, rule or key.")
    change = Change(
        dataset=dataset,
        column=column,
        reverts=reverts,
        created_by=by,
        before=change_work.stated_definition(old, columns),
        after=change_work.stated_definition(new, columns),
    )
    change.say("Asked for.")
    change.save()
    record("datasets.change.asked", actor=by, target=dataset, change=change.pk, column=column and column.pk)
    _submit(change, "datasets.check_change")
    return change


def _submit(change: Change, kind: str) -> None:
    change.jobs_in_all += 1
    submitted = jobs.services.submit(
        kind,
        target=f"change:{change.pk}",
        payload={"change": change.pk},
        idem_key=f"{current_tenant().schema}:{kind}:{change.pk}:{change.jobs_in_all}",
    )
    change.job_id = str(submitted.pk)
    change.save(update_fields=["job_id", "jobs_in_all"])


def why_not_changeable(change: Change, on_failure: str) -> str | None:
    """Return what stands against making a change that was checked, as a sentence, or None."""
    if change.state != ChangeState.CHECK_SUCCEEDED:
        return f"It cannot be confirmed now: {change.get_state_display()}."
    spec = change.dataset.spec()
    if not change_work.is_still(spec, change.before):
        return change_work.DEFINITION_CHANGED
    if not change.failing:
        return None
    failing = count(change.failing, "record")
    if on_failure != OnFailure.EMPTY:
        return f"{failing} would fail. Correct them and ask again, or let them lose their value."
    return why_not_emptiable(change)


def why_not_emptiable(change: Change) -> str | None:
    """Return why failing records cannot be left without a value, as a sentence, or None."""
    if change.column_id is None:
        return "A key needs a value of its own in every record. Correct the records, then ask again."
    if change.after["columns"][str(change.column_id)]["is_required"]:
        return "The column needs a value in every record, so none can lose it. Correct the records, then ask again."
    if change.failing_records.filter(code=CODE).exists():
        return (
            "Records would break a check of the dataset. Correct them, or change the check, then ask again."
        )
    if change.failing_records.filter(code=UNIQUE).exists():
        return "Records would have the same value where it must be unique. Correct them, then ask again."
    return None


def has_moved(dataset_pk: int, *, since: datetime) -> bool:
    """Return whether a change wrote records anew since then, so that they are not in their places any more."""
    begun = Change.objects.filter(dataset=dataset_pk, confirmed_at__isnull=False)
    return begun.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=since)).exists()


@transaction.atomic
def confirm_change(*, change: Change, on_failure: str = OnFailure.STOP, by: Any = None) -> None:
    """Start a change that was checked.

    :param on_failure: what becomes of records that fail, also of those that somebody writes meanwhile.
    :raises PermissionDenied: the person may not change definitions.
    :raises NotChangeable: it was not checked, records fail, or another change of the dataset is going on.
    """
    _require(by, change.dataset)
    Dataset.objects.select_for_update(no_key=True).get(pk=change.dataset_id)
    change.refresh_from_db()
    if on_failure not in OnFailure.values:
        raise NotChangeable(f"“{on_failure}” says not what becomes of records that fail: stop or empty.")
    if on_failure == OnFailure.EMPTY and (reason := why_not_emptiable(change)):
        raise NotChangeable(reason)
    if reason := why_not_changeable(change, on_failure):
        raise NotChangeable(reason)
    change.say("Confirmed.")
    values = {"on_failure": on_failure, "confirmed_by": by, "confirmed_at": clock(), "log": change.log}
    try:
        with transaction.atomic():
            change.move(old=(ChangeState.CHECK_SUCCEEDED,), new=ChangeState.CHANGE_IN_PROGRESS, **values)
    except IntegrityError as error:
        raise NotChangeable(
            "Another change of this dataset is going on. Wait until it has ended, then confirm this one."
        ) from error
    record("datasets.change.confirmed", actor=by, target=change.dataset, change=change.pk)
    _submit(change, "datasets.change")


@transaction.atomic
def cancel_change(*, change: Change, by: Any = None) -> None:
    """Give up a change that is not in force yet. The records are as they were.

    :raises PermissionDenied: the person may not change definitions.
    :raises ChangeOver: it has ended, or is in force.
    """
    _require(by, change.dataset)
    change = Change.objects.select_for_update().get(pk=change.pk)
    if change.state not in OPEN or change.swapped_at is not None:
        more = " Revert it instead." if change.swapped_at is not None else ""
        raise ChangeOver(f"This change cannot be cancelled: {change.get_state_display()}.{more}")
    record("datasets.change.cancelled", actor=by, target=change.dataset, change=change.pk)
    if change.state in RUNNING and _is_stopping(change):
        return
    change_work.end(
        change, new=ChangeState.CANCELLED, code="cancelled", message="It was cancelled on request."
    )


def _is_stopping(change: Change) -> bool:
    try:
        return jobs.services.cancel(int(change.job_id))
    except jobs.services.JobNotFound:
        return False


def why_not_revertible(change: Change, now: datetime) -> str | None:
    """Return why a change cannot be reverted, as a sentence, or None."""
    if change.is_rebuild:
        return "The tables were made anew with everything in them: there is nothing to revert."
    if change.state != ChangeState.CHANGE_SUCCEEDED:
        return f"It cannot be reverted: {change.get_state_display()}."
    since = Change.objects.filter(dataset=change.dataset_id, swapped_at__gt=change.swapped_at)
    later = since.filter(column=change.column_id).exclude(state=ChangeState.REVERTED)
    taken_back = Q(reverts__swapped_at__gt=change.swapped_at)
    if change.column_id and (one := later.exclude(taken_back).first()):
        return f"The column was changed again since, by {one}. Revert that one first."
    spec = change.dataset.spec()
    if not change_work.is_still(spec, change.after):
        return "The definition is not what this change made of it any more."
    if change.kept_until is not None and change.kept_until < now:
        return "The values from before this change were kept for 30 days. Ask for a new change instead."
    return None


def revert_change(*, change: Change, by: Any = None) -> Change:
    """Ask for the check of a change back: records untouched since get their former values, to the byte.

    Those edited since are converted from what they say now; the check lists them. Confirm it like any other.

    :raises PermissionDenied: the person may not change definitions.
    :raises NotRevertible: it is not in force, the column was changed again, or the time is over.
    """
    _require(by, change.dataset)
    if reason := why_not_revertible(change, clock()):
        raise NotRevertible(reason)
    spec = change.dataset.spec()
    former = change_work.with_definition(spec, change.before)
    columns = [int(pk) for pk in change.before["columns"]]
    return _ask(change.dataset, change.column, spec, former, columns, by, reverts=change)
