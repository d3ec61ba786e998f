"""Job, the record of what work exists, and TenantShare, how much of the workers each tenant has had."""

from __future__ import annotations

from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from core.tenancy import TenantRef
from jobs.limits import DEFAULT_CAP, DEFAULT_PRIORITY, HOUR_MINUTES, SLOT_MINUTES

PUBLIC = "public"


class State(models.TextChoices):
    """Where a job stands. Between two slices a job is QUEUED again, so that others get their turn."""

    QUEUED = "QUEUED", "Queued"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"
    CANCELLED = "CANCELLED", "Cancelled"


ACTIVE = (State.QUEUED, State.RUNNING)


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs by what they are up to."""

    def active(self) -> JobQuerySet:
        return self.filter(state__in=ACTIVE)


class Job(models.Model):
    """One piece of work of one tenant (`schema`, `slug`), or of the platform (`public` and no slug).

    A worker holds it by `lease` until `lease_until`, by the database's clock; `worker` says which took it last.
    `step` counts the slices that were committed, `attempts` the claims since the last of them.
    """

    schema = models.CharField(max_length=63)
    slug = models.CharField("tenant", max_length=63, blank=True)
    kind = models.CharField(max_length=100)
    target = models.CharField(max_length=200)
    idem_key = models.CharField("idempotency key", max_length=300, null=True, blank=True)  # noqa: DJ001 -- NULLs differ
    payload = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=DEFAULT_PRIORITY)
    not_before = models.DateTimeField(db_default=Now())

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    step = models.IntegerField(default=0)
    cursor = models.JSONField(default=dict)
    processed = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    busy_seconds = models.FloatField(default=0)
    attempts = models.IntegerField(default=0)
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=64, blank=True, db_default="")
    cancel_requested = models.BooleanField(default=False)
    is_suspended = models.BooleanField(default=False, db_default=False)  # its end was asked for by that
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    created_at = models.DateTimeField(db_default=TransactionNow())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["schema", "kind", "target"],
                condition=Q(state__in=ACTIVE),
                name="one_active_job_per_target",
            ),
            models.UniqueConstraint(fields=["schema", "idem_key"], name="one_job_per_idempotency_key"),
        ]
        indexes = [
            models.Index(
                fields=["schema", "priority", "id"],
                condition=Q(state="QUEUED"),
                name="jobs_waiting_by_tenant",
            ),
            models.Index(fields=["schema"], condition=Q(state="RUNNING"), name="jobs_running_by_tenant"),
            models.Index(fields=["lease_until"], condition=Q(state="RUNNING"), name="jobs_running_by_lease"),
            models.Index(
                fields=["id"],
                condition=Q(state="QUEUED", cancel_requested=True),
                name="jobs_to_be_cancelled",
            ),
            models.Index(fields=["finished_at"], name="jobs_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"

    @property
    def tenant(self) -> TenantRef | None:
        """Return whose work it is; None is the platform's own."""
        return None if self.schema == PUBLIC else TenantRef(self.schema, self.slug)

    @property
    def has_ended(self) -> bool:
        """Return whether no worker will touch it again."""
        return self.state not in ACTIVE


class WorkerSign(models.Model):
    """That a worker is alive, as it said last itself; the row goes when it leaves."""

    family = models.CharField(max_length=64, unique=True)
    processes = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    clock_skew_seconds = models.FloatField("seconds its clock is ahead of the database's", default=0)

    def __str__(self) -> str:
        return self.family


class TenantShare(models.Model):
    """A tenant's place in the order of turns: the least `vtime` (seconds worked ÷ weight) comes first."""

    class State(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        PAUSED = "PAUSED", "Paused"

    class PausedBy(models.TextChoices):
        SUSPENDED = "SUSPENDED", "the tenant was suspended"
        OPERATOR = "OPERATOR", "an operator paused its work"

    schema = models.CharField(max_length=63, primary_key=True)
    slug = models.CharField("tenant", max_length=63, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    vtime = models.FloatField(default=0)
    weight = models.FloatField(default=1)
    cap = models.SmallIntegerField(default=DEFAULT_CAP)
    spread = models.BigIntegerField(
        "CRC-32 of the schema's name", default=0
    )  # spreads hourly work over the hour
    slot_minutes = models.PositiveSmallIntegerField(
        "length of a slot in minutes", default=HOUR_MINUTES, db_default=HOUR_MINUTES
    )
    next_hour_at = models.DateTimeField("next hourly work", null=True, blank=True)
    # The last time its work was paused: since when, until when (empty while it lasts), and why.
    paused_at = models.DateTimeField(null=True, blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=9, choices=PausedBy, blank=True, db_default="")

    class Meta:
        verbose_name = "tenant's share"
        verbose_name_plural = "work per tenant"
        constraints = [
            models.CheckConstraint(condition=Q(weight__gt=0), name="a_share_weighs_more_than_nothing"),
            models.CheckConstraint(condition=Q(cap__gte=1), name="a_share_admits_at_least_one_job"),
            models.CheckConstraint(condition=Q(slot_minutes__in=SLOT_MINUTES), name="slots_divide_an_hour"),
        ]
        indexes = [
            models.Index(fields=["vtime"], condition=Q(state="ACTIVE"), name="shares_by_turn"),
            models.Index(fields=["next_hour_at"], condition=Q(state="ACTIVE"), name="shares_by_next_hour"),
        ]

    def __str__(self) -> str:
        return self.slug or self.schema
