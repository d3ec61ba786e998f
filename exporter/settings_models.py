"""How a tenant's datasets are exported: when, as what, where to, for how long, and who hears of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords

MOST_PATTERN = 300


def _history(**options: Any) -> Any:
    return HistoricalRecords(
        history_id_field=models.BigAutoField(),
        history_change_reason_field=models.TextField(null=True),
        **options,
    )


class Every(models.TextChoices):
    """How often a dataset is exported. Slots are quarters of an hour: a cron time waits for the next one."""

    QUARTER = "QUARTER", "every 15 minutes"
    HOUR = "HOUR", "every hour"
    SIX_HOURS = "SIX_HOURS", "every 6 hours"
    DAY = "DAY", "every day"
    WEEK = "WEEK", "every week"
    CRON = "CRON", "at times of your own (cron)"
    NEVER = "NEVER", "never: only by hand"


class Format(models.TextChoices):
    """What an export file is; the value is the command's word and the file's extension."""

    CSV = "csv", "CSV"
    CSV_GZ = "csv.gz", "CSV, compressed (gzip)"
    XLSX = "xlsx", "Excel workbook"
    JSONL = "jsonl", "JSON Lines"
    PARQUET = "parquet", "Parquet"


class Content(models.TextChoices):
    """What of a dataset a file holds."""

    FULL = "FULL", "every record"
    INCREMENTAL = "INCREMENTAL", "what was created, changed or deleted since the last file"


class Mode(models.TextChoices):
    """How cells are written: as they are stored, or so that a spreadsheet program takes no text for a formula."""

    EXACT = "EXACT", "exact"
    SPREADSHEET = "SPREADSHEET", "for spreadsheets"


class Destination(models.Model):
    """A bucket of the tenant's own. The secret is kept sealed (`core.sealing`), never shown and in no history."""

    name = models.CharField(max_length=100, unique=True)
    endpoint = models.URLField("endpoint", max_length=300, blank=True, help_text="Empty: Amazon S3")
    region = models.CharField(max_length=60, default="us-east-1")
    bucket = models.CharField(max_length=200)
    prefix = models.CharField(max_length=300, blank=True)
    access_key = models.CharField(max_length=200)
    sealed_secret = models.TextField(editable=False)
    addressing = models.CharField(
        max_length=7, choices=[("path", "in the path"), ("virtual", "in the host name")], default="path"
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # What the last test of writing, reading and removing said; nothing is sent to a destination that failed it.
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)

    history = _history(excluded_fields=["sealed_secret"])

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class ExportSettings(models.Model):
    """How one dataset is exported; the row without a dataset says it for all that have none of their own.

    Taken whole: a dataset's own row hides every value of the tenant's. Limits of None are the installation's,
    0 switches one off.
    """

    dataset = models.OneToOneField(
        "datasets.Dataset", null=True, blank=True, on_delete=models.CASCADE, related_name="export_settings"
    )
    every = models.CharField("how often", max_length=9, choices=Every, default=Every.HOUR)
    cron = models.CharField("cron times", max_length=100, blank=True)
    time_zone = models.CharField(max_length=60, default="UTC")  # of days, weeks and cron times
    format = models.CharField(max_length=8, choices=Format, default=Format.CSV)
    content = models.CharField(max_length=11, choices=Content, default=Content.FULL)
    # Of incremental files: after how many of them comes a full one again.
    full_after = models.PositiveSmallIntegerField(default=24)
    mode = models.CharField(max_length=11, choices=Mode, default=Mode.EXACT)
    # [{"column": pk, "label": text or ""}] in the file's order; empty: every column as the definition has it.
    columns = models.JSONField(default=list, blank=True)
    delimiter = models.CharField(max_length=1, default=",")
    null_word = models.CharField("word for no value", max_length=20, blank=True)
    encoding = models.CharField(max_length=20, default="utf-8")
    pattern = models.CharField("file names", max_length=MOST_PATTERN, blank=True)  # empty: the default
    destination = models.ForeignKey(
        Destination, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="Empty: this platform's storage",
    )  # fmt: skip
    keep_days = models.PositiveIntegerField(null=True, blank=True)
    keep_count = models.PositiveIntegerField(null=True, blank=True)
    keep_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    # The last file of each of so many days and months stays, whatever the other limits say.
    keep_daily = models.PositiveIntegerField(default=0)
    keep_monthly = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(default=1, editable=False)

    history = _history()

    class Meta:
        verbose_name = "export settings"
        verbose_name_plural = "export settings"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(dataset=None),
                nulls_distinct=False,
                name="one_row_of_export_settings_for_the_rest",
            ),
            models.CheckConstraint(
                condition=~Q(every=Every.CRON) | ~Q(cron=""), name="cron_export_settings_say_when"
            ),
        ]

    def __str__(self) -> str:
        return f"Export settings of {self.dataset or 'every other dataset'}"


