"""Many records at once, and taking changes back: worked out first, shown, then written whole or not at all.

What is asked for is worked out here and now when it is about few records, and else by a background job in slices.
A confirm says which plan was seen. When records are others by then, nothing is written: it is worked out again and
shown again. The write is one transaction, under the lock that imports take too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

import jobs.services
from audit.actor import actor, only_changes
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import as_owner, current_tenant
from core.words import count
from datasets import access, changeset_plan, ddl, operations, references, undo_plan
from datasets.cells import NotEditable, editable_columns, require_whole
from datasets.changeset import OPEN, ChangeSet, Kind, State
from datasets.changeset_plan import plan_table, scratch_table
from datasets.models import Dataset
from datasets.operations import Operation
from datasets.spec import DatasetSpec
from datasets.sqltext import name_text, quoted
from datasets.undo_plan import EDITED, TAKEN, HistoryPruned, Touched
from datasets.undo_references import HELD, UNFIT
from jobs.kinds import Slice, Step

BACKGROUND_RECORDS = 10_000  # beyond these it is a background job
TYPED_RECORDS = 100  # beyond these a deletion wants its number typed
UNDO_RULES = {
    EDITED: "This record was changed since and stays as it is.",
    TAKEN: "Another record has its former value now, and it must be unique.",
    UNFIT: "Its former value does not fit the column's rules of today, or names a record that is gone.",
    HELD: "Other records refer to this one, so it stays.",
}
GONE = "This record was deleted since and stays deleted."
BACK = "This record was brought back since and stays as it is."


class NotConfirmable(RowhouseError):
    """A confirm came that does not fit what is there now."""

    code = "not-confirmable"


class NotUndoable(RowhouseError):
    """Undo was asked of changes that are not in force."""

    code = "not-undoable"


class InvalidOperation(RowhouseError):
    """A bulk edit cannot be done to the column, whatever its values."""

    code = "invalid-operation"
    status = 422


class _Stale(Exception):
    """The records are not those of the plan."""

    def __init__(self, records: int, names: tuple[str, ...]) -> None:
        super().__init__(records)
        self.records, self.names = records, names

    def words(self) -> str:
        more = f" and {self.records - len(self.names):,} more" if self.records > len(self.names) else ""
        named = f" Changed: {', '.join(self.names)}{more}." if self.names else ""
        return (
            f"{count(self.records, 'record')} changed since this was worked out, so nothing was written. "
            f"It was worked out again; look at it and confirm.{named}"
        )


# ---- asking


@transaction.atomic
def plan_edit(
    *,
    dataset: Dataset,
    records: QuerySet[Any],
    operation: Operation,
    by: Any,
    query: str | None = None,
    note: str = "",
) -> ChangeSet:
    """Work out a bulk edit of records. Nothing is written to the dataset until it is confirmed.

    :param query: the address of the list whose filter the records are, if they are those of one.
    :raises PermissionDenied: the person may not change records, or not this column.
    :raises InvalidOperation: no value of the column could be changed so; the sentence says why.
    """
    access.require(by, "change", dataset)
    spec = dataset.spec()
    column = next((one for one in spec.columns if one.name == operation.column), None)
    if column is None:
        raise InvalidOperation("This column is not one of the dataset any more. Choose another.")
    if column.name not in editable_columns(by, dataset):
        raise NotEditable(f"You may not change “{column.label}”.")
    if reason := operations.why_not(operation, column):
        raise InvalidOperation(reason)
    made = _asked(
        dataset, Kind.EDIT, by, title=operation.title(column), operation=operation.stored(),
        columns=[column.name], query=query, note=note,
    )  # fmt: skip
    return _picked(made, spec, records)


@transaction.atomic
def plan_delete(
    *, dataset: Dataset, records: QuerySet[Any], by: Any, query: str | None = None, note: str = ""
) -> ChangeSet:
    """Work out the deletion of records. Nothing is deleted until it is confirmed.

    :raises PermissionDenied: the person may not delete records.
    """
    access.require(by, "delete", dataset)
    made = _asked(dataset, Kind.DELETE, by, title="Deleted records", query=query, note=note)
    return _picked(made, dataset.spec(), records)


@transaction.atomic
def plan_undo(*, changes: ChangeSet, by: Any, note: str = "") -> ChangeSet:
    """Work out how to take changes back. Asking twice finds the undo that is open already.

    :raises PermissionDenied: the person may not do what the undo would do.
    :raises NotUndoable: the changes are not in force, or stand in the way of a later undo.
    :raises HistoryPruned: history does not hold what was changed.
    """
    changes = ChangeSet.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=changes.pk)
    require_undo(by, changes)
    if is_open := ChangeSet.objects.filter(undoes=changes, state__in=OPEN).first():
        return is_open
    require_undoable(changes)
    made = _asked(
        changes.dataset, Kind.UNDO, by, title=f"Undo of {changes}: {changes.title}"[:300], undoes=changes,
        columns=changes.columns, picked_records=changes.touched_records, note=note,
    )  # fmt: skip
    _work_out(made)
    return made


def _asked(dataset: Dataset, kind: Kind, by: Any, **values: Any) -> ChangeSet:
    changeset_plan.sweep()
    made = ChangeSet.objects.create(
        dataset=dataset,
        kind=kind,
        state=State.PLANNING,
        created_by=by,
        definition_version=dataset.definition_version,
        **values,
    )
    record(f"datasets.changes.{kind}_asked", actor=by, target=made, dataset=dataset.slug)
    return made


def _picked(made: ChangeSet, spec: DatasetSpec, records: QuerySet[Any]) -> ChangeSet:
    made.picked_records = changeset_plan.pick(made, spec, records)
    made.save(update_fields=["picked_records"])
    _work_out(made)
    return made


def _work_out(changes: ChangeSet, *, notice: str = "") -> None:
    """Plan changes in PLANNING, here or in the background, in the caller's transaction."""
    changes.plans += 1
    changes.notice = notice
    changes.save(update_fields=["plans", "notice"])
    if changes.picked_records > BACKGROUND_RECORDS:
        _submit("datasets.plan_changes", changes)
        return
    cursor: int | None = 0
    while cursor is not None:
        cursor, _done = plan_some(changes, cursor, time_left=lambda: 1.0)


