"""What can be asked of background work, by any app and from inside any tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import sleep
from zlib import crc32

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_public, tenant_or_none
from jobs import claim, dispatcher, engine, outbox, runner
from jobs.kinds import Json
from jobs.limits import DEFAULT_PRIORITY
from jobs.models import ACTIVE, PUBLIC, Job, JobQuerySet, State, TenantShare
from jobs.outbox import TargetBusy

__all__ = [
    "JobNotFound",
    "JobStatus",
    "NotRetryable",
    "TargetBusy",
    "TenantPaused",
    "admit_tenant",
    "cancel",
    "dispatch_hourly",
    "forget_tenant",
    "is_active",
    "pause_tenant",
    "resume_tenant",
    "retry",
    "run_pending",
    "run_until_done",
    "status",
    "submit",
]


class JobNotFound(RowhouseError):
    """No such job here; another tenant's counts as none."""

    code = "job-not-found"
    status = 404


class NotRetryable(RowhouseError):
    """Only a job that failed or was cancelled can be started again."""

    code = "not-retryable"


class TenantPaused(RowhouseError):
    """The tenant's work is paused, so none of it may run in the foreground either."""

    code = "tenant-paused"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as people see it. `state` is RUNNING from the first slice to the end, also between slices."""

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

    @property
    def has_ended(self) -> bool:
        """Return whether nothing will change any more."""
        return self.state not in ACTIVE


def submit(
    kind: str,
    *,
    target: str,
    payload: Json,
    idem_key: str | None = None,
    priority: int = DEFAULT_PRIORITY,
    not_before: datetime | None = None,
) -> Job:
    """Ask for work of the current tenant (or the platform) in the caller's transaction, and ring.

    A job with the same `idem_key` is returned instead of a second one, whatever became of it.

    :raises TargetBusy: another job of this kind is at this target.
    :raises UnknownKind: no app declares the kind.
    """
    tenant = tenant_or_none()
    with in_public(), transaction.atomic():
        return outbox.put(
            tenant,
            kind=kind,
            target=target,
            payload=payload,
            idem_key=idem_key,
            priority=priority,
            not_before=not_before,
        )


def cancel(job_id: int) -> bool:
    """Ask for a job's end: it ends before its next slice. Return False if it had ended already.

    :raises JobNotFound: there is none here.
    """
    with _own_jobs() as jobs, transaction.atomic():
        job = _one(jobs, job_id)
        asked = Job.objects.active().filter(pk=job.pk).update(cancel_requested=True)
        Job.objects.filter(pk=job.pk, state=State.QUEUED).update(not_before=Now())
        if asked:
            engine.ring()
        return bool(asked)


def retry(job_id: int) -> Job:
    """Queue a failed or cancelled job again, from the last slice that was committed.

    :raises NotRetryable: it did neither fail nor get cancelled.
    :raises TargetBusy: another job is at its target meanwhile.
    """
    with _own_jobs() as jobs, transaction.atomic():
        job = _one(jobs, job_id)
        try:
            with transaction.atomic():
                queued = Job.objects.filter(pk=job.pk, state__in=(State.FAILED, State.CANCELLED)).update(
                    state=State.QUEUED,
                    attempts=0,
                    busy_seconds=0,
                    cancel_requested=False,
                    not_before=Now(),
                    started_at=None,
                    finished_at=None,
                    error_code="",
                    error="",
                )
        except IntegrityError:
            raise TargetBusy(
                f"Another job is working on {job.target} now; try again when it has ended."
            ) from None
        if not queued:
            raise NotRetryable(
                f"Job {job_id} is {job.state.lower()}; only a failed or cancelled one can run again."
            )
        engine.ring()
        return Job.objects.get(pk=job_id)


def status(job_id: int) -> JobStatus:
    """Return how a job of the current tenant stands (any job, outside tenants). One query.

    :raises JobNotFound: there is none here.
    """
    with _own_jobs() as jobs:
        job = _one(jobs, job_id)
    waiting_between_slices = job.state == State.QUEUED and job.step > 0
    seconds = ((job.finished_at or clock()) - job.started_at).total_seconds() if job.started_at else 0
    rate = job.processed / seconds if seconds > 0 and job.processed else None
    left = (
        (job.total - job.processed) / rate if rate and job.total is not None and not job.has_ended else None
    )
    return JobStatus(
        job_id=job.pk,
        kind=job.kind,
        state=State.RUNNING if waiting_between_slices else job.state,
        processed=job.processed,
        total=job.total,
        error_code=job.error_code,
        error=job.error,
        rows_per_second=rate,
        seconds_left=max(left, 0.0) if left is not None else None,
        cancel_requested=job.cancel_requested,
    )


def is_active(kind: str, target: str) -> bool:
    """Return whether the current tenant has a job of this kind at this target that has not ended."""
    tenant = tenant_or_none()
    with in_public():
        return (
            Job.objects.active()
            .filter(schema=tenant.schema if tenant else PUBLIC, kind=kind, target=target)
            .exists()
        )


def run_until_done(job_id: int, *, on_progress: Callable[[JobStatus], None] | None = None) -> Job:
    """Run this very job here, slice by slice, to its end; while a worker has it, wait for that worker.

    Must be called outside any transaction. A step that failed is tried again without its rest.

    :raises JobNotFound: there is none here, or it was deleted meanwhile.
    :raises TenantPaused: the tenant's work is paused.
    """
    with _own_jobs() as jobs:
        while True:
            job = _one(jobs, job_id)
            if job.has_ended:
                return job
            claimed = claim.claim_one(job_id)
            if claimed is not None:
                runner.run_slice(claimed)
            elif TenantShare.objects.filter(pk=job.schema, state=TenantShare.State.PAUSED).exists():
                raise TenantPaused("Background work of this tenant is paused; an operator can resume it.")
            else:
                sleep(0.2)
            if on_progress is not None:
                on_progress(status(job_id))


def run_pending() -> int:
    """Run everything that may run now, here, and return how many slices that took. For tests and the demo."""
    with in_public():
        slices = 0
        while (job := claim.claim()) is not None:
            runner.run_slice(job)
            slices += 1
        return slices


def dispatch_hourly(now: datetime | None = None) -> int:
    """Submit the hourly work that is due and return how many jobs that made. `now`: the database's clock."""
    with in_public():
        return dispatcher.dispatch(now)