class DatasetSlot(models.Model):
    """The last slot that a scheduled run has dealt with a dataset for, be it by a file or by skipping it.

    It only ever rises; what is due is decided from it, so that an outage is caught up once.
    """

    dataset = models.OneToOneField(
        "datasets.Dataset", primary_key=True, on_delete=models.DB_CASCADE, related_name="+"
    )
    slot = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.dataset_id}: {self.slot}"


class ExportNotice(models.Model):
    """Who hears how exports end: people by mail, a program by a signed request."""

    name = models.CharField(max_length=100, unique=True)
    emails = models.JSONField(default=list, blank=True)
    url = models.URLField("address of the webhook", max_length=500, blank=True)
    sealed_secret = models.TextField(blank=True, editable=False)  # signs what is sent
    on_success = models.BooleanField("after a success", default=False)
    on_failure = models.BooleanField("after a failure", default=True)
    on_missed = models.BooleanField("after a missed hour", default=True)
    is_on = models.BooleanField("switched on", default=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    history = _history(excluded_fields=["sealed_secret"])

    class Meta:
        verbose_name = "notice of exports"
        verbose_name_plural = "notices of exports"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(emails=[]) | ~Q(url=""), name="an_export_notice_goes_somewhere"
            )
        ]

    def __str__(self) -> str:
        return self.name


class NoticeEvent(models.TextChoices):
    """What a notice tells of; the value is the end of the event's name in a webhook's body."""

    SUCCEEDED = "SUCCEEDED", "a success"
    FAILED = "FAILED", "a failure"
    MISSED = "MISSED", "a missed hour"
    TEST = "TEST", "a test"


class Delivery(models.Model):
    """One notice of one run, sent or yet to be sent; a test is of no run.

    A receiver may hear of it twice, never not at all.
    """

    class State(models.TextChoices):
        WAITING = "WAITING", "waiting"
        SENT = "SENT", "sent"
        FAILED = "FAILED", "failed"

    class Channel(models.TextChoices):
        MAIL = "MAIL", "mail"
        WEBHOOK = "WEBHOOK", "webhook"

    notice = models.ForeignKey(ExportNotice, on_delete=models.CASCADE, related_name="deliveries")
    run = models.ForeignKey(
        "exporter.ExportRun", null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    # A run that failed may succeed when it is tried again, and both are told.
    event = models.CharField("of", max_length=9, choices=NoticeEvent, default=NoticeEvent.TEST)
    channel = models.CharField(max_length=7, choices=Channel)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["notice", "run", "channel", "event"],
                name="one_delivery_of_a_notice_per_run_channel_event",
            )
        ]

    def __str__(self) -> str:
        return f"Delivery {self.pk}"


class SpaceSample(models.Model):
    """What one kind took on one day, for the chart of how space grows."""

    day = models.DateField()
    kind = models.CharField(max_length=30)
    dataset_slug = models.CharField(max_length=100, blank=True)
    files = models.BigIntegerField()
    bytes = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["day", "kind", "dataset_slug"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["day", "kind", "dataset_slug"], name="one_sample_of_space_per_day_kind_and_dataset"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.dataset_slug}"
