"""The change of a definition that exists: columns are added, arranged, retired, brought back and purged.

Each holds the dataset, compares the definition with the one the person looked at, changes table and
definition in one transaction, and gives the definition its next version. A retired column is nowhere to be
seen and its values stay; a purged one is gone from the records and from their history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import wraps

from django.db import transaction
from django.db.models import Max

import jobs.services
from accounts.models import User
from audit.services import record
from core import clock
from core.errors import RowhouseError
from datasets import checks, ddl, rebuilding, references, rules, signals
from datasets.change_models import Change, ChangeState
from datasets.definition import InvalidDefinition
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from datasets.services import UnknownDataset, checked_definition, require_seen, save_columns, save_labels
from datasets.spec import ColumnSpec
from jobs.services import JobNotFound

ATTEMPTS = 4
REST_SECONDS = 0.1  # doubled after each attempt
PURGE_WAITS = timedelta(days=7)
# Requests that began before the column was retired may still name it.
PURGE_AT_ONCE = timedelta(minutes=1)
POSTPONED_BY = timedelta(minutes=10)
ADDED = "added"  # the reason in the history of a column that was not there from the beginning


class ColumnKept(RowhouseError):
    """This column can neither be retired nor purged."""

    code = "column-kept"


class ChangeRunning(RowhouseError):
    """A change of a type, of rules or of the key is under way."""

    code = "change-running"


class NotRetired(RowhouseError):
    """Something was asked of a retired column that is none."""

    code = "not-retired"


class PurgeNotConfirmed(RowhouseError):
    """What was typed is not the label of the column whose values were to go."""

    code = "purge-not-confirmed"
    status = 422


def patient[**P, R](change: Callable[P, R]) -> Callable[P, R]:
    """Try a change again while somebody uses the tables; in between all who wait behind it have their turn."""

    @wraps(change)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(ATTEMPTS - 1):
            try:
                with transaction.atomic():
                    return change(*args, **kwargs)
            except ddl.DatasetBusy:
                time.sleep(REST_SECONDS * 2**attempt)
        with transaction.atomic():
            return change(*args, **kwargs)

    return run


@patient
def add_columns(
    *, dataset: Dataset, columns: Sequence[NewColumn], seen: int | None = None, by: User | None = None
) -> list[Column]:
    """Add columns behind the others. Where there are records already, none of them can be required.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises InvalidDefinition: the dataset cannot have these columns; the message lists why.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    dataset = held(dataset, seen)
    spec = dataset.spec()
    if not columns:
        raise InvalidDefinition("Name at least one column to add.")
    key = [column.label for column in spec.key_columns]
    whole = references.resolved([*map(_as_new, spec.columns), *columns], key)
    checked = checked_definition(title=dataset.title, columns=whole, key=key)
    new = checked.columns[len(spec.columns) :]
    _refuse_required(new, is_filled=ddl.is_filled(spec))
    if ddl.places(spec).free < len(new):
        rebuilding.keep_room(dataset, by)
        _refuse_without_room(dataset, len(new))
    last = dataset.columns.aggregate(last=Max("position"))["last"] or 0
    made = save_columns(dataset, new, by=by, first=last + 1, reason=ADDED)
    ddl.add_columns(dataset.spec(), [column.spec() for column in made])
    # Until the tables were ours somebody may have added the first record.
    _refuse_required(new, is_filled=ddl.is_filled(spec))
    rebuilding.keep_room(dataset, by)
    _next_version(dataset, by)
    record("datasets.columns.added", actor=by, target=dataset, labels=[column.label for column in made])
    return made


def _refuse_without_room(dataset: Dataset, wanted: int) -> None:
    places = ddl.places(dataset.spec())
    if places.free >= wanted:
        return
    if places.dropped:
        raise InvalidDefinition(
            "The table has no room for so many columns, because purged ones keep their place in it. Have it made anew"
            f" with `rowhouse rebuild_dataset {dataset.slug}`, then add them."
        )
    raise InvalidDefinition(
        "The table has no room for so many columns: retired ones keep their place in it. Purge some of them, then add"
        " these."
    )


def _refuse_required(columns: Sequence[NewColumn], *, is_filled: bool) -> None:
    required = [f"“{column.label}”" for column in columns if column.is_required]
    if required and is_filled:
        raise InvalidDefinition(
            f"The dataset has records, and they would have no value in {', '.join(required)}. Add it without"
            " “required”, fill it in, then require it."
        )


