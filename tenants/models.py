"""Tenants and the domains they are reached under; both in `public`."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django_tenants.models import DomainMixin, TenantMixin

from core.tenancy import SCHEMA_PATTERN, SLUG_PATTERN, TenantRef
from tenants.backup.models import TenantBackup as TenantBackup  # Django looks for models here

# Django looks for models here.
from tenants.operating_models import DomainClaim as DomainClaim
from tenants.operating_models import EntryGrant as EntryGrant
from tenants.operating_models import EventStream as EventStream
from tenants.operating_models import ReadOnlyTenant as ReadOnlyTenant
from tenants.operating_models import TenantFigures as TenantFigures
from tenants.operating_models import TenantLimits as TenantLimits
from tenants.operating_models import TenantNote as TenantNote


class TenantQuerySet(models.QuerySet["Tenant"]):
    def active(self) -> TenantQuerySet:
        """Those that are served, worked for and exported."""
        return self.filter(state=Tenant.State.ACTIVE)

    def existing(self) -> TenantQuerySet:
        """Those that were not deleted; a deleted one stays as a tombstone that keeps its names."""
        return self.exclude(state=Tenant.State.DELETED)


class Tenant(TenantMixin):
    """One customer. Its schema is made and dropped by our services alone."""

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", "requested"
        PROVISIONING = "PROVISIONING", "being set up"
        ACTIVE = "ACTIVE", "active"
        SUSPENDED = "SUSPENDED", "suspended"
        DELETING = "DELETING", "being deleted"
        DELETED = "DELETED", "deleted"
        FAILED = "FAILED", "failed"

    auto_create_schema = False
    auto_drop_schema = False

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    owner_email = models.EmailField("owner's e-mail address")
    state = models.CharField(max_length=12, choices=State, default=State.REQUESTED)
    state_at = models.DateTimeField(db_default=Now(), editable=False)
    error = models.TextField(blank=True, editable=False)
    # Of a tenant that is being deleted, once its last backup was taken: when its data goes.
    purge_after = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Tenant]] = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(schema_name__regex=SCHEMA_PATTERN), name="schema_name_is_generated"
            ),
            models.CheckConstraint(condition=Q(slug__regex=SLUG_PATTERN), name="slug_is_a_host_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> TenantRef:
        return TenantRef(self.schema_name, self.slug)

    def move(self, *, old: Tenant.State, new: Tenant.State, error: str = "") -> bool:
        """Move the state by compare and swap; False when another process moved it first."""
        moved = (
            type(self).objects.filter(pk=self.pk, state=old).update(state=new, state_at=Now(), error=error)
        )
        if moved:
            self.state, self.error = new, error
        return bool(moved)


class Domain(DomainMixin):
    """A host under which a tenant is reached, in lower case."""

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(domain__regex=r"^[a-z0-9.-]+$"), name="domain_is_plain_lower_case"
            )
        ]

    def __str__(self) -> str:
        return str(self.domain)


class SchemaTemplate(models.Model):
    """A migrated schema without a tenant, and the script that makes more of its kind, rows included."""

    schema_name = models.CharField(max_length=63, unique=True)
    digest = models.CharField(
        max_length=64, unique=True
    )  # of the migrations, the roles and the server's version
    script = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.schema_name


class SpareSchema(models.Model):
    """A schema made beforehand, that the next tenant gets by a change of its name."""

    schema_name = models.CharField(max_length=63, unique=True)
    digest = models.CharField(max_length=64, db_index=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.schema_name


class MigrationOutcome(models.Model):
    """What became of one schema in one run of `migrate_tenants`."""

    class State(models.TextChoices):
        REPLAYED = "REPLAYED", "migrated by the plan's statements"
        MIGRATED = "MIGRATED", "migrated by Django"
        FAILED = "FAILED", "failed, and as it was before"

    run = models.UUIDField(db_index=True)
    schema = models.CharField(max_length=63)
    slug = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=8, choices=State)
    error = models.TextField(blank=True)
    seconds = models.FloatField()
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.slug or self.schema}: {self.get_state_display()}"