def admit_tenant(tenant: TenantRef, *, now: datetime | None = None) -> None:
    """Give a new tenant its place in the order of turns, and its hourly work from the next hour on."""
    with in_public():
        TenantShare.objects.update_or_create(
            schema=tenant.schema,
            defaults={
                "slug": tenant.slug,
                "spread": crc32(tenant.schema.encode()),
                "next_hour_at": dispatcher.first_due(tenant.schema, now or clock()),
            },
        )


def pause_tenant(schema: str) -> None:
    """Let no further slice of this tenant begin; what stands stays where it is."""
    with in_public():
        TenantShare.objects.filter(pk=schema).update(state=TenantShare.State.PAUSED)


def resume_tenant(schema: str) -> None:
    """Let a paused tenant's work go on where it stood."""
    with in_public(), transaction.atomic():
        TenantShare.objects.filter(pk=schema).update(state=TenantShare.State.ACTIVE)
        engine.ring()


def forget_tenant(schema: str) -> None:
    """Delete a tenant's jobs and its share; a slice that runs now is undone when it tries to commit."""
    if schema == PUBLIC:
        raise ValueError("the platform's own jobs are never forgotten")
    with in_public(), transaction.atomic():
        Job.objects.filter(schema=schema).delete()
        TenantShare.objects.filter(pk=schema).delete()


@contextmanager
def _own_jobs() -> Iterator[JobQuerySet]:
    """Enter `public` with the current tenant's jobs; outside tenants, with everyone's."""
    tenant = tenant_or_none()
    with in_public():
        yield Job.objects.filter(schema=tenant.schema) if tenant else Job.objects.all()


def _one(jobs: JobQuerySet, job_id: int) -> Job:
    job = jobs.filter(pk=job_id).first()
    if job is None:
        raise JobNotFound(f"There is no job {job_id} here.")
    return job
