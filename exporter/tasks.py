"""Exports as background work: plan, write, point at the new files, prune, each its own slice."""

from __future__ import annotations

from datetime import datetime

from core.clock import now
from exporter.delivering import RESTS, deliver, give_up
from exporter.destinations import remove_unfinished
from exporter.latest import point
from exporter.models import State
from exporter.pruning import prune_exports
from exporter.running import begin_run, end_run, open_run, start_again, write_files
from exporter.scheduling import begin_slot
from exporter.space import sample_space
from jobs.kinds import Again, Ended, Json, Slice, Step

PRUNED_AT_ONCE = 200


def run(work: Slice) -> Step:
    """Run one step of an export; the payload names its run or the slot it is for."""
    following = work.cursor.get("next", "begin")
    if following == "begin" and "slot" in work.payload:
        slot = datetime.fromisoformat(str(work.payload["slot"]))
        if not begin_slot(slot, job_id=work.job_id):
            return Step(done=bool(slot.minute), cursor={"next": "prune"})  # retention comes once an hour
    if following == "prune":
        return _prune(work)
    export = open_run(work.payload, job_id=work.job_id)
    if following == "point":  # after the rows are there for everybody
        with work.long_statement():
            point(export.files.values_list("dataset_slug", flat=True))
        return Step(done=False, cursor={"next": "prune"})
    if export.state in (State.SUCCEEDED, State.MISSED):
        return Step(done=True)  # another job did this slot's export, or the next slot's run went without it
    if following == "begin":
        return Step(done=False, cursor={"next": "write"}, total=begin_run(export, now=now()))
    with work.long_statement():
        written = write_files(export, number=work.attempt, is_cancelled=work.is_cancelled, now=now)
    # Cancelled: the runner ends the job before it would write again.
    following = "write" if written is None else "point"
    return Step(done=False, cursor={"next": following}, processed=written or 0, total=written)


def _prune(work: Slice) -> Step:
    with work.long_statement():
        pruned = prune_exports(now=now(), limit=PRUNED_AT_ONCE)
        if sample_space(today=now().date()):  # once a day: each looks through all there is
            remove_unfinished(now=now())
    return Step(done=len(pruned) < PRUNED_AT_ONCE, cursor={"next": "prune"})


def run_ended(work: Ended) -> None:
    """Tell the run how its job ended."""
    end_run(
        work.payload,
        job_id=work.job_id,
        state=State.CANCELLED if work.outcome == "cancelled" else State.FAILED,
        code=work.code,
        message=work.message,
        now=now(),
        tries=work.attempt,
    )


def run_retried(work: Again) -> Json:
    """Put a failed or cancelled run back to its beginning."""
    return start_again(work)


def notify(work: Slice) -> Step:
    """Try to send a delivery; what fails is tried again after rests that grow, each try kept for people to see."""
    with work.long_statement():
        tries = deliver(work.payload["delivery"], now=now)
    if tries is None:
        return Step(done=True, processed=1)
    return Step(done=False, rest_seconds=RESTS[tries - 1])


def notify_ended(work: Ended) -> None:
    """Tell a delivery that nobody is at it any more."""
    give_up(work.payload["delivery"], work.message)
