"""What can be seen of jobs: from inside a tenant its own, from outside everyone's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.db.models import Exists, OuterRef

from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import in_public, tenant_or_none
from jobs.models import ACTIVE, PUBLIC, Job, JobQuerySet, State, TenantShare


class JobNotFound(RowhouseError):
    """No such job here; another tenant's counts as none."""

    code = "job-not-found"
    status = 404


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as people see it. `state` is RUNNING from the first slice to the end, also between slices.

    `is_paused`: its tenant's work is, so it waits until an operator resumes it, or until it is cancelled.
    """

    job_id: int
    kind: str
    state: str
    processed: int
    total: int | None
    error_code: str
    error: str
    rows_per_second: float | None
    seconds_left: float | None
    cancel_requested: bool
    is_paused: bool = False

    @property
    def has_ended(self) -> bool:
        """Return whether nothing will change any more."""
        return self.state not in ACTIVE


@contextmanager
def own_jobs() -> Iterator[JobQuerySet]:
    """Enter `public` with the current tenant's jobs; outside tenants, with everyone's."""
    tenant = tenant_or_none()
    with in_public():
        yield Job.objects.filter(schema=tenant.schema) if tenant else Job.objects.all()


def active_jobs(limit: int) -> int:
    """Return how many jobs of the current tenant wait or run, for its limit."""
    with own_jobs() as jobs:
        return jobs.filter(state__in=ACTIVE).count()


def one(jobs: JobQuerySet, job_id: int) -> Job:
    """Return the job of this number.

    :raises JobNotFound: it is not among `jobs`.
    """
    job = jobs.filter(pk=job_id).first()
    if job is None:
        raise JobNotFound(f"There is no job {job_id} here.")
    return job


def status(job_id: int) -> JobStatus:
    """Return how a job of the current tenant stands (any job, outside tenants). One query.

    :raises JobNotFound: there is none here.
    """
    paused = TenantShare.objects.filter(pk=OuterRef("schema"), state=TenantShare.State.PAUSED)
    with own_jobs() as jobs:
        job = one(jobs.annotate(is_paused=Exists(paused)), job_id)
    return _status(job, is_paused=bool(cast("Any", job).is_paused))


def _status(job: Job, *, is_paused: bool) -> JobStatus:
    waiting_between_slices = job.state == State.QUEUED and job.step > 0
    now = clock()
    return JobStatus(
        job_id=job.pk,
        kind=job.kind,
        state=State.RUNNING if waiting_between_slices else job.state,
        processed=job.processed,
        total=job.total,
        error_code=job.error_code,
        error=job.error,
        rows_per_second=rate_of(job, now),
        seconds_left=seconds_left(job, now),
        cancel_requested=job.cancel_requested,
        is_paused=is_paused and not job.has_ended,
    )


def rate_of(job: Job, now: datetime) -> float | None:
    """Return how much the job gets done per second, with all its waiting: what remains takes that long too."""
    seconds = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0
    return job.processed / seconds if seconds > 0 and job.processed else None


def seconds_left(job: Job, now: datetime) -> float | None:
    """Return how long a job that goes on so will still take."""
    rate = rate_of(job, now)
    if rate is None or job.total is None or job.has_ended:
        return None
    return max((job.total - job.processed) / rate, 0.0)


def is_active(kind: str, target: str) -> bool:
    """Return whether the current tenant has a job of this kind at this target that has not ended."""
    return active_job(kind, target) is not None


def active_job(kind: str, target: str) -> int | None:
    """Return the number of the current tenant's job of this kind at this target that has not ended, or None."""
    tenant = tenant_or_none()
    with in_public():
        jobs = Job.objects.active().filter(
            schema=tenant.schema if tenant else PUBLIC, kind=kind, target=target
        )
        return jobs.values_list("pk", flat=True).first()
