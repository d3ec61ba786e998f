"""Running one slice of a claimed job: effects, cursor and fence in one transaction, or nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import monotonic

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from psycopg2.errors import InsufficientPrivilege

from core import metrics, tracing
from core.backend.cursors import Statements
from core.backend.roles import take_in
from core.errors import RowhouseError
from core.standing import TenantReadOnly, require_writable
from core.tenancy import TenantRef, in_public
from jobs import ending, heartbeat, lease, within
from jobs.kinds import Json, Step, Tell, handler_of, hourly_kinds, kind_of, slot_kinds
from jobs.limits import (
    HURRIED_SECONDS,
    IDLE_SECONDS,
    LOCK_SECONDS,
    SLICE_SECONDS,
    STATEMENT_SECONDS,
    leave_seconds,
)
from jobs.models import Job

logger = logging.getLogger(__name__)

# The last two lines: a server notices within seconds that a worker was killed, within a minute that its machine
# is gone; by its own settings it would finish the statement first, and hold the locks for hours.
LIMITS = Statements(
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; "
    "SET LOCAL client_connection_check_interval = '5s'; SET LOCAL tcp_keepalives_idle = 30; "
    "SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3"
)
# While the web is answering, a slice's statement takes one of the server's processors and not three: it is hardly
# slower by that, and pages are no longer the ones that wait.
YIELD = """
SELECT set_config('max_parallel_workers_per_gather', '0', true)
 WHERE EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name = %s AND datname = current_database()
                  AND (state = 'active' OR state_change > clock_timestamp() - interval '3 seconds'))"""
ADVANCE = """
UPDATE jobs_job SET step = step + 1, attempts = 0, lease = NULL, lease_until = NULL, error_code = '',
       error = '', cursor = %(cursor)s, processed = processed + %(processed)s,
       total = COALESCE(%(total)s, total), busy_seconds = busy_seconds + %(seconds)s,
       state = CASE WHEN %(done)s THEN 'DONE' ELSE 'QUEUED' END,
       finished_at = CASE WHEN %(done)s THEN statement_timestamp() END,
       not_before = CASE WHEN %(rest)s > 0 THEN statement_timestamp() + make_interval(secs => %(rest)s)
                    ELSE not_before END
 WHERE id = %(id)s AND lease = %(lease)s AND step = %(step)s AND state = 'RUNNING' RETURNING processed"""
# Whoever comes back from idling begins where the others are, less a second: that much may be owed to a tenant
# that waited while another worked. More is not saved up. A charge that a crash of the database forgets is no loss.
CHARGE = f"""SET LOCAL synchronous_commit = off;
UPDATE jobs_tenantshare mine SET vtime = %(seconds)s / weight + GREATEST(vtime, COALESCE((
  SELECT o.vtime FROM jobs_tenantshare o WHERE o.state = 'ACTIVE' AND o.schema <> mine.schema AND EXISTS (
    SELECT 1 FROM jobs_job w WHERE w.schema = o.schema AND w.state IN ('QUEUED', 'RUNNING'))
   ORDER BY o.vtime LIMIT 1) - {HURRIED_SECONDS}, 0)) WHERE schema = %(schema)s"""  # noqa: S608 -- a figure of ours


@dataclass(slots=True)
class LiveSlice:
    """The `Slice` a handler gets."""

    job: Job
    started: float
    tenant: TenantRef | None
    job_id: int
    payload: Json
    cursor: Json
    step: int
    attempt: int

    def time_left(self) -> float:
        if heartbeat.is_draining():
            return 0.0
        seconds = HURRIED_SECONDS if heartbeat.must_hurry() else SLICE_SECONDS
        return max(0.0, seconds - (monotonic() - self.started))

    def is_cancelled(self) -> bool:
        if heartbeat.leaving_seconds() > leave_seconds():
            raise lease.Left
        with in_public():
            return Job.objects.filter(pk=self.job_id, cancel_requested=True).exists()

    def long_statement(self) -> AbstractContextManager[Tell]:
        return lease.kept(self.job)


def run_slice(job: Job) -> None:
    """Run the next slice of a job this process has just claimed, or end the job if its time has come.

    Never raises for what the handler did; a database that is gone is raised.
    """
    with (
        in_public(),
        structlog.contextvars.bound_contextvars(job=job.pk, kind=job.kind, tenant=job.slug or "-"),
        _heard(),
        within.work(),
    ):
        verdict = ending.due(job)
        if verdict is not None:
            ending.end(job, verdict)
            return
        started = monotonic()
        with tracing.span(f"job {job.kind}"):
            outcome = _try(job, started)
        seconds = monotonic() - started
        metrics.SLICES.labels(job.kind, outcome).inc()
        metrics.SLICE_SECONDS.labels(job.kind).observe(seconds)
        _charge(job, seconds)


def _try(job: Job, started: float) -> str:
    """Work, and return what became of it: committed, undone, given-back, refused, or failed and perhaps tried again."""
    try:
        with transaction.atomic(durable=True):
            step = _work(job, started)
            processed = _advance(job, step, monotonic() - started)
    except ending.Fenced:
        logger.warning("A slice was undone: its job had been taken over")
        return "undone"
    except lease.Left:
        ending.give_back(job, seconds=monotonic() - started)
        return "given-back"
    except RowhouseError as refused:
        if refused.is_passing:
            ending.release(job, refused, seconds=monotonic() - started)
            return "failed"
        ending.end(job, ending.Verdict("failed", refused.code, refused.message))
        return "refused"
    except Exception as error:  # noqa: BLE001 -- the job boundary: released and logged once
        if _has_taken_in(job, error):
            ending.give_back(job, seconds=monotonic() - started)
            return "given-back"
        ending.release(job, error, seconds=monotonic() - started)
        return "failed"
    except BaseException:  # the foreground was interrupted: nobody should wait for the lease
        ending.give_back(job, seconds=monotonic() - started)
        raise
    metrics.JOB_ROWS.labels(job.kind).inc(max(0, processed - job.processed))
    if step.done:
        metrics.JOBS_ENDED.labels(job.kind, "DONE").inc()
    return "committed"


def _has_taken_in(job: Job, error: Exception) -> bool:
    """Return whether the slice had met what a worker of an earlier release made, and it is the tenant's now."""
    if job.tenant is None or not isinstance(error.__cause__ or error, InsufficientPrivilege):
        return False
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            return take_in(cursor, job.schema)
    except DatabaseError:
        logger.warning("What an earlier release made could not be taken in yet", exc_info=True)
        return False


