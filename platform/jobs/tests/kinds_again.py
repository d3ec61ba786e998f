"""Handlers of kinds that a few tests add for themselves with the fixture `added_kinds`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public
from jobs.kinds import Again, Ended, JobKind, Json, Slice, Step
from jobs.models import Job
from jobs.tests.kinds import _effect

HERE = "jobs.tests.kinds_again"
ENDED = "jobs.tests.kinds.ended"


class NotAgain(RowhouseError):
    code: ClassVar[str] = "not-again"


def two_steps(work: Slice) -> Step:
    """Do a first step; refuse the second until the file `mark` is there."""
    if not work.cursor:
        _effect(work.job_id, "first")
        return Step(done=False, cursor={"at": "second"}, processed=1, total=2)
    if not Path(work.payload["mark"]).exists():
        raise NotAgain("The mark is missing; make it.")
    _effect(work.job_id, "second")
    return Step(done=True, cursor=work.cursor, processed=1)


def agree(work: Again) -> Json:
    _effect(work.job_id, f"asked in {current_tenant().slug}: {work.code} at {work.cursor.get('at')}")
    cursor: Json = work.payload.get("go_on", work.cursor)
    return cursor


def disagree(work: Again) -> Json:
    _effect(work.job_id, "asked")
    raise NotAgain("This cannot be done again; do it anew.")


def stolen(work: Slice) -> Step:
    """Lose the lease in the middle, once; the file `mark` remembers it."""
    _effect(work.job_id, "effect")
    mark = Path(work.payload["mark"])
    if not mark.exists():
        mark.touch()
        with in_public():
            Job.objects.filter(pk=work.job_id).update(lease=None)
    return Step(done=True)


def ended_never(work: Ended) -> None:
    raise AssertionError("nobody should have been told")


KINDS = {
    "again.agreed": JobKind(run=f"{HERE}.two_steps", ended=ENDED, retried=f"{HERE}.agree"),
    "again.refused": JobKind(run=f"{HERE}.two_steps", ended=ENDED, retried=f"{HERE}.disagree"),
    "again.stolen": JobKind(run=f"{HERE}.stolen", ended=ENDED),
    "again.missing": JobKind(run="jobs.tests.nothing.there", ended="jobs.tests.nothing.ended"),
    "again.deadly": JobKind(run=f"{HERE}.two_steps", ended=f"{HERE}.ended_never"),
}
