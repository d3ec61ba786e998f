"""Background work on datasets: it loads and calls."""

from __future__ import annotations

from datasets import indexing
from datasets.models import RecordIndex
from jobs.kinds import Ended, Slice, Step


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
