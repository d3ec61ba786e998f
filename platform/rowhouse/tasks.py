"""The handlers of background jobs that several apps take part in: they load and call."""

from __future__ import annotations

from jobs.kinds import Again, Ended, Json, Slice, Step
from rowhouse import restoring


def restore(work: Slice) -> Step:
    """Make the file of a restore; the payload is {"import": pk, "file": pk} or {"import": pk, "at": time}."""
    return restoring.make_file(work)


def restore_ended(work: Ended) -> None:
    restoring.file_not_made(work)


def restore_retried(work: Again) -> Json:
    """Put a restore back to its beginning."""
    return restoring.start_again(work)
