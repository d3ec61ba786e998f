"""What was backed up, when, where it lies, and whether a restore of it was tried."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BackupQuerySet(models.QuerySet["TenantBackup"]):
    def kept(self) -> BackupQuerySet:
        """Those that can be restored from."""
        return self.filter(state=TenantBackup.State.SUCCEEDED, deleted_at=None)


class TenantBackup(models.Model):
    """A backup of one tenant. The row stays when the object is removed, and when the tenant is deleted."""

    class State(models.TextChoices):
        QUEUED = "QUEUED", "queued"
        RUNNING = "RUNNING", "running"
        SUCCEEDED = "SUCCEEDED", "succeeded"
        FAILED = "FAILED", "failed"

    class Trigger(models.TextChoices):
        SCHEDULED = "SCHEDULED", "by schedule"
        MANUAL = "MANUAL", "by hand"
        FINAL = "FINAL", "before a deletion"

    class Verdict(models.TextChoices):
        NONE = "", "not tried"
        GOOD = "GOOD", "restored and the same"
        BAD = "BAD", "not restored"

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="backups")
    trigger = models.CharField(max_length=9, choices=Trigger)
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    asked_by = models.CharField("asked for by", max_length=300, blank=True)
    created_at = models.DateTimeField("asked for at", db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # In the platform's store, or a path on the machine where a command wrote it.
    key = models.CharField("object key", max_length=500, blank=True)
    path = models.CharField("file", max_length=1000, blank=True)
    bytes = models.BigIntegerField("size", default=0)
    rows = models.BigIntegerField(default=0)
    tables = models.PositiveIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    is_sealed = models.BooleanField("encrypted", default=False)
    version = models.CharField("release", max_length=40, blank=True)
    taken_at = models.DateTimeField("as of", null=True, blank=True)
    # The last time it was restored on trial, and what came of it.
    verified_at = models.DateTimeField(null=True, blank=True)
    verdict = models.CharField(max_length=4, choices=Verdict, default=Verdict.NONE, blank=True)
    findings = models.TextField(blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    job_id = models.BigIntegerField(null=True, blank=True)
    deleted_at = models.DateTimeField("removed at", null=True, blank=True)

    objects: ClassVar[models.Manager[TenantBackup]] = BackupQuerySet.as_manager()

    class Meta:
        verbose_name = "backup"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-id"], name="backups_of_a_tenant")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="SUCCEEDED") | (~Q(sha256="") & (~Q(key="") | ~Q(path=""))),
                name="a_backup_that_succeeded_lies_somewhere",
            ),
            models.CheckConstraint(
                condition=~Q(state="FAILED") | ~Q(error_code=""), name="a_failed_backup_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"Backup {self.pk} of {self.tenant}"

    @property
    def is_kept(self) -> bool:
        """Whether it can be restored from."""
        return self.state == self.State.SUCCEEDED and self.deleted_at is None

    def move(self, *, old: tuple[State, ...], new: State, **values: object) -> bool:
        """Change the state if it still is one of `old`, with other fields in the same statement."""
        moved = type(self).objects.filter(pk=self.pk, state__in=old).update(state=new, **values)
        if moved:
            self.refresh_from_db()
        return bool(moved)


def file_name(slug: str, at: datetime, *, number: int, attempt: int) -> str:
    """Return what a backup is called; no two tries of one write the same object.

    >>> from datetime import UTC
    >>> file_name("acme", datetime(2026, 8, 26, 14, tzinfo=UTC), number=7, attempt=1)
    'acme_20260826T140000Z_7-1.backup'
    """
    return f"{slug}_{at:%Y%m%dT%H%M%SZ}_{number}-{attempt}.backup"
