"""Changing single cells, and putting back what a record was before.

Each save is compare-and-swap on what the person saw: when somebody changed it meanwhile, nothing is overwritten
and both values are told. What is saved is one change set, which can be undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from core.errors import RowhouseError
from core.quotas import Resource, require_room
from core.words import count
from datasets import access
from datasets.changeset import ChangeSet, Kind
from datasets.columntypes import check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.display import shorten
from datasets.models import Dataset
from datasets.recording import change_set, hold_for_editing, why_refused
from datasets.rows import MODELS, RowBase
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import quoted
from datasets.undo_conflicts import stored_columns
from datasets.versions import newest_first

MOST_CELLS = 5_000
CANONICAL = Reading()
Status = Literal["saved", "same", "refused", "conflict", "gone", "ready"]


class NotEditable(PermissionDenied):
    """A column may not be changed by this person."""


class TooManyCells(RowhouseError):
    """More cells at once than a page sends."""

    code = "too-many-cells"
    status = 422


class RecordChanged(RowhouseError):
    """A record is not what the person saw; nothing was overwritten."""

    code = "record-changed"
    status = 409


class NoSuchVersion(RowhouseError):
    """The record has no such version."""

    code = "no-such-version"
    status = 404


class VersionUnfit(RowhouseError):
    """A former version does not fit the rules of today, or another record has its key."""

    code = "version-unfit"
    status = 422


@dataclass(frozen=True, slots=True)
class CellEdit:
    """One cell: the canonical text a person saw in it (None: no value), and what was typed."""

    record_id: int
    column: str
    seen: str | None
    value: str


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of an edit. `now` is what the cell holds after it, `rule` why it was not done.

    saved; same: it holds that already; refused: the column cannot hold it; conflict: somebody changed it since;
    gone: the record was deleted since; ready: it would be, or would have been, saved.
    """

    record_id: int
    column: str
    status: Status
    seen: str | None
    now: str | None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of all cells, in the order they came, and the change set, if anything was saved."""

    cells: tuple[CellResult, ...]
    changes: ChangeSet | None = None


class _Back(Exception):
    """Take everything back; the results are told."""

    def __init__(self, cells: list[CellResult]) -> None:
        super().__init__()
        self.cells = cells


def editable_columns(user: Any, dataset: Dataset) -> frozenset[str]:
    """Return the physical names of the columns a person may change; none without the right to change records."""
    if not access.may(user, "change", dataset):
        return frozenset()
    return access.seen_by(user, dataset).editable


def edit_cells(
    *,
    dataset: Dataset,
    edits: Sequence[CellEdit],
    by: Any,
    dry_run: bool = False,
    skips_refused: bool = False,
) -> Edited:
    """Save cells, all of them or none. Where one was changed since it was seen, none is.

    :param dry_run: only tell what would happen, the refusals of the database too.
    :param skips_refused: leave out the cells their column cannot hold, rather than save none.
    :raises PermissionDenied: the person may not change records.
    :raises TooManyCells: there are more than MOST_CELLS.
    :raises DatasetBusy: other work holds the dataset.
    """
    access.require(by, "change", dataset)
    if len(edits) > MOST_CELLS:
        raise TooManyCells(
            f"These are {count(len(edits), 'cell')}; change at most {MOST_CELLS:,} at once, or import a file."
        )
    if not edits:
        return Edited(())
    try:
        with transaction.atomic():
            return _edit(dataset, edits, by, dry_run=dry_run, skips_refused=skips_refused)
    except _Back as back:
        return Edited(tuple(back.cells))


def _edit(
    dataset: Dataset, edits: Sequence[CellEdit], by: Any, *, dry_run: bool, skips_refused: bool
) -> Edited:
    spec, editable = dataset.spec(), editable_columns(by, dataset)
    columns = {column.name: column for column in access.visible_columns(by, dataset)}
    model = MODELS.get(spec)
    hold_for_editing(spec)
    ids = {edit.record_id for edit in edits}
    records = {one.pk: one for one in model.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    cells = [_judged(edit, columns.get(edit.column), records.get(edit.record_id), editable) for edit in edits]
    _tell_who(cells, spec)
    is_blocked = any(
        cell.status in ("conflict", "gone") or (cell.status == "refused" and not skips_refused)
        for cell in cells
    )
    if is_blocked and not dry_run:
        raise _Back(cells)
    wanted = _wanted(edits, cells, columns)
    if not wanted:
        return Edited(tuple(cells))
    with change_set(dataset=dataset, kind=Kind.CELLS, title=_title(wanted, records, columns), by=by) as made:
        saved, refusals = _save(model, wanted, spec)
        cells = [
            replace(cell, status="refused", now=_text(records[cell.record_id], cell.column),
                    rule=refusals[cell.record_id])
            if cell.status == "ready" and cell.record_id in refusals
            else cell
            for cell in cells
        ]  # fmt: skip
        if dry_run or not saved or (refusals and not skips_refused):
            raise _Back(cells)
        made.updated_records = len(saved)
        made.columns = sorted({name for pk in saved for name in wanted[pk]})
    return Edited(
        tuple(replace(cell, status="saved") if cell.status == "ready" else cell for cell in cells), made
    )


def _judged(
    edit: CellEdit, column: ColumnSpec | None, record: RowBase | None, editable: Collection[str]
) -> CellResult:
    def result(status: Status, now: str | None, rule: str = "") -> CellResult:
        return CellResult(edit.record_id, edit.column, status, edit.seen, now, rule)

    if column is None:
        return result(
            "refused", edit.seen, "This column is not one of the dataset any more. Reload the page."
        )
    if record is None:
        return result("gone", None, "This record was deleted meanwhile; nothing was saved.")
    now = _text(record, column.name)
    if edit.column not in editable:
        return result("refused", now, "You may not change this column.")
    try:
        new = check_cell(edit.value.replace("\r\n", "\n") or None, column, CANONICAL)
    except BadValue as error:
        return result("refused", now, error.rule)
    if new == now or (not new and not now):  # an empty text and no value look the same to a person
        return result("same", now)
    if now != edit.seen:
        return result("conflict", now)
    return result("ready", new)


def _tell_who(cells: list[CellResult], spec: DatasetSpec) -> None:
    """Say of each conflict who made it, and both values."""
    ids = {cell.record_id for cell in cells if cell.status == "conflict"}
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT ON (h.id) h.id, h.history_user_id FROM {spec.history_table} h"
            " WHERE h.id = ANY(%s) ORDER BY h.id, h.history_id DESC",
            [list(ids)],
        )
        by_record = dict(cursor.fetchall())
    people = User.objects.in_bulk({pk for pk in by_record.values() if pk})
    for at, cell in enumerate(cells):
        if cell.status == "conflict":
            who = people.get(by_record.get(cell.record_id))
            rule = (
                f"{who or 'Somebody'} changed this cell meanwhile: you saw {_said(cell.seen)}, and it is"
                f" {_said(cell.now)} now. Nothing was overwritten."
            )
            cells[at] = replace(cell, rule=rule)


def _said(text: str | None) -> str:
    return f"“{shorten(text)}”" if text else "no value"


def _wanted(
    edits: Sequence[CellEdit], cells: Sequence[CellResult], columns: dict[str, ColumnSpec]
) -> dict[int, dict[str, Any]]:
    """Return the values to store, by record and column; of two edits of one cell the later one counts."""
    wanted: dict[int, dict[str, Any]] = {}
    for edit, cell in zip(edits, cells, strict=True):
        if cell.status == "ready":
            kind = type_of(columns[edit.column])
            value = None if cell.now is None else kind.to_python(cell.now)
            wanted.setdefault(edit.record_id, {})[edit.column] = value
    return wanted


def _save(
    model: type[RowBase], wanted: dict[int, dict[str, Any]], spec: DatasetSpec
) -> tuple[set[int], dict[int, str]]:
    """Write record by record; return those that were, and why the others were not."""
    saved, refusals = set(), {}
    for pk, values in sorted(wanted.items()):
        try:
            with transaction.atomic():
                model.objects.filter(pk=pk).update(**values)
        except IntegrityError as error:
            refusals[pk] = why_refused(error, spec)
        else:
            saved.add(pk)
    return saved, refusals


def _title(
    wanted: dict[int, dict[str, Any]], records: dict[int, RowBase], columns: dict[str, ColumnSpec]
) -> str:
    cells = sum(len(values) for values in wanted.values())
    pk, values = next(iter(wanted.items()))
    if cells == 1:
        return f"Changed “{columns[next(iter(values))].label}” of {records[pk]}"
    return f"Changed {count(cells, 'cell')} of {count(len(wanted), 'record')}"


def _text(record: RowBase, name: str) -> str | None:
    value = getattr(record, name)
    return None if value is None else record.text_of(name)


def changed_by_form(
    *, model: type[RowBase], record_id: int, seen: int, values: Mapping[str, Any]
) -> list[str]:
    """Return which columns a person changed in a form that showed one version: not those others changed since.

    Must be inside a transaction; the record is held until its end.

    :param values: what the form holds, for the columns in which it differs from the record of now.
    :raises RecordChanged: somebody changed one of them too, to another value.
    :raises DatasetBusy: other work holds the dataset.
    """
    hold_for_editing(model.spec)
    record = model.objects.select_for_update().filter(pk=record_id).first()
    version = model.history.filter(id=record_id, history_id=seen).first()
    if record is None or version is None:
        return list(values)
    labels = {column.name: column.label for column in model.spec.columns}
    changed = []
    for name, value in values.items():
        shown, now = getattr(version, name), getattr(record, name)
        if value == shown or (value in (None, "") and shown in (None, "")):
            continue
        if now not in (shown, value):
            newest = newest_first(model, record_id).first()
            who = newest.history_user if newest is not None else None
            raise RecordChanged(
                f"{who or 'Somebody'} changed “{labels[name]}” meanwhile: the form showed"
                f" {_said(_text(version.instance, name))}, and it is {_said(_text(record, name))} now. Nothing was"
                " saved. Go back for what you typed, or reload the page to see the record as it is."
            )
        changed.append(name)
    return changed


# ---- what a record was before


@transaction.atomic
def revert_record(
    *,
    dataset: Dataset,
    record_id: int,
    version_id: int,
    seen: int,
    by: Any,
    columns: Collection[str] | None = None,
) -> ChangeSet | None:
    """Give a record the values of one of its versions, or only those of some columns. None: it has them already.

    :param seen: the newest version the person saw.
    :raises PermissionDenied: the person may not change records, or one of the columns.
    :raises NoSuchVersion: the record has none of this number.
    :raises RecordChanged: the record has a newer version, or was deleted.
    :raises VersionUnfit: the values do not fit the rules of today.
    """
    access.require(by, "change", dataset)
    spec = dataset.spec()
    hold_for_editing(spec)
    model = MODELS.get(spec)
    version = _version(model, record_id, version_id)
    record = model.objects.select_for_update().filter(pk=record_id).first()
    _require_newest(model, record_id, seen)
    if record is None:
        raise RecordChanged("This record was deleted. Bring it back instead.")
    editable = editable_columns(by, dataset)
    # The whole record is all of it that this person may change.
    chosen = [one for one in spec.columns if one.name in (editable if columns is None else columns)]
    differing = [one for one in chosen if getattr(record, one.name) != getattr(version, one.name)]
    if not differing:
        return None
    if locked := [one for one in differing if one.name not in editable]:
        raise NotEditable(access.kept_sentence(by, dataset, locked))
    for column in differing:
        _require_fit(column, getattr(version, column.name))
    what = f"“{differing[0].label}” of {record}" if columns is not None else str(record)
    title = f"Reverted {what} to version {version_id}"
    with change_set(dataset=dataset, kind=Kind.REVERT, title=title, by=by) as made:
        try:
            with transaction.atomic():
                model.objects.filter(pk=record_id).update(
                    **{one.name: getattr(version, one.name) for one in differing}
                )
        except IntegrityError as error:
            raise VersionUnfit(f"It was not reverted. {why_refused(error, spec)}") from error
        made.updated_records = 1
        made.columns = sorted(one.name for one in differing)
    return made


@transaction.atomic
def bring_back(*, dataset: Dataset, record_id: int, version_id: int, seen: int, by: Any) -> ChangeSet:
    """Add a deleted record again, under its old number, as one of its versions was.

    :param seen: the newest version the person saw, which is the deletion.
    :raises PermissionDenied: the person may not add records, or not set every column.
    :raises NoSuchVersion: the record has none of this number.
    :raises RecordChanged: it is there again.
    :raises VersionUnfit: another record has its key, or the values do not fit the rules of today.
    :raises QuotaReached: the tenant has as many records as it may have.
    """
    access.require(by, "add", dataset)
    require_whole(by, dataset)
    require_room(Resource.ROWS)
    spec = dataset.spec()
    hold_for_editing(spec)
    model = MODELS.get(spec)
    version = _version(model, record_id, version_id)
    _require_newest(model, record_id, seen)
    if model.objects.filter(pk=record_id).exists():
        raise RecordChanged("This record is there again; nothing was done. Reload the page.")
    for column in spec.columns:
        _require_fit(column, getattr(version, column.name))
    names = quoted(["id", *stored_columns(spec)])
    title = f"Brought back {version.instance}"
    with change_set(dataset=dataset, kind=Kind.RESTORE, title=title, by=by) as made:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT INTO {spec.table} ({names}) SELECT {names} FROM {spec.history_table}"
                    " WHERE id = %s AND history_id = %s",
                    [record_id, version_id],
                )
        except IntegrityError as error:
            raise VersionUnfit(f"It was not brought back. {why_refused(error, spec)}") from error
        made.created_records = 1
        made.columns = [one.name for one in spec.columns]
    return made


def require_whole(user: Any, dataset: Dataset) -> None:
    """Let a person go on who may set every column: a record that comes back has them all.

    :raises PermissionDenied: a column is kept from him.
    """
    if access.seen_by(user, dataset).has_limits:
        raise PermissionDenied(
            "A record comes back with all its columns, and you may not set every column of this dataset."
        )


def _version(model: type[RowBase], record_id: int, version_id: int) -> Any:
    version = model.history.filter(id=record_id, history_id=version_id).first()
    if version is None:
        raise NoSuchVersion(f"Record {record_id} has no version {version_id}.")
    return version


def _require_newest(model: type[RowBase], record_id: int, seen: int) -> None:
    newest = newest_first(model, record_id).first()
    if newest is None or newest.history_id != seen:
        who = newest.history_user if newest is not None else None
        raise RecordChanged(
            f"{who or 'Somebody'} changed this record since you opened its page; nothing was overwritten."
            " Look at its versions again."
        )


def _require_fit(column: ColumnSpec, value: Any) -> None:
    text = None if value is None else type_of(column).to_text(value)
    try:
        check_cell(text, column, CANONICAL)
    except BadValue as error:
        raise VersionUnfit(
            f"The value {_said(text)} of “{column.label}” does not fit: {error.rule}"
        ) from error
