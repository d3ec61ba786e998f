"""The handlers of background jobs: they load and call."""

from __future__ import annotations

import jobs.services
from core.clock import now as clock
from core.tenancy import current_tenant
from datasets import change_tables, change_work, changesets, ddl, erasing_work, indexing, pruning, rebuilding
from datasets.change_models import OPEN, Change, ChangeState
from datasets.changeset import ChangeSet
from datasets.editing import purge_column
from datasets.erasure_models import Erasure
from datasets.listing_models import RecordIndex
from jobs.kinds import Again, Ended, Json, Slice, Step


def purge(work: Slice) -> Step:
    """Purge a retired column; the payload is {"column": pk, "at": when it was ordered for, "by": user pk or null}."""
    purge_column(column_pk=work.payload["column"], at=work.payload["at"], by_pk=work.payload["by"])
    return Step(done=True, processed=1, total=1)


def check_change(work: Slice) -> Step:
    """Do one slice of a check; the payload is {"change": pk}."""
    change = _change(work.payload)
    return Step(done=True) if change is None else change_work.check(change, work)


def change_definition(work: Slice) -> Step:
    """Do one slice of a confirmed change; the payload is {"change": pk}."""
    change = _change(work.payload)
    if change is None:
        return Step(done=True)
    if change.is_rebuild:
        return rebuilding.rebuild(change, work)
    step = change_work.convert(change, work)
    if step.done and change.state == ChangeState.CHANGE_SUCCEEDED:  # each takes a place for a column
        rebuilding.keep_room(change.dataset, change.confirmed_by, at_once=False)
    return step


def change_ended(work: Ended) -> None:
    """End the change whose job failed or was cancelled; what it left is taken away by a job of its own."""
    change = _change(work.payload)
    if change is None or change.job_id != str(work.job_id):
        return
    if change.swapped_at is not None:
        change_work.finish(change, f"Done, but not every rule was looked at again: {work.message}")
        return
    failed = (
        ChangeState.CHANGE_FAILED
        if change.state == ChangeState.CHANGE_IN_PROGRESS
        else ChangeState.CHECK_FAILED
    )
    new = ChangeState.CANCELLED if work.outcome == "cancelled" else failed
    change_work.end(change, new=new, code=work.code, message=work.message)
    jobs.services.submit(
        "datasets.tidy_change",
        target=f"change:{change.pk}",
        payload={"change": change.pk},
        idem_key=f"{current_tenant().schema}:datasets.tidy_change:{change.pk}:{change.jobs_in_all}",
    )


def not_again(work: Again) -> Json:
    """Refuse: a change that ended is asked for again, with a new check."""
    raise jobs.services.NotRetryable(
        "A change that ended is not taken up again. Its people ask for it again, which checks the records anew."
    )


def tidy_change(work: Slice) -> Step:
    """Take away what a change that ended has left; the payload is {"change": pk}."""
    change = _change(work.payload)
    if change is None:
        return Step(done=True)
    leave_nothing = rebuilding.leave_nothing if change.is_rebuild else change_work.leave_nothing
    return leave_nothing(change, work)


def forget_former_values(work: Slice) -> Step:
    """Drop the values from before changes whose time to be reverted is over."""
    due = Change.objects.filter(kept_until__lt=clock(), column__isnull=False)
    due = due.exclude(dataset__changes__in=Change.objects.filter(state=ChangeState.CHANGE_IN_PROGRESS))
    due = due.exclude(pk__in=Change.objects.filter(state__in=OPEN, reverts__isnull=False).values("reverts"))
    for change in due.order_by("pk")[:100]:
        try:
            # Of versions the new definition cannot hold at all, only the old column says what they were.
            change_tables.forget_former(
                change.dataset_id,
                f"c{change.column_id}",
                change.pk,
                history_too=not change.unreadable_versions,
            )
        except ddl.DatasetBusy:
            continue  # an hour later
        Change.objects.filter(pk=change.pk).update(kept_until=None)
        if work.time_left() <= 0:
            return Step(done=False)
    return Step(done=True)


def prune_history(work: Slice) -> Step:
    """Remove versions of records that are past their dataset's retention."""
    return pruning.prune(work)


def build_indexes(work: Slice) -> Step:
    """Build one index of those the payload names; each is a slice."""
    wanted: list[int] = work.payload["indexes"]
    done = int(work.cursor.get("done", 0))
    index = RecordIndex.objects.select_related("dataset").filter(pk=wanted[done]).first()
    if index is not None and index.state == RecordIndex.State.BUILDING:
        with work.long_statement():
            indexing.build(index)
    done += 1
    return Step(done=done >= len(wanted), cursor={"done": done}, processed=1, total=len(wanted))


def build_ended(work: Ended) -> None:
    """Note which indexes will not be there."""
    message = "It was cancelled." if work.outcome == "cancelled" else work.message
    indexing.give_up(work.payload["indexes"], message)


def plan_changes(work: Slice) -> Step:
    """Work out a slice of a bulk change; the payload is {"changes": pk}."""
    changes = _changes(work.payload)
    return Step(done=True) if changes is None else changesets.run_plan(changes, work)


def apply_changes(work: Slice) -> Step:
    """Write a confirmed bulk change; the payload is {"changes": pk}."""
    changes = _changes(work.payload)
    return Step(done=True) if changes is None else changesets.run_write(changes, work)


def changes_ended(work: Ended) -> None:
    changes = _changes(work.payload)
    if changes is not None and changes.job_id == str(work.job_id):
        changesets.work_ended(changes, outcome=work.outcome, message=work.message)


def preview_erasure(work: Slice) -> Step:
    """Count what an erasure would erase; the payload is {"erasure": pk}."""
    return _erase(work, is_real=False)


def erase(work: Slice) -> Step:
    """Do one slice of a confirmed erasure; the payload is {"erasure": pk}."""
    return _erase(work, is_real=True)


def _erase(work: Slice, *, is_real: bool) -> Step:
    erasure = Erasure.objects.filter(pk=work.payload["erasure"]).first()
    return Step(done=True) if erasure is None else erasing_work.run(erasure, work, is_real=is_real)


def erasure_ended(work: Ended) -> None:
    """End the erasure whose job failed or was cancelled."""
    erasure = Erasure.objects.filter(pk=work.payload["erasure"]).first()
    if erasure is not None:
        erasing_work.ended(erasure, work)


def erasure_again(work: Again) -> Json:
    """Refuse: an erasure is gone on with from its own page."""
    return erasing_work.again(work)


def _change(payload: Json) -> Change | None:
    # None: the dataset was deleted meanwhile, and its changes with it.
    return (
        Change.objects.select_related("dataset", "column", "reverts", "confirmed_by")
        .filter(pk=payload["change"])
        .first()
    )


def _changes(payload: Json) -> ChangeSet | None:
    # None: the dataset was deleted meanwhile, and what was to be done to it.
    return ChangeSet.objects.select_related("dataset").filter(pk=payload["changes"]).first()