def _submit(kind: str, changes: ChangeSet) -> None:
    submitted = jobs.services.submit(
        kind,
        target=f"changes:{changes.pk}",
        payload={"changes": changes.pk},
        idem_key=f"{current_tenant().schema}:{kind}:{changes.pk}:{changes.plans}",
    )
    changes.job_id = str(submitted.pk)
    changes.save(update_fields=["job_id"])


def plan_some(changes: ChangeSet, after: int, *, time_left: Any) -> tuple[int | None, int]:
    """Work out a part of the plan; at its end show it. Return where to go on, or None, and how many records it was.

    :raises HistoryPruned: history does not hold what an undo needs.
    :raises NotUndoable: what is to be undone is not in force any more.
    """
    spec = changes.dataset.spec()
    done: int = changes.picked_records
    if changes.kind == Kind.EDIT:
        goes_on, done = changeset_plan.compute(changes, spec, after, time_left=time_left)
        if goes_on is not None:
            return goes_on, done
        figures = changeset_plan.finish(changes, spec)
    elif changes.kind == Kind.DELETE:
        figures = {"deleted_records": changes.picked_records}
    else:
        figures = _plan_of_undo(changes, spec)
    changes.move(
        old=State.PLANNING,
        new=State.PLANNED,
        definition_version=changes.dataset.definition_version,
        **figures,
    )
    return None, done


def _plan_of_undo(changes: ChangeSet, spec: DatasetSpec) -> dict[str, Any]:
    undone = _undone(changes)
    require_undoable(undone)
    table = plan_table(changes.pk)
    entries = undo_plan.write(
        spec, _touched(undone), table=table, scratch=scratch_table(changes.pk), pruned=_pruned(undone)
    )
    counts = undo_plan.counts_of(table, pruned=_pruned(undone))
    kept = sum(counts.kept.values())
    return {
        "created_records": counts.brought_back,
        "updated_records": counts.restored,
        "deleted_records": counts.removed,
        "kept_records": kept,
        "unchanged_records": entries - counts.brought_back - counts.restored - counts.removed - kept,
        "problems": _kept(spec, table) if kept else [],
    }


def _kept(spec: DatasetSpec, table: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT d.id, {name_text(spec, 'e')}, coalesce(d.label, ''), d.kept, d.op::text, d.seen IS NULL"
            f" FROM {table} d JOIN {spec.history_table} e ON e.history_id = d.entry"
            f" WHERE d.kept IS NOT NULL ORDER BY d.entry LIMIT {changeset_plan.KEPT_PROBLEMS}"
        )
        return [
            {
                "id": id_,
                "name": name[: changeset_plan.SHOWN],
                "value": label,
                "code": code,
                "rule": _why_kept(code, op, is_gone=is_gone),
            }
            for id_, name, label, code, op, is_gone in cursor.fetchall()
        ]


def _why_kept(code: str, op: str, *, is_gone: bool) -> str:
    if code == EDITED and op == "+":
        return BACK
    return GONE if code == EDITED and is_gone else UNDO_RULES[code]


