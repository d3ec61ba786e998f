"""What a rung bell sets off, and what every worker does now and then."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from time import monotonic

from django.db import DatabaseError, InterfaceError, connection

from core.tenancy import in_public, leave_tenant
from jobs import claim, dispatcher, engine, heartbeat, purging, runner, signs
from jobs.kinds import chores, long_kinds
from jobs.limits import DOORBELL_SECONDS, MAX_DOORBELLS
from jobs.models import Job

logger = logging.getLogger(__name__)


def work() -> None:
    """Answer a bell: run slices of whatever is next until nothing is, the time is up, or the pod leaves.

    Returns nothing and raises nothing: the queue behind it keeps no results.
    """
    leave_tenant()
    try:
        with heartbeat.busy():
            _work()
    except (DatabaseError, InterfaceError):
        logger.warning("The database was lost; the next bell goes on", exc_info=True)
        connection.close()
    finally:
        leave_tenant()


def _work() -> None:
    end = monotonic() + DOORBELL_SECONDS
    while monotonic() < end and not heartbeat.is_draining() and _run(claim.claim_cancelled()):
        pass
    while monotonic() < end:
        if heartbeat.is_draining():
            return
        if not _one_slice() and not _one_more_look():
            return
    if claim.eligible(1):
        engine.ring()


def _one_slice(heard: Sequence[int] = ()) -> bool:
    """Run one slice of whatever is next; the place for a long one is held until it has ended.

    If there is nothing at all, the bells `heard` before the look are forgotten. They are not while long work may
    wait for which this process has no room: another pod may have some.
    """
    with heartbeat.room_for_long(max(1, engine.workers() - 1)) as has_room:
        job = claim.claim(without=() if has_room else long_kinds())
        if job is None or job.kind in long_kinds():
            if job is None and has_room and heard:
                engine.hush(heard)
            return _run(job)
    return _run(job)


def _run(job: Job | None) -> bool:
    if job is None:
        return False
    runner.run_slice(job)
    return True


def _one_more_look() -> bool:
    """Look again before the bells that are left are forgotten, so that none is whose work nobody saw."""
    heard = engine.bells()
    return bool(heard) and _one_slice(heard)


def tick(now: datetime | None = None) -> None:
    """Submit hourly work that is due, queue what dead workers held, and ring for whatever waits.

    Any number of workers may do so at once: the database decides who does what.
    """
    with in_public():
        dispatcher.dispatch(now)
        for family in heartbeat.dead_families():
            claim.release_family(family)
            signs.take_back(family)
        claim.reap()
        waiting = claim.eligible(MAX_DOORBELLS)
        missing = waiting - engine.pending() if waiting else 0
        engine.ring(max(missing, 0))
        signs.sign()  # last: before a release's migration it cannot, and the rest must go on


def tidy() -> None:
    """Remove jobs that ended long ago, then do what else is to be done now and then (`jobs.kinds.chores`)."""
    with in_public():
        purging.purge()
        signs.forget()
        for chore in chores():
            chore()


def look_for_others() -> None:
    """Ask the slices of this worker to end early while all its processes work and another tenant waits."""
    if not heartbeat.family() or heartbeat.busy_processes() < engine.workers():
        heartbeat.hurry(is_due=False)
        return
    with in_public():
        heartbeat.hurry(is_due=claim.others_wait())
