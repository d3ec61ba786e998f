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

from core.tenancy import TenantRef, in_tenant
from jobs.kinds import Ended, UnknownKind, ended_of
from jobs.limits import MAX_ATTEMPTS, MAX_ENDING_ATTEMPTS, backoff, max_busy_seconds
from jobs.models import Job

logger = logging.getLogger(__name__)

MINE = "WHERE id = %(id)s AND lease = %(lease)s AND state = 'RUNNING'"
END = f"""
UPDATE jobs_job SET state = %(state)s, error_code = %(code)s, error = %(message)s, lease = NULL,
       lease_until = NULL, finished_at = statement_timestamp() {MINE}"""
RELEASE = f"""
UPDATE jobs_job SET state = 'QUEUED', error_code = 'unexpected', error = %(message)s, lease = NULL,
       lease_until = NULL, not_before = statement_timestamp() + %(rest)s {MINE}"""
GIVE_BACK = f"""
UPDATE jobs_job SET state = 'QUEUED', attempts = attempts - 1, lease = NULL, lease_until = NULL {MINE}"""


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
    if job.cancel_requested:
        return Verdict("cancelled", "cancelled", "It was cancelled on request.")
    if job.busy_seconds > max_busy_seconds():
        return Verdict(
            "failed", "too-long", f"It worked longer than {max_busy_seconds() // 60} minutes, the limit."
        )
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
    """End the job and tell its app, in one transaction. An app that fails to hear it is told again later."""
    try:
        with transaction.atomic(durable=True):
            _tell(job, verdict)
            _update(END, job, state=verdict.outcome.upper(), code=verdict.code, message=verdict.message)
    except Fenced:
        logger.warning("A job's end was undone: it had been taken over")
    except Exception as error:
        logger.exception("The end of %s could not be told to its app, attempt %s", job.kind, job.attempts)
        if job.attempts < MAX_ENDING_ATTEMPTS:
            _quietly(RELEASE, job, message=sentence(error), rest=backoff(job.attempts))
        else:
            _quietly(END, job, state=verdict.outcome.upper(), code=verdict.code, message=verdict.message)


def _tell(job: Job, verdict: Verdict) -> None:
    try:
        handler = ended_of(job.kind)
    except UnknownKind:  # its app is gone, and with it everyone who would care
        return
    if handler is None:
        return
    with inside(job.tenant):
        handler(Ended(job.pk, job.tenant, job.payload, verdict.outcome, verdict.code, verdict.message))


def release(job: Job, error: Exception) -> None:
    """Queue the job again after an unexpected error, with a rest; end it when that was the last attempt."""
    if Job.objects.filter(pk=job.pk, cancel_requested=True).exists():  # it was stopped, or would be next
        logger.info("A slice of %s ended by %s; it was cancelled", job.kind, type(error).__name__)
        _quietly(RELEASE, job, message=sentence(error), rest=timedelta())
        return
    logger.error("A slice of %s failed, attempt %s", job.kind, job.attempts, exc_info=error)
    if job.attempts >= MAX_ATTEMPTS:
        end(job, Verdict("failed", "unexpected", sentence(error)))
    else:
        _quietly(RELEASE, job, message=sentence(error), rest=backoff(job.attempts))


def give_back(job: Job) -> None:
    """Queue the job again as if it had not been claimed."""
    _quietly(GIVE_BACK, job)


def sentence(error: Exception) -> str:
    """Return what people read about an error nobody expected; the log has the rest."""
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