def _touched(changes: ChangeSet) -> Touched:
    """Return how the entries of a change set are found; the dates only keep the search to some pages."""
    return Touched(
        "e.history_change_reason = %s AND e.history_date BETWEEN %s AND %s",
        [changes.reason, changes.confirmed_at, changes.ended_at],
        changes.created_records, changes.updated_records, changes.deleted_records,
    )  # fmt: skip


def _pruned(changes: ChangeSet) -> HistoryPruned:
    return HistoryPruned(
        f"The history of this dataset does not reach back to what was before {changes}. It cannot be undone any"
        " more; change the records to the values you want instead."
    )


# ---- undo: who may, and what is in force


def require_undo(user: Any, changes: ChangeSet) -> None:
    """Let a person go on who may do all that taking these changes back does.

    :raises PermissionDenied: a right is missing, or a column it would change may not be changed.
    """
    access.require(user, "view", changes.dataset)
    wanted = (
        ("delete", changes.created_records),
        ("change", changes.updated_records),
        ("add", changes.deleted_records),
    )
    for right, number in wanted:
        if number:
            access.require(user, right, changes.dataset)
    if changes.deleted_records and user is not None:
        require_whole(user, changes.dataset)
    if changes.updated_records and user is not None:
        locked = set(changes.columns) - editable_columns(user, changes.dataset)
        in_use = {one.name for one in changes.dataset.spec().columns}
        if locked & in_use:
            raise PermissionDenied("You may not change a column that this undo would change.")


def require_undoable(changes: ChangeSet) -> None:
    """Go on only if the changes are in force.

    :raises NotUndoable: with what to undo instead.
    """
    if changes.state == State.UNDONE:
        by = ChangeSet.objects.filter(undoes=changes, state=State.DONE).first()
        which = f", by {by}. Undo that one to have these changes again." if by else "."
        raise NotUndoable(f"{str(changes).capitalize()} is undone already{which}")
    if changes.state != State.DONE:
        raise NotUndoable(
            f"{str(changes).capitalize()} changed no record: it is {changes.get_state_display()}."
        )
    for earlier, state in _chain(changes):
        if earlier.state != state:
            what = "undone again" if earlier.state == State.UNDONE else "put back"
            raise NotUndoable(
                f"{str(earlier).capitalize()} was {what} since. Go on from the last undo of it."
            )


def _chain(changes: ChangeSet) -> Iterator[tuple[ChangeSet, State]]:
    """Yield the changes before these in the chain of undos, each with its state while these are in force."""
    state, earlier = State.UNDONE, changes.undoes
    while earlier is not None:
        yield earlier, state
        state = State.DONE if state == State.UNDONE else State.UNDONE
        earlier = earlier.undoes


def _undone(changes: ChangeSet) -> ChangeSet:
    assert changes.undoes_id is not None
    return ChangeSet.objects.select_related("dataset").get(pk=changes.undoes_id)


# ---- deciding


@transaction.atomic
def confirm_changes(
    *, changes: ChangeSet, by: Any, seen: int, typed: int | None = None, records: QuerySet[Any] | None = None
) -> ChangeSet:
    """Write what a person has looked at, here or in the background.

    When records are not those of the plan any more, nothing is written: it is planned again, and `notice` says so.

    :param seen: the number of the plan the person looked at.
    :param typed: the number of records the person typed, where a deletion wants that.
    :param records: those of the filter as they are now, where it was asked for a filter.
    :raises NotConfirmable: it is not waiting, another plan was seen, or the number is another.
    :raises PermissionDenied: the person may not do it.
    """
    changes = _locked(changes)
    require_confirm(by, changes)
    if changes.state != State.PLANNED:
        raise NotConfirmable(
            f"It was confirmed or cancelled already, or is not ready: {changes.get_state_display()}."
        )
    if seen != changes.plans:
        raise NotConfirmable("This was worked out again since the page was opened. Look at it, then confirm.")
    if asks_number(changes) and typed != changes.deleted_records:
        said = "Nothing was typed" if typed is None else f"{typed:,} was typed"
        raise NotConfirmable(
            f"{said}, but {count(changes.deleted_records, 'record')} would be deleted. Type"
            f" {changes.deleted_records} to delete them."
        )
    if records is not None and changeset_plan.differs_from(changes, records):
        picked = changes.picked_records
        changes.move(old=State.PLANNED, new=State.PLANNING)
        changes.picked_records = changeset_plan.pick(changes, changes.dataset.spec(), records)
        changes.save(update_fields=["picked_records"])
        _work_out(
            changes,
            notice=f"The list's filter found {count(picked, 'record')} when this was worked out, and now"
            f" {count(changes.picked_records, 'record')}, not all of them the same. Nothing was written;"
            " look at it again and confirm.",
        )
        return changes
    changes.move(old=State.PLANNED, new=State.WORKING, confirmed_by=by, confirmed_at=Now(), notice="")
    record("datasets.changes.confirmed", actor=by, target=changes, records=changes.touched_records)
    if changes.touched_records > BACKGROUND_RECORDS:
        _submit("datasets.apply_changes", changes)
    else:
        write_changes(changes)
    return changes


