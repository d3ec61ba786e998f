"""Undo of a whole import: itself an import job, with a preview, a merge and history, that can be undone in turn.

`ImportJob.undoes` leads from an undo to what it takes back. Along this chain the changes of every second job
are in force: undoing import 1 makes it UNDONE, undoing that undo puts import 1 back to IMPORT_SUCCEEDED, and
so on. A chain in another state was cut by a later undo, and cannot be gone on with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from audit.services import record
from core.errors import RowhouseError
from datasets import access
from importer import rights, services, undo_plan
from importer.changes import page_of_changes
from importer.models import UNCONFIRMED, ImportJob, State

__all__ = ["NotUndoable", "page_of_changes", "undo_import"]

OPEN = (*UNCONFIRMED, State.IMPORT_IN_PROGRESS)


class NotUndoable(RowhouseError):
    """Undo was asked of an import whose changes are not in force."""

    code = "not-undoable"


@transaction.atomic
def undo_import(*, job: ImportJob, by: Any) -> ImportJob:
    """Ask for the preview of an undo. Nothing is written to the dataset until that is confirmed.

    Asking twice finds the undo that is open already.

    :param job: an import that was merged, or an undo of one.
    :param by: the person, or None for an operator at the command line.
    :raises PermissionDenied: the person may not import, or not do what the undo would do.
    :raises NotUndoable: nothing was merged, it is undone already, or it stands in the way of a later undo.
    :raises HistoryPruned: history does not hold what the import did.
    """
    if job.dataset_id is None:
        raise NotUndoable("Only imports into datasets keep the history that an undo needs.")
    job = ImportJob.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=job.pk)
    require_undo(by, job)
    if open_undo := ImportJob.objects.filter(undoes=job, state__in=OPEN).order_by("pk").last():
        return open_undo
    require_undoable(job)
    if job.changes_in_all and not _has_history(job):
        raise undo_plan.pruned(job)
    made = ImportJob.objects.create(
        dataset=job.dataset, undoes=job, mode=job.mode, file_name="", created_by=by
    )
    record("importer.job.undo_asked", actor=by, target=made, dataset=job.dataset.slug, undoes=job.pk)
    services.submit_preview(made)
    return made


def require_undo(user: Any, job: ImportJob) -> None:
    """Let a person go on who may take back what an import did. What is left of that is asked at the confirm.

    :raises PermissionDenied: a right is missing.
    """
    if user is None:
        return
    rights.require_import_of(user, job)
    wanted = (("delete", job.created_rows), ("change", job.updated_rows), ("add", job.deleted_rows))
    for right, rows in wanted:
        if rows and not access.may(user, right, job.dataset):
            raise PermissionDenied(
                f"You do not have the right to {right} records of {job.dataset.title}, which this undo would do."
            )
    access.require_columns(user, job.dataset, rights.columns_undone(job))


def require_undoable(job: ImportJob) -> None:
    """Go on only if the job's changes are in force.

    :raises NotUndoable: with what to undo instead.
    """
    if job.state == State.UNDONE:
        by = ImportJob.objects.filter(undoes=job, state=State.IMPORT_SUCCEEDED).order_by("pk").last()
        which = f", by import {by.pk}. Undo that one to have its changes again." if by else "."
        raise NotUndoable(f"{job} is undone already{which}")
    if job.state != State.IMPORT_SUCCEEDED:
        raise NotUndoable(f"{job} changed no record: {job.get_state_display()}. There is nothing to undo.")
    for earlier, state in _chain(job):
        if earlier.state != state:
            what = "undone again" if earlier.state == State.UNDONE else "put back"
            raise NotUndoable(f"{earlier} was {what} since. Go on from the last undo of it.")


def finish_undo(job: ImportJob) -> None:
    """Say that an undo is merged, in its transaction: the states of all jobs it is about change together.

    :raises NotUndoable: one of them was moved meanwhile; the merge must not be kept.
    """
    job.move(old=State.IMPORT_IN_PROGRESS, new=State.IMPORT_SUCCEEDED)
    undone = job.undoes
    assert undone is not None
    _turn(undone, State.UNDONE, by=job)
    for earlier, state in _chain(undone):
        _turn(earlier, State.IMPORT_SUCCEEDED if state == State.UNDONE else State.UNDONE, by=job)
    record(
        "importer.job.imported", actor=job.confirmed_by, target=job, undoes=undone.pk,
        created=job.created_rows, updated=job.updated_rows, deleted=job.deleted_rows, kept=job.kept_rows,
    )  # fmt: skip


def _turn(job: ImportJob, new: State, *, by: ImportJob) -> None:
    if new == State.UNDONE:
        moved = job.move(old=State.IMPORT_SUCCEEDED, new=new)
    else:  # it ended when it was merged
        moved = job.move(old=State.UNDONE, new=new, ended_at=job.ended_at, undone_at=None)
    if not moved:
        raise NotUndoable(f"{job} was undone or put back meanwhile. Look at it again.")
    name = "importer.job.undone" if new == State.UNDONE else "importer.job.redone"
    record(name, actor=by.confirmed_by, target=job, by=by.pk)


def _chain(job: ImportJob) -> Iterator[tuple[ImportJob, State]]:
    """Yield the jobs before this one in the chain of undos, each with the state it has while this is in force."""
    state, earlier = State.UNDONE, job.undoes
    while earlier is not None:
        yield earlier, state
        state = State.IMPORT_SUCCEEDED if state == State.UNDONE else State.UNDONE
        earlier = earlier.undoes


def _has_history(job: ImportJob) -> bool:
    """Return whether anything of the import is left in history. The preview looks at all of it."""
    condition, parameters = undo_plan.of_import(job, "e")
    with connection.cursor() as cursor:
        table = job.dataset.spec().history_table
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table} e WHERE {condition})", parameters)
        return bool(cursor.fetchone()[0])
