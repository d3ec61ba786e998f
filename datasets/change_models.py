"""Changes of a definition whose dataset has records, and the records that stand in a change's way."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from core.clock import now as clock


class ChangeState(models.TextChoices):
    """Where a change stands."""

    CHECK_IN_PROGRESS = "CHECK_IN_PROGRESS", "being checked"
    CHECK_SUCCEEDED = "CHECK_SUCCEEDED", "waits for your decision"
    CHECK_FAILED = "CHECK_FAILED", "check failed"
    CHANGE_IN_PROGRESS = "CHANGE_IN_PROGRESS", "in progress"
    CHANGE_SUCCEEDED = "CHANGE_SUCCEEDED", "done"
    CHANGE_FAILED = "CHANGE_FAILED", "failed"
    CANCELLED = "CANCELLED", "cancelled"
    REVERTED = "REVERTED", "reverted"


class OnFailure(models.TextChoices):
    """What becomes of records whose value the new definition cannot hold."""

    STOP = "stop", "change nothing while any record fails"
    EMPTY = "empty", "leave these records without a value, and keep what they held"


OPEN = (ChangeState.CHECK_IN_PROGRESS, ChangeState.CHECK_SUCCEEDED, ChangeState.CHANGE_IN_PROGRESS)
RUNNING = (ChangeState.CHECK_IN_PROGRESS, ChangeState.CHANGE_IN_PROGRESS)


class Change(models.Model):
    """One change of a column's type and rules, or (without a column) of the key.

    `before` and `after`: {"key": [column pk …], "columns": {pk: {type, is_required, is_unique, options}}} of
    what changes. `reverts`: the change this one takes back. Nothing is changed before `swapped_at`.
    `is_rebuild`: the definition stays, the tables are made anew (`datasets.rebuilding`); before and after then say
    how many "places" for columns are used.
    """

    dataset = models.ForeignKey("datasets.Dataset", on_delete=models.CASCADE, related_name="changes")
    column = models.ForeignKey("datasets.Column", on_delete=models.CASCADE, null=True, related_name="changes")
    reverts = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="reverted_by")
    state = models.CharField(
        max_length=20, choices=ChangeState.choices, default=ChangeState.CHECK_IN_PROGRESS
    )
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    is_rebuild = models.BooleanField(default=False, db_default=False)
    on_failure = models.CharField(max_length=5, choices=OnFailure.choices, default=OnFailure.STOP)
    records = models.BigIntegerField(default=0)
    rewritten = models.BigIntegerField(default=0)
    failing = models.BigIntegerField(default=0)
    edited = models.BigIntegerField(default=0)  # of a revert: records edited since
    unreadable_versions = models.BigIntegerField(default=0)  # versions that only the old column can show
    samples = models.JSONField(default=list)  # [old text, new text] of some values
    log = models.JSONField(default=list)  # [ISO time, sentence]
    job_id = models.CharField(max_length=20, blank=True)
    jobs_in_all = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=50, blank=True)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    swapped_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    kept_until = models.DateTimeField(null=True)  # the values from before stay so long

    class Meta:
        ordering = ("-pk",)
        verbose_name = "change of a definition"
        verbose_name_plural = "changes of definitions"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(state=ChangeState.CHANGE_IN_PROGRESS),
                name="one_change_in_progress_per_dataset",
            )
        ]

    def __str__(self) -> str:
        return f"change {self.pk}"

    def move(self, *, old: tuple[str, ...], new: str, **values: Any) -> bool:
        """Move the state by compare and swap, with other fields; return whether it was in one of `old`."""
        moved = type(self).objects.filter(pk=self.pk, state__in=old).update(state=new, **values)
        if moved:
            self.state = new
            for name, value in values.items():
                setattr(self, name, value)
        return bool(moved)

    def say(self, sentence: str) -> None:
        """Add a line to the log; the caller saves."""
        self.log = [*self.log, [clock().isoformat(timespec="seconds"), sentence]]


class FailingRecord(models.Model):
    """A record a change cannot take as it is, or (code `edited-since`) that a revert cannot put back."""

    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="failing_records")
    record_id = models.BigIntegerField()
    name = models.TextField(blank=True)  # what people call the record by: its key
    value = models.TextField(blank=True, null=True)  # noqa: DJ001 -- no value is not an empty text
    code = models.CharField(max_length=50)
    rule = models.TextField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["change", "record_id"], name="failing_records_of_a_change")]

    def __str__(self) -> str:
        return f"{self.name}: {self.rule}"