def asks_number(changes: ChangeSet) -> bool:
    """Return whether a confirm must say how many records go."""
    return changes.kind == Kind.DELETE and changes.deleted_records > TYPED_RECORDS


def require_confirm(user: Any, changes: ChangeSet) -> None:
    """Let a person go on who may do all that the plan does.

    :raises PermissionDenied: a right is missing.
    """
    if changes.kind == Kind.UNDO:
        require_undo(user, _undone(changes))
        return
    access.require(user, "delete" if changes.kind == Kind.DELETE else "change", changes.dataset)
    if set(changes.columns) - editable_columns(user, changes.dataset):
        raise NotEditable("You may not change this column any more.")


@transaction.atomic
def cancel_changes(*, changes: ChangeSet, by: Any) -> None:
    """Give up what was asked for and not yet written.

    :raises NotConfirmable: it was written, or cancelled already.
    """
    changes = _locked(changes)
    if changes.created_by_id != by.pk:
        require_confirm(by, changes)
    if changes.state == State.WORKING and changes.job_id:
        jobs.services.cancel(int(changes.job_id))
        return
    if not changes.move(old=(State.PLANNING, State.PLANNED), new=State.CANCELLED, ended_at=Now()):
        raise NotConfirmable(f"There is nothing to cancel: it is {changes.get_state_display()}.")
    if changes.job_id:
        jobs.services.cancel(int(changes.job_id))
    changeset_plan.sweep()
    record("datasets.changes.cancelled", actor=by, target=changes)


def _locked(changes: ChangeSet) -> ChangeSet:
    return ChangeSet.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=changes.pk)


# ---- writing


def write_changes(changes: ChangeSet, *, waits: bool = False) -> None:
    """Write what a plan in WORKING says, whole, or plan it again with the reason.

    In the caller's transaction. Called a second time, it finds the state moved and does nothing.

    :param waits: for other work at the dataset, as long as the caller's limits allow; else only shortly.
    :raises DatasetBusy: other work holds the dataset.
    """
    if changes.state != State.WORKING:
        return
    with _patience(waits=waits):
        ddl.lock_dataset(changes.dataset_id)
    changes.dataset.refresh_from_db()
    if changes.dataset.definition_version != changes.definition_version or not changeset_plan.is_whole(
        changes
    ):
        _fail(
            changes,
            "The dataset's definition changed, or the plan was lost with the database. Ask for it again.",
        )
        return
    try:
        require_confirm(changes.confirmed_by, changes)
    except PermissionDenied:
        _fail(changes, "The person who confirmed this may not do it any more. Nothing was written.")
        return
    spec = changes.dataset.spec()
    try:
        # A savepoint: when the plan is stale the change set itself still has to be written.
        with actor(changes.confirmed_by_id, changes.reason):
            with _patience(waits=waits), connection.cursor() as cursor:
                # Between the check and the last write nobody may change a record; readers go on.
                cursor.execute(f'LOCK TABLE "{spec.table}" IN SHARE ROW EXCLUSIVE MODE')
            _write(changes, spec)
    except (_Stale, IntegrityError) as error:
        if isinstance(error, IntegrityError) and (refusal := references.refusal_of(error)):
            _fail(changes, f"{refusal.message} Nothing was written.")
            return
        stale = error if isinstance(error, _Stale) else _Stale(1, ())
        _plan_again(changes, spec, stale.words())
        return
    changes.move(old=State.WORKING, new=State.DONE, ended_at=Now())
    if changes.is_undo:
        _turn_chain(changes)
    record(
        "datasets.changes.written", actor=changes.confirmed_by, target=changes, kind=changes.kind,
        created=changes.created_records, updated=changes.updated_records, deleted=changes.deleted_records,
        kept=changes.kept_records,
    )  # fmt: skip
    changeset_plan.sweep()


def _patience(*, waits: bool) -> AbstractContextManager[None]:
    return nullcontext() if waits else ddl.short_wait()


