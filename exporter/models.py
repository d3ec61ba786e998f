"""What was exported, when, by what, and where the files are."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from exporter.naming import file_name
from exporter.settings_models import Content as Content  # Django looks for models here
from exporter.settings_models import DatasetSlot as DatasetSlot
from exporter.settings_models import Delivery as Delivery
from exporter.settings_models import Destination as Destination
from exporter.settings_models import Every as Every
from exporter.settings_models import ExportNotice as ExportNotice
from exporter.settings_models import ExportSettings as ExportSettings
from exporter.settings_models import Format as Format
from exporter.settings_models import Mode as Mode
from exporter.settings_models import NoticeEvent as NoticeEvent
from exporter.settings_models import SpaceSample as SpaceSample
from exporter.signals import run_ended

SEALED_FOR = "exporter.notice"  # what the secrets of notices are bound to


class Trigger(models.TextChoices):
    SCHEDULED = "SCHEDULED", "by schedule"
    MANUAL = "MANUAL", "by hand"


class State(models.TextChoices):
    QUEUED = "QUEUED", "queued"
    RUNNING = "RUNNING", "running"
    SUCCEEDED = "SUCCEEDED", "succeeded"
    FAILED = "FAILED", "failed"
    CANCELLED = "CANCELLED", "cancelled"
    MISSED = "MISSED", "missed"


OPEN_STATES = (State.QUEUED, State.RUNNING)
# The ends that notices tell of.
TOLD_STATES = (State.SUCCEEDED, State.FAILED, State.MISSED)
# A failed or cancelled run starts again when its job is tried again; one that succeeded never does.
STARTABLE_STATES = (*OPEN_STATES, State.FAILED, State.CANCELLED)


class ExportRun(models.Model):
    """One export of some datasets, all from one snapshot of the database."""

    trigger = models.CharField(max_length=9, choices=Trigger)
    # The quarter of an hour (UTC) a scheduled run is for; a run by hand has none. Of MISSED ones: the first.
    slot = models.DateTimeField("for the slot (UTC)", null=True, blank=True)
    # How many slots in a row, from `slot` on, no worker was there for; of MISSED runs alone.
    missed = models.PositiveIntegerField(default=0, db_default=0)
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Primary keys of the datasets asked for; null means every dataset there is when the run starts.
    chosen = models.JSONField(null=True, blank=True)
    # [{"dataset": pk, "path": …}], committed before the first byte is written: whoever cleans up
    # after a death knows which objects could be there.
    plan = models.JSONField(default=list)
    # What of the form its files get differs from the settings: {"format": …, "mode": …} and other fields of FileForm.
    overrides = models.JSONField(default=dict, db_default=Value({}, models.JSONField()))
    # [{"dataset": pk, "slug": …, "title": …, "reason": "unchanged", "file": pk of the file that still holds}]
    skipped = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    # The manifest that lists the files (a Frictionless Data Package), where there is one.
    manifest_key = models.CharField(max_length=500, blank=True, db_default="")
    manifest_sha256 = models.CharField(max_length=64, blank=True, db_default="")
    # How many tries there may have been before it was last started: no two of them write one object.
    tries = models.IntegerField(default=0, db_default=0)
    snapshot = models.CharField(max_length=200, blank=True)
    # The beginning of the oldest transaction when the snapshot was taken; null where it is not known.
    oldest_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    job_id = models.BigIntegerField(null=True, blank=True)
    # By the database's clock, like every time that names a file.
    created_at = models.DateTimeField("asked for at", db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "export run"
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["slot"],
                condition=Q(trigger=Trigger.SCHEDULED),
                name="one_scheduled_export_run_per_slot",
            ),
            models.CheckConstraint(
                condition=Q(trigger=Trigger.SCHEDULED, slot__isnull=False)
                | Q(trigger=Trigger.MANUAL, slot__isnull=True),
                name="a_scheduled_export_run_has_a_slot",
            ),
            models.CheckConstraint(
                condition=~Q(state=State.FAILED) | ~Q(error_code=""), name="a_failed_export_run_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"Export run {self.pk}"

    @property
    def named_at(self) -> datetime:
        """The second its files are named by: the slot, or when a person asked."""
        return self.slot or self.created_at

    def move(self, *, old: tuple[State, ...], new: State, **values: object) -> bool:
        """Change the state if it still is one of `old`, with other fields in the same statement."""
        moved = type(self).objects.filter(pk=self.pk, state__in=old).update(state=new, **values)
        if moved:
            self.refresh_from_db()
            if new in TOLD_STATES:
                run_ended.send(type(self), run=self)
        return bool(moved)

    def save(self, *args: Any, **kwargs: Any) -> None:
        is_new = self._state.adding
        super().save(*args, **kwargs)
        if is_new and self.state == State.MISSED:  # it never was anything else
            run_ended.send(type(self), run=self)


class Fault(models.TextChoices):
    """What the last check found wrong with the stored object."""

    NONE = "", "none"
    MISSING = "MISSING", "missing"
    ALTERED = "ALTERED", "altered"


class ExportFileQuerySet(models.QuerySet["ExportFile"]):
    def stored(self) -> ExportFileQuerySet:
        """Files whose object has not been pruned."""
        return self.filter(deleted_at__isnull=True)


class ExportFile(models.Model):
    """One dataset's file of a run. The row stays when the object is pruned, and when the dataset is deleted."""

    run = models.ForeignKey(ExportRun, on_delete=models.PROTECT, related_name="files")
    dataset = models.ForeignKey(
        "datasets.Dataset", null=True, blank=True, on_delete=models.SET_NULL, related_name="export_files"
    )
    dataset_slug = models.CharField(max_length=100)
    dataset_title = models.CharField("dataset", max_length=250)
    key = models.CharField("object key", max_length=500, unique=True)
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField("size")
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=8, choices=Format, default=Format.CSV, db_default=Format.CSV)
    content = models.CharField(max_length=11, choices=Content, default=Content.FULL, db_default=Content.FULL)
    # Of an incremental file: the one whose records it goes on from.
    base = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="increments"
    )
    mode = models.CharField(max_length=11, choices=Mode, default=Mode.EXACT)
    # All that reading it takes, as FileForm.from_json() reads it; empty for files of earlier releases.
    form = models.JSONField(default=dict, db_default=Value({}, models.JSONField()))
    # Primary keys of the columns that tell its records apart: the key when it was written.
    key_columns = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    # The newest history entry the file knows of (0: none), of those its run's snapshot sees.
    history_id = models.BigIntegerField(default=0, db_default=0)
    destination = models.ForeignKey(
        Destination, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    definition_version = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField("pruned at", null=True, blank=True)
    fault = models.CharField(max_length=7, choices=Fault, default=Fault.NONE, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = ExportFileQuerySet.as_manager()

    class Meta:
        verbose_name = "export file"
        ordering: ClassVar = ["-created_at", "-pk"]
        indexes: ClassVar = [
            models.Index(fields=["dataset_slug", "-created_at"], name="export_file_by_dataset"),
            models.Index(fields=["sha256"], name="export_file_by_sha256"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "dataset_slug"], name="one_export_file_per_run_and_dataset"
            )
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def file_name(self) -> str:
        return file_name(self.key)

    @property
    def is_pruned(self) -> bool:
        return self.deleted_at is not None