def _work(job: Job, started: float) -> Step:
    with connection.cursor() as cursor:
        cursor.execute(LIMITS)
        cursor.execute(YIELD, [settings.WEB_NAME])
    handler = handler_of(job.kind)
    if job.tenant is not None and kind_of(job.kind).writes:
        try:
            require_writable(job.schema)
        except TenantReadOnly:
            if job.kind in (*hourly_kinds(), *slot_kinds()):
                return Step(done=True)  # left out: nobody asked for it, and its next hour comes
            raise
    work = LiveSlice(job, started, job.tenant, job.pk, job.payload, job.cursor, job.step, job.attempts)
    with ending.inside(job.tenant):
        return handler(work)


def _advance(job: Job, step: Step, seconds: float) -> int:
    """Commit the step, and return how much the job has gone through by now, what was told meanwhile included."""
    values = {
        "id": job.pk,
        "lease": job.lease,
        "step": job.step,
        "cursor": json.dumps(step.cursor),
        "processed": step.processed,
        "total": step.total,
        "seconds": seconds,
        "done": step.done,
        "rest": step.rest_seconds,
    }
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE, values)
        if cursor.rowcount != 1:
            raise ending.Fenced
        return int(cursor.fetchone()[0])


def _charge(job: Job, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CHARGE, {"schema": job.schema, "seconds": max(seconds, 0.01)})


@contextmanager
def _heard() -> Iterator[None]:
    heartbeat.begin_slice()
    try:
        yield
    finally:
        heartbeat.end_slice()