@patient
def arrange_columns(
    *,
    dataset: Dataset,
    order: Sequence[int],
    labels: Mapping[int, str] | None = None,
    seen: int | None = None,
    by: User | None = None,
) -> bool:
    """Put the columns in an order and rename them, both by primary key; return whether anything changed.

    The tables stay as they are. Columns that `order` leaves out come last, as they stand.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises InvalidDefinition: a label is empty, too long, not printable or stands twice; or `order` names
        what is no column in use.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    dataset = held(dataset, seen)
    columns = {column.pk: column for column in dataset.columns.in_use()}
    if len(set(order)) != len(order) or not set(order) <= set(columns):
        raise InvalidDefinition(
            "The order names a column twice, or one that is not in use. Open the page again."
        )
    before = [(column.pk, column.label, column.position) for column in columns.values()]
    arranged = [*(columns[pk] for pk in order), *(one for pk, one in columns.items() if pk not in set(order))]
    for position, column in enumerate(arranged, start=1):
        column.position = position
        column.label = rules.clean_label((labels or {}).get(column.pk, column.label))
    checked_definition(title=dataset.title, columns=[_as_new(one.spec()) for one in arranged], key=())
    if [pk for pk, _, _ in before] == [one.pk for one in arranged]:
        for (_, _, position), column in zip(before, arranged, strict=True):
            column.position = position  # the same order needs no other numbers
    known = {pk: (label, position) for pk, label, position in before}
    changed = [column for column in arranged if known[column.pk] != (column.label, column.position)]
    if not changed:
        return False
    renamed = [column for column in changed if known[column.pk][0] != column.label]
    save_labels(changed, by=by)
    _next_version(dataset, by)
    record(
        "datasets.columns.arranged", actor=by, target=dataset, renamed=len(renamed),
        moved=[column.label for column in arranged] if len(changed) > len(renamed) else [],
    )  # fmt: skip
    return True


@patient
def retire_column(
    *, dataset: Dataset, column: Column, seen: int | None = None, by: User | None = None
) -> None:
    """Take a column out of use: nobody sees it, nothing fills it in, its values stay until it is purged.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises ColumnKept: it is part of the key, read by a check, the only one left, or retired already.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    dataset = held(dataset, seen)
    spec = dataset.spec()
    column = Column.objects.get(pk=column.pk, dataset=dataset)
    if column.is_retired:
        raise ColumnKept(f"“{column.label}” is retired already.")
    if column.pk in dataset.key:
        raise ColumnKept(
            f"“{column.label}” is part of the key, which tells one record from another. It cannot be retired."
        )
    if len(spec.columns) == 1:
        raise ColumnKept(f"“{column.label}” is the only column left. Add another one, then retire it.")
    if found := [one.name for one in spec.checks if checks.reads(one, spec, column.spec().name)]:
        raise ColumnKept(
            f"The check “{found[0]}” reads “{column.label}”. Change or remove that check, then retire the column."
        )
    signals.changing.send(sender=Dataset, dataset=dataset, column=column)  # its indexes go
    ddl.free_column(spec, column.spec())
    column.is_retired, column.is_required, column.retired_at = True, False, clock.now()
    _save(column, by, "is_retired", "is_required", "retired_at")
    _next_version(dataset, by)
    record("datasets.column.retired", actor=by, target=dataset, column=column.pk, label=column.label)


