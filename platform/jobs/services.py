"""What can be asked of background work, by any app and from inside any tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from core.clock import database_now
from core.errors import RowhouseError
from core.quotas import Resource, require_room
from core.standing import require_writable
from core.tenancy import TenantRef, current_tenant, in_public, tenant_or_none
from jobs import claim, dispatcher, ending, engine, foreground, looking, outbox, runner
from jobs.foreground import DatabaseAway, TenantPaused
from jobs.kinds import Again, Json, kind_of, kinds_ending_suspended, kinds_writing, retried_of
from jobs.limits import DEFAULT_PRIORITY, SLOT_MINUTES
from jobs.looking import JobNotFound, JobStatus, active_job, is_active, status
from jobs.models import PUBLIC, Job, State, TenantShare
from jobs.outbox import TargetBusy
from jobs.within import is_within_work

__all__ = [
    "DatabaseAway",
    "JobNotFound",
    "JobStatus",
    "NotRetryable",
    "Pause",
    "TargetBusy",
    "TenantPaused",
    "active_job",
    "admit_tenant",
    "cancel",
    "dispatch_hourly",
    "forget_jobs",
    "end_writing",
    "forget_tenant",
    "is_active",
    "last_pause",
    "pause_tenant",
    "resume_tenant",
    "retry",
    "run_pending",
    "run_until_done",
    "set_slot_minutes",
    "status",
    "submit",
    "suspend_tenant",
    "targets_asked",
]


class NotRetryable(RowhouseError):
    """The job neither failed nor was cancelled, or its app has nothing left that could be done again."""

    code = "not-retryable"


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
    :raises TenantReadOnly: the tenant is read-only, and this kind of work writes.
    :raises QuotaReached: the tenant has as much work waiting as it may have.
    """
    tenant = tenant_or_none()
    if tenant is not None:
        _require_allowed(kind)
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


def _require_allowed(kind: str) -> None:
    writes = kind_of(kind).writes
    if is_within_work():
        return  # what was let in is carried through; a slice that would write is asked before it begins
    if writes:
        require_writable()
    require_room(Resource.JOBS)


def cancel(job_id: int) -> bool:
    """Ask for a job's end: it ends before its next slice, also while its tenant is paused.

    Return False if it had ended already.

    :raises JobNotFound: there is none here.
    """
    with looking.own_jobs() as jobs, transaction.atomic():
        job = looking.one(jobs, job_id)
        asked = Job.objects.active().filter(pk=job.pk).update(cancel_requested=True)
        Job.objects.filter(pk=job.pk, state=State.QUEUED).update(not_before=Now())
        if asked:
            engine.ring()
        return bool(asked)


def retry(job_id: int) -> Job:
    """Queue a failed or cancelled job again, from the last slice that was committed or where its app says.

    The app is asked first, in the same transaction and inside the job's tenant (`JobKind.retried`): it puts
    its own rows back to where the work can begin, or refuses. A kind that has nothing to say just runs again.

    :raises NotRetryable: it did neither fail nor get cancelled, or its app has a reason against it.
    :raises TargetBusy: another job is at its target meanwhile.
    :raises UnknownKind: its app is not installed any more.
    :raises TenantReadOnly: the job's tenant is read-only, and this kind of work writes.
    """
    with looking.own_jobs() as jobs, transaction.atomic():
        job = looking.one(jobs.select_for_update(), job_id)
        if job.tenant is not None and kind_of(job.kind).writes:
            require_writable(job.schema)
        if job.state not in (State.FAILED, State.CANCELLED):
            raise NotRetryable(
                f"Job {job_id} is {job.state.lower()}; only a failed or cancelled one can run again."
            )
        _queue_again(job, cursor=_agreed(job))
        engine.ring()
        return Job.objects.get(pk=job_id)


def _agreed(job: Job) -> Json:
    """Return where the job goes on, as its app says."""
    handler = retried_of(job.kind)
    if handler is None:
        cursor: Json = job.cursor
        return cursor
    with ending.inside(job.tenant):
        return handler(Again(job.pk, job.tenant, job.payload, job.cursor, job.error_code))


def _queue_again(job: Job, *, cursor: Json) -> None:
    # A job that begins anew must not count its rows twice.
    anew = {} if cursor else {"step": 0, "processed": 0, "total": None, "started_at": None}
    try:
        with transaction.atomic():
            Job.objects.filter(pk=job.pk).update(
                state=State.QUEUED,
                cursor=cursor,
                attempts=0,
                busy_seconds=0,
                cancel_requested=False,
                is_suspended=False,
                not_before=Now(),
                finished_at=None,
                error_code="",
                error="",
                **anew,
            )
    except IntegrityError:
        raise TargetBusy(
            f"Another job is working on {job.target} now; try again when it has ended."
        ) from None


