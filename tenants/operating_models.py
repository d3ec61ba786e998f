"""What operators settle of a tenant and know about it; all in `public`, each in a table of its own."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class ReadOnlyTenant(models.Model):
    """That a tenant is read-only: while this row is there, its people look and download, and nothing is written."""

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="read_only"
    )
    since_at = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=500, blank=True)
    by_label = models.CharField("by", max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.tenant} is read-only"


class TenantLimits(models.Model):
    """What a tenant may have where it differs from the platform's settings: empty, as there; 0, no limit."""

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="limits"
    )
    rows = models.PositiveBigIntegerField("records", null=True, blank=True)
    bytes = models.PositiveBigIntegerField("space in bytes", null=True, blank=True)
    datasets = models.PositiveBigIntegerField(null=True, blank=True)
    jobs = models.PositiveBigIntegerField("jobs waiting or running", null=True, blank=True)
    users = models.PositiveBigIntegerField("active users", null=True, blank=True)

    def __str__(self) -> str:
        return f"limits of {self.tenant}"


class TenantFigures(models.Model):
    """What a tenant takes and holds, as it was when it was last measured."""

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="figures"
    )
    database_bytes = models.PositiveBigIntegerField(default=0)
    file_bytes = models.PositiveBigIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    datasets = models.PositiveIntegerField(default=0)
    users = models.PositiveIntegerField(default=0)
    last_export_at = models.DateTimeField(null=True, blank=True)
    measured_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"figures of {self.tenant}"

    @property
    def bytes(self) -> int:
        return self.database_bytes + self.file_bytes


class TenantNote(models.Model):
    """What operators tell each other about a tenant. Its people never see it; it is never changed."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="notes")
    text = models.TextField(max_length=5000)
    by_label = models.CharField("by", max_length=300)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.text[:60]


class DomainClaim(models.Model):
    """A domain somebody wants for a tenant and has not shown to be theirs. It is routed nowhere.

    Several tenants may claim one domain: who proves it first has it, so that a claim keeps nobody away.
    """

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="claims")
    domain = models.CharField(max_length=253)
    token = models.CharField(max_length=64)
    claimed_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)
    by_label = models.CharField("by", max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "domain"], name="one_claim_per_tenant_and_domain"),
            models.CheckConstraint(
                condition=Q(domain__regex=r"^[a-z0-9.-]+$"), name="claimed_domain_is_plain_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return self.domain


class EntryGrant(models.Model):
    """That an operator may be inside a tenant for a while, and why. Kept for ever: both sides read it."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="entries")
    operator_id = models.BigIntegerField()
    operator_label = models.CharField("operator", max_length=300)
    reason = models.CharField(max_length=500)
    role = models.CharField(max_length=20)
    granted_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    entered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by_label = models.CharField("ended by", max_length=300, blank=True)
    user_id = models.BigIntegerField("user in the tenant", null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="an_entry_has_a_reason"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("granted_at")), name="an_entry_ends"),
        ]
        indexes = [
            models.Index(fields=["tenant", "expires_at"], condition=Q(ended_at=None), name="entries_open")
        ]

    def __str__(self) -> str:
        return f"{self.operator_label} in {self.tenant}"


class EventStream(models.Model):
    """Where the events of a tenant are sent to, or the platform's own, and how far that is.

    It stands beside the log and not in it: a tenant that is restored, or copied, sends nothing anew by itself.
    """

    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="event_streams", null=True, blank=True
    )
    url = models.CharField(max_length=500, blank=True)
    sealed_secret = models.TextField(blank=True)
    is_on = models.BooleanField(default=True)
    version = models.BigIntegerField(default=1)
    # The reader's place (`audit.gaps`), and the last event it has read.
    upto = models.BigIntegerField(default=0)
    gaps = models.JSONField(default=list)
    upto_uid = models.UUIDField(null=True)
    upto_at = models.DateTimeField(null=True)
    sent = models.BigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(db_default=Now())
    # When the first event was written that waits to be sent; empty while none does.
    waiting_since_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    failing_since_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], name="one_event_stream_of_a_tenant", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"events of {self.tenant or 'the platform'}"
