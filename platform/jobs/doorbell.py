"""What a rung bell sets off, and what every worker does now and then."""

from __future__ import annotations

import logging
from datetime import datetime
from time import monotonic

from django.db import DatabaseError, InterfaceError, connection

from core.tenancy import in_public, leave_tenant
from jobs import claim, dispatcher, engine, heartbeat, runner
from jobs.limits import DOORBELL_SECONDS, MAX_DOORBELLS

logger = logging.getLogger(__name__)


def work() -> None:
    """Answer a bell: run slices of whatever is next until nothing is, the time is up, or the pod leaves.

    Returns nothing and raises nothing: the queue behind it keeps no results.
    """
    leave_tenant()
    try:
        _work()
    except (DatabaseError, InterfaceError):
        logger.warning("The database was lost; the next bell goes on", exc_info=True)
        connection.close()
    finally:
        leave_tenant()


def _work() -> None:
    end = monotonic() + DOORBELL_SECONDS
    while monotonic() < end:
        if heartbeat.is_draining():
            return
        job = claim.claim()
        if job is None:
            return
        runner.run_slice(job)
    if claim.eligible(1):
        engine.ring()


def tick(now: datetime | None = None) -> None:
    """Submit hourly work that is due, queue what dead workers held, and ring for whatever waits.

    Any number of workers may do so at once: the database decides who does what.
    """
    with in_public():
        dispatcher.dispatch(now)
        claim.reap()
        waiting = claim.eligible(MAX_DOORBELLS)
        missing = waiting - engine.pending() if waiting else 0
        engine.ring(max(missing, 0))