def run_until_done(job_id: int, *, on_progress: Callable[[JobStatus], None] | None = None) -> Job:
    """Run this very job here, slice by slice, to its end (`foreground`), and return it.

    :raises JobNotFound: there is none here, or it was deleted meanwhile.
    :raises TenantPaused: the tenant's work is paused.
    :raises DatabaseAway: the database went and did not come back.
    """
    return foreground.run_until_done(job_id, on_progress=on_progress)


def run_pending() -> int:
    """Run everything that may run now, here, and return how many slices that took. For tests and the demo."""
    with in_public():
        slices = 0
        while (job := claim.claim_cancelled() or claim.claim()) is not None:
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
                "next_hour_at": dispatcher.first_due(tenant.schema, now or database_now()),
            },
        )


def pause_tenant(schema: str, *, by: TenantShare.PausedBy = TenantShare.PausedBy.OPERATOR) -> None:
    """Let no further slice of this tenant begin; what stands stays where it is."""
    share = TenantShare.objects.filter(pk=schema)
    with in_public(), transaction.atomic():
        share.exclude(state=TenantShare.State.PAUSED).update(paused_at=Now(), resumed_at=None)
        share.update(state=TenantShare.State.PAUSED, paused_by=by)


def suspend_tenant(schema: str) -> None:
    """Pause a tenant's work, and end what must not go on by itself later (`JobKind.ends_suspended`).

    That ends before its next slice, also while the tenant is paused: FAILED, with the code `suspended`.
    """
    pause_tenant(schema, by=TenantShare.PausedBy.SUSPENDED)
    _end(schema, kinds_ending_suspended())


def end_writing(schema: str) -> None:
    """End a tenant's work that writes and has begun or waits for its turn: FAILED, with the code `suspended`.

    What is planned for later stays, and is judged when its time has come.
    """
    _end(schema, kinds_writing(), Q(state=State.RUNNING) | Q(not_before__lte=Now()))


def _end(schema: str, kinds: Iterable[str], which: Q | None = None) -> None:
    with in_public(), transaction.atomic():
        active = Job.objects.active().filter(which or Q(), schema=schema, kind__in=list(kinds))
        active = active.filter(cancel_requested=False)  # a person was first
        asked = active.update(cancel_requested=True, is_suspended=True)
        Job.objects.filter(schema=schema, state=State.QUEUED, is_suspended=True).update(not_before=Now())
        if asked:
            engine.ring()


def resume_tenant(schema: str) -> None:
    """Let a paused tenant's work go on where it stood."""
    paused = TenantShare.objects.filter(pk=schema, state=TenantShare.State.PAUSED)
    with in_public(), transaction.atomic():
        paused.update(state=TenantShare.State.ACTIVE, resumed_at=Now())
        engine.ring()


@dataclass(frozen=True, slots=True)
class Pause:
    """The last time a tenant's work was paused; `until` is None while it lasts."""

    since: datetime
    until: datetime | None
    by: TenantShare.PausedBy

    @property
    def is_suspension(self) -> bool:
        """Return whether it was paused with its tenant."""
        return self.by == TenantShare.PausedBy.SUSPENDED


def last_pause() -> Pause | None:
    """Return when the current tenant's work was last paused, or None if it never was."""
    schema = current_tenant().schema
    with in_public():
        share = TenantShare.objects.filter(pk=schema, paused_at__isnull=False).first()
    if share is None or share.paused_at is None:
        return None
    return Pause(share.paused_at, share.resumed_at, TenantShare.PausedBy(share.paused_by))


def set_slot_minutes(minutes: int, *, now: datetime | None = None) -> bool:
    """Give the current tenant slots of so many minutes (one of SLOT_MINUTES); False if it has them already.

    It gets one job per slot from the next one on, and still one of each hourly kind per hour.
    """
    if minutes not in SLOT_MINUTES:
        raise ValueError(f"slots have {' or '.join(map(str, SLOT_MINUTES))} minutes, not {minutes}")
    schema = current_tenant().schema
    with in_public():
        return dispatcher.resize(schema, minutes, now)


def targets_asked(kind: str, targets: Iterable[str]) -> set[str]:
    """Return those of the targets for which the current tenant has a job of this kind, whatever became of it."""
    with looking.own_jobs() as own:
        return set(own.filter(kind=kind, target__in=list(targets)).values_list("target", flat=True))


def forget_jobs(schema: str) -> None:
    """Delete a tenant's jobs; it keeps its share. A slice that runs now is undone when it tries to commit."""
    if schema == PUBLIC:
        raise ValueError("the platform's own jobs are never forgotten")
    with in_public(), transaction.atomic():
        Job.objects.filter(schema=schema).delete()


def forget_tenant(schema: str) -> None:
    """Delete a tenant's jobs and its share; a slice that runs now is undone when it tries to commit."""
    if schema == PUBLIC:
        raise ValueError("the platform's own jobs are never forgotten")
    with in_public(), transaction.atomic():
        Job.objects.filter(schema=schema).delete()
        TenantShare.objects.filter(pk=schema).delete()