def _write(changes: ChangeSet, spec: DatasetSpec) -> None:
    table = plan_table(changes.pk)
    if changes.is_undo:
        _require_same_undo(changes, spec)
        with ddl.references_at_the_end(spec):
            deleted = undo_plan.remove(spec, table, expected=changes.deleted_records)
            updated = undo_plan.restore(spec, table, expected=changes.updated_records)
            created = undo_plan.bring_back(spec, table, expected=changes.created_records)
    else:
        drifted, names = changeset_plan.drift(changes, spec)
        if drifted:
            raise _Stale(drifted, names)
        created, updated, deleted = 0, 0, 0
        with connection.cursor() as cursor:
            if changes.kind == Kind.DELETE:
                cursor.execute(f"DELETE FROM {spec.table} t USING {table} p WHERE t.id = p.id")
                deleted = int(cursor.rowcount)
            else:
                column = changeset_plan.column_of(changes, spec)
                # In the records' own order, as a merge writes them.
                source = f"SELECT * FROM {table} WHERE rule IS NULL AND NOT is_same ORDER BY id OFFSET 0"
                with only_changes():
                    cursor.execute(
                        f"UPDATE {spec.table} t SET {quoted([column.name])} = {changeset_plan.new_value(column)}"
                        f" FROM ({source}) p WHERE t.id = p.id"
                    )
                    updated = int(cursor.rowcount)
    wanted = (changes.created_records, changes.updated_records, changes.deleted_records)
    if (created, updated, deleted) != wanted:
        raise _Stale(1, ())


@as_owner()
def _require_same_undo(changes: ChangeSet, spec: DatasetSpec) -> None:
    undone = _undone(changes)
    require_undoable(undone)
    now, scratch = f"change_scratch_{changes.pk}", f"change_now_{changes.pk}"
    undo_plan.write(spec, _touched(undone), table=now, scratch=scratch, pruned=_pruned(undone))
    drifted, names = undo_plan.differing(
        spec, now=now, then=plan_table(changes.pk), named=changeset_plan.NAMED
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {now}")
    if drifted:
        raise _Stale(drifted, names)


def _plan_again(changes: ChangeSet, spec: DatasetSpec, notice: str) -> None:
    changes.move(old=State.WORKING, new=State.PLANNING, confirmed_by=None, confirmed_at=None)
    if not changes.is_undo:
        changes.picked_records = changeset_plan.refresh(changes, spec)
        changes.save(update_fields=["picked_records"])
    _work_out(changes, notice=notice)


def _fail(changes: ChangeSet, error: str) -> None:
    changes.move(old=OPEN, new=State.FAILED, error=error, ended_at=Now())
    record("datasets.changes.failed", actor=changes.confirmed_by, target=changes)


def _turn_chain(undo: ChangeSet) -> None:
    """Move the states of all that an undo is about together with its own.

    :raises NotUndoable: one of them was moved meanwhile; the undo must not be kept.
    """
    for earlier, state in _chain(undo):
        old = State.DONE if state == State.UNDONE else State.UNDONE
        if not earlier.move(old=old, new=state):
            raise NotUndoable(
                f"{str(earlier).capitalize()} was undone or put back meanwhile. Look at it again."
            )


# ---- in the background


def run_plan(changes: ChangeSet, work: Slice) -> Step:
    """Work out a slice of a plan. Delivered twice, the second time does it again or finds it done."""
    if changes.state != State.PLANNING:
        return Step(done=True)
    with work.long_statement():
        goes_on, done = plan_some(changes, int(work.cursor.get("after", 0)), time_left=work.time_left)
    cursor = {} if goes_on is None else {"after": goes_on}
    return Step(done=goes_on is None, cursor=cursor, processed=done, total=changes.picked_records)


def run_write(changes: ChangeSet, work: Slice) -> Step:
    """Write a plan, in one slice and one transaction."""
    with work.long_statement():
        write_changes(changes, waits=True)
        spec = changes.dataset.spec()
        with connection.cursor() as cursor:
            # The lists' estimated counts come from here; the other columns' statistics are autovacuum's.
            cursor.execute(f'ANALYZE "{spec.table}" ({quoted(["id", *spec.key])})')
    return Step(done=True, processed=changes.touched_records, total=changes.touched_records)


def work_ended(changes: ChangeSet, *, outcome: str, message: str) -> None:
    """Say that the job of a change set ended without success; nothing was written."""
    new = State.CANCELLED if outcome == "cancelled" else State.FAILED
    if changes.move(old=OPEN, new=new, error=message, ended_at=Now()):
        record(f"datasets.changes.{outcome}", target=changes)
        changeset_plan.sweep()
