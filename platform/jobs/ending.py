"""How a job's slice or the job itself ends other than well: released, given back, failed, cancelled.

All of it is compare-and-set on the lease: whoever lost the job changes nothing.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from django.db import connection, transaction

from core import metrics
from core.backend.cursors import Statements
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from jobs.kinds import Ended, NotYet, UnknownKind, ended_of
from jobs.limits import (
    LOCK_SECONDS,
    MAX_ATTEMPTS,
    MAX_ENDING_ATTEMPTS,
    STATEMENT_SECONDS,
    backoff,
    max_busy_seconds,
)
from jobs.models import Job

logger = logging.getLogger(__name__)

MINE = "WHERE id = %(id)s AND lease = %(lease)s AND state = 'RUNNING'"
END = f"""
UPDATE jobs_job SET state = %(state)s, error_code = %(code)s, error = %(message)s, lease = NULL,
       lease_until = NULL, finished_at = statement_timestamp() {MINE}"""
# Whoever asked for its end does not wait for the rest. The seconds count, or the time limit would begin anew
# with each attempt.
RELEASE = f"""
UPDATE jobs_job SET state = 'QUEUED', error_code = %(code)s, error = %(message)s, lease = NULL, lease_until = NULL,
       busy_seconds = busy_seconds + %(seconds)s,
       not_before = statement_timestamp() + CASE WHEN cancel_requested THEN interval '0' ELSE %(rest)s END {MINE}"""
TELL_LATER = f"""
UPDATE jobs_job SET state = 'QUEUED', error_code = %(code)s, error = %(message)s, lease = NULL, lease_until = NULL,
       not_before = statement_timestamp() + %(rest)s {MINE}"""
GIVE_BACK = f"""
UPDATE jobs_job SET state = 'QUEUED', attempts = attempts - 1, lease = NULL, lease_until = NULL,
       busy_seconds = busy_seconds + %(seconds)s {MINE}"""
# Nobody waits for a handler that waits for a lock; the end is told again a little later.
LIMITS = Statements(
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
)


SUSPENDED = (
    "The tenant was suspended or became read-only meanwhile."
    " What was not finished then was not applied. Start it again."
)

# Of a job whose kind only another release declares: its workers get it within a deploy's time.
NOT_YET = "not-yet"
STRANGER_REST = timedelta(seconds=60)


class Fenced(Exception):
    """The job is not this process's any more; everything it did since must be undone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a job ends that does not succeed, with the sentence people read."""

    outcome: Literal["failed", "cancelled"]
    code: str
    message: str


def due(job: Job) -> Verdict | None:
    """Return how a job that was just claimed must end instead of running, or None."""
    if job.is_suspended:
        return Verdict("failed", "suspended", SUSPENDED)
    if job.cancel_requested:
        return Verdict("cancelled", "cancelled", "It was cancelled on request.")
    if job.busy_seconds > max_busy_seconds():
        return Verdict(
            "failed", "too-long", f"It worked longer than {max_busy_seconds() // 60} minutes, the limit."
        )
    if job.attempts > MAX_ATTEMPTS and job.error_code:  # it has ended; its app could not be told so far
        return Verdict("failed", job.error_code, job.error)
    if job.attempts > MAX_ATTEMPTS:
        return Verdict(
            "failed",
            "worker-died",
            f"The worker died {MAX_ATTEMPTS} times at step {job.step} of this job, so it was given up. "
            "It may need more memory than a worker has.",
        )
    return None


def inside(tenant: TenantRef | None) -> AbstractContextManager[Any]:
    """Enter the job's tenant; the platform's own work stays in `public`."""
    return in_tenant(tenant) if tenant else nullcontext()


def end(job: Job, verdict: Verdict) -> None:
    """End the job and tell its app, in one transaction. An app that fails to hear it is told again later.

    After the last time, or when the telling itself kills the process, the job ends all the same.
    """
    values = {"state": verdict.outcome.upper(), "code": verdict.code, "message": verdict.message}
    if job.attempts > MAX_ENDING_ATTEMPTS:
        _quietly(END, job, **values)
        return
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute(LIMITS)
            _tell(job, verdict)
            _update(END, job, **values)
    except Fenced:
        logger.warning("A job's end was undone: it had been taken over")
    except Exception as error:
        rest = backoff(job.attempts)
        if isinstance(error, UnknownKind):
            logger.warning("No app here declares %s; the job is left to a worker that knows it", job.kind)
            rest = max(rest, STRANGER_REST)
        else:
            logger.exception("The end of %s could not be told to its app, attempt %s", job.kind, job.attempts)
        if job.attempts < MAX_ENDING_ATTEMPTS:
            _quietly(TELL_LATER, job, code=verdict.code, message=verdict.message, rest=rest)
        else:
            _quietly(END, job, **values)


def _tell(job: Job, verdict: Verdict) -> None:
    handler = ended_of(job.kind)
    if handler is None:
        return
    with inside(job.tenant):
        handler(
            Ended(
                job.pk, job.tenant, job.payload, verdict.outcome, verdict.code, verdict.message, job.attempts
            )
        )


def release(job: Job, error: Exception, *, seconds: float = 0.0) -> None:
    """Queue the job again after an error that may pass, with a rest; end it when that was the last attempt.

    `seconds`: how long the attempt worked.
    """
    if Job.objects.filter(pk=job.pk, cancel_requested=True).exists():  # it was stopped, or would be next
        logger.info("A slice of %s ended by %s; it was cancelled", job.kind, type(error).__name__)
    else:
        if isinstance(error, RowhouseError):
            logger.warning("A slice of %s could not go on, attempt %s: %s", job.kind, job.attempts, error)
        elif not isinstance(error, NotYet):
            logger.error("A slice of %s failed, attempt %s", job.kind, job.attempts, exc_info=error)
        if job.attempts >= MAX_ATTEMPTS:
            end(job, Verdict("failed", _code(error), sentence(error)))
            return
    rest = backoff(job.attempts)
    _quietly(RELEASE, job, code=_code(error), message=sentence(error), rest=rest, seconds=seconds)


def give_back(job: Job, *, seconds: float = 0.0) -> None:
    """Queue the job again as if it had not been claimed, but for the `seconds` it worked.

    They count towards the limit, or work that no worker lives long enough for would be tried for ever.
    """
    _quietly(GIVE_BACK, job, seconds=seconds)


def _code(error: Exception) -> str:
    if isinstance(error, RowhouseError):
        return error.code
    return NOT_YET if isinstance(error, NotYet) else "unexpected"


def sentence(error: Exception) -> str:
    """Return what people read about an error nobody expected; the log has the rest."""
    if isinstance(error, NotYet | RowhouseError):
        return str(error)
    return (
        f"Something unexpected went wrong ({type(error).__name__}); the platform's log tells operators what."
    )


def _quietly(statement: str, job: Job, **values: Any) -> None:
    try:
        _update(statement, job, **values)
    except Fenced:  # the slice had committed after all, or someone else has the job
        logger.info("A job was already out of this worker's hands")


def _update(statement: str, job: Job, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"id": job.pk, "lease": job.lease, **values})
        if cursor.rowcount != 1:
            raise Fenced
    if statement == END:
        transaction.on_commit(lambda: metrics.JOBS_ENDED.labels(job.kind, values["state"]).inc())