@patient
def bring_back_column(
    *,
    dataset: Dataset,
    column: Column,
    label: str | None = None,
    seen: int | None = None,
    by: User | None = None,
) -> None:
    """Take a retired column back into use, with its values; it is not required any more. No purge comes.

    :param label: what it is called from now on; its former label if left out.
    :param seen: the version of the definition the person looked at; None takes any.
    :raises NotRetired: it is in use.
    :raises InvalidDefinition: another column has the label by now.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    dataset = held(dataset, seen)
    column = _retired(dataset, column)
    spec = dataset.spec()
    column.label = rules.clean_label(column.label if label is None else label)
    checked_definition(
        title=dataset.title, columns=[*map(_as_new, spec.columns), _as_new(column.spec())], key=()
    )
    _call_off(column)
    ddl.restore_default(spec, column.spec())
    column.is_retired, column.retired_at = False, None
    _save(column, by, "label", "is_retired", "retired_at", "purge_at", "purge_job_id")
    _next_version(dataset, by)
    record("datasets.column.brought_back", actor=by, target=dataset, column=column.pk, label=column.label)


@transaction.atomic
def order_purge(
    *, dataset: Dataset, column: Column, typed: str, at_once: bool = False, by: User | None = None
) -> datetime:
    """Have the values of a retired column removed for good, in PURGE_WAITS or at once; return when.

    :param typed: the column's label, typed by the person as the confirmation.
    :raises NotRetired: it is in use.
    :raises PurgeNotConfirmed: something else was typed.
    """
    dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)
    column = _retired(dataset, column)
    if rules.clean_label(typed) != column.label:
        raise PurgeNotConfirmed(
            f"The values of “{column.label}” stay: to have them removed for good, type its label exactly."
        )
    _call_off(column)
    column.purge_at = clock.now() + (PURGE_AT_ONCE if at_once else PURGE_WAITS)
    _submit_purge(column, by.pk if by else None)
    _save(column, by, "purge_at", "purge_job_id")
    record(
        "datasets.column.purge_ordered", actor=by, target=dataset, column=column.pk, label=column.label,
        at=column.purge_at.isoformat(),
    )  # fmt: skip
    return column.purge_at


@transaction.atomic
def call_off_purge(*, dataset: Dataset, column: Column, by: User | None = None) -> None:
    """Keep the values of a retired column after all.

    :raises NotRetired: it is in use.
    """
    dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)
    column = _retired(dataset, column)
    if column.purge_at is None:
        return
    _call_off(column)
    _save(column, by, "purge_at", "purge_job_id")
    record("datasets.column.purge_called_off", actor=by, target=dataset, column=column.pk, label=column.label)


def purge_column(*, column_pk: int, at: str, by_pk: int | None) -> bool:
    """Remove a retired column and its values, from history too, if that is still what was ordered.

    Return False when it has to be tried again, which is asked for: other work holds the dataset.

    :param at: `purge_at` of the order, in ISO format.
    """
    column = Column.objects.select_related("dataset").filter(pk=column_pk, is_retired=True).first()
    if column is None or column.purge_at is None or column.purge_at.isoformat() != at:
        return True
    by = User.objects.filter(pk=by_pk).first() if by_pk else None
    try:
        with transaction.atomic():
            _purge(column, by)
    except RowhouseError:
        column.purge_at = clock.now() + POSTPONED_BY
        _submit_purge(column, by_pk)
        Column.objects.filter(pk=column.pk).update(purge_at=column.purge_at, purge_job_id=column.purge_job_id)
        return False
    return True


def _purge(column: Column, by: User | None) -> None:
    dataset = held(column.dataset, None)
    ddl.drop_column(dataset.spec(), column.spec())
    record("datasets.column.purged", actor=by, target=dataset, column=column.pk, label=column.label)
    column._history_user = by  # type: ignore[attr-defined] # simple-history reads it
    column.delete()
    rebuilding.keep_room(dataset, by)
    _next_version(dataset, by)


def held(dataset: Dataset, seen: int | None = None) -> Dataset:
    """Return the dataset as of now, held for a change of its definition until the transaction ends.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises UnknownDataset: it was deleted.
    :raises ChangeRunning: a change of a type, of rules or of the key is under way.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    # Before the wait too: a merge holds the dataset for long.
    signals.changing.send(sender=Dataset, dataset=dataset)
    with ddl.short_wait(ddl.ALTER_SECONDS):
        ddl.lock_dataset(dataset.pk)
        found = Dataset.objects.select_for_update().filter(pk=dataset.pk).first()
    if found is None:
        raise UnknownDataset(f"“{dataset.title}” was deleted a moment ago.")
    signals.changing.send(sender=Dataset, dataset=found)
    if going_on := Change.objects.filter(dataset=found, state=ChangeState.CHANGE_IN_PROGRESS).first():
        what = "The table" if going_on.is_rebuild else "A column or the key"
        word = "made anew, so that there is room for columns" if going_on.is_rebuild else "changed"
        raise ChangeRunning(
            f"{what} of “{found.title}” is being {word}. Wait until that has ended, then do this."
        )
    require_seen(found, seen)
    return found


def _retired(dataset: Dataset, column: Column) -> Column:
    found = Column.objects.filter(pk=column.pk, dataset=dataset).first()
    if found is None:
        raise NotRetired(f"“{column.label}” is no column of “{dataset.title}” any more.")
    if not found.is_retired:
        raise NotRetired(f"“{found.label}” is in use. Retire it first.")
    return found


def _as_new(column: ColumnSpec) -> NewColumn:
    return NewColumn(column.label, column.type, column.is_required, column.is_unique, column.options)


def _submit_purge(column: Column, by_pk: int | None) -> None:
    assert column.purge_at is not None
    at = column.purge_at.isoformat()
    submitted = jobs.services.submit(
        "datasets.purge", target=f"column:{column.pk}:{at}", not_before=column.purge_at,
        payload={"column": column.pk, "at": at, "by": by_pk},
    )  # fmt: skip
    column.purge_job_id = submitted.pk


def _call_off(column: Column) -> None:
    if column.purge_job_id is not None:
        with suppress(JobNotFound):  # it ended long ago
            jobs.services.cancel(column.purge_job_id)
    column.purge_at = column.purge_job_id = None


def _save(column: Column, by: User | None, *fields: str) -> None:
    column._history_user = by  # type: ignore[attr-defined]
    column.save(update_fields=fields)


def _next_version(dataset: Dataset, by: User | None) -> None:
    dataset.definition_version += 1
    dataset._history_user = by  # type: ignore[attr-defined]
    dataset.save()
    signals.changed.send(sender=Dataset, dataset=dataset)
