"""Erasures of a person's values: what was asked for, how far it is, and the proof that it was done."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q


class ErasureState(models.TextChoices):
    """Where an erasure stands."""

    PREVIEW_IN_PROGRESS = "PREVIEW_IN_PROGRESS", "being looked for"
    PREVIEW_SUCCEEDED = "PREVIEW_SUCCEEDED", "waits for confirmation"
    PREVIEW_FAILED = "PREVIEW_FAILED", "preview failed"
    APPROVAL_AWAITED = "APPROVAL_AWAITED", "waits for a second owner"
    ERASURE_IN_PROGRESS = "ERASURE_IN_PROGRESS", "being erased"
    ERASURE_SUCCEEDED = "ERASURE_SUCCEEDED", "erased"
    ERASURE_FAILED = "ERASURE_FAILED", "not finished"
    CANCELLED = "CANCELLED", "cancelled"


class ErasureMode(models.TextChoices):
    """What becomes of the records that are found."""

    EMPTY = "empty", "empty the chosen columns, in the record and in all its versions"
    DELETE = "delete", "delete the whole record, and empty all its versions"


UNCONFIRMED = (
    ErasureState.PREVIEW_IN_PROGRESS,
    ErasureState.PREVIEW_SUCCEEDED,
    ErasureState.PREVIEW_FAILED,
    ErasureState.APPROVAL_AWAITED,
)
OPEN = (
    ErasureState.PREVIEW_IN_PROGRESS,
    ErasureState.PREVIEW_SUCCEEDED,
    ErasureState.APPROVAL_AWAITED,
    ErasureState.ERASURE_IN_PROGRESS,
    ErasureState.ERASURE_FAILED,
)


class Erasure(models.Model):
    """One erasure, and afterwards its proof: who, when, where and how many, and hashes of the values under a key.

    `scope`: [{"dataset", "title", "find": [column pk …], "also": [column pk …], "words"}]. `sealed` holds the values
    while they are needed, and is emptied at the end. `found`: what the preview counted, `done`: what was erased, both
    by place; `left`: what could not be rewritten, in words. `repeats`: the one it does again after a restore.
    """

    uid = models.UUIDField(default=uuid4, unique=True, editable=False)
    repeats = models.UUIDField(null=True, blank=True, editable=False)
    state = models.CharField(
        max_length=20, choices=ErasureState, default=ErasureState.PREVIEW_IN_PROGRESS, db_index=True
    )
    mode = models.CharField("records", max_length=6, choices=ErasureMode)
    scope = models.JSONField(default=list)
    note = models.CharField("why", max_length=300, blank=True)
    sealed = models.TextField(blank=True, editable=False)
    hashes = models.JSONField(default=list)
    found = models.JSONField(default=dict)
    done = models.JSONField(default=dict)
    left = models.JSONField(default=dict)
    job_id = models.BigIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField("asked for at", auto_now_add=True)
    previewed_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        default_permissions = ()
        permissions: ClassVar = [("erase_values", "Can erase a person's values")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="ERASURE_SUCCEEDED") | Q(sealed=""),
                name="a_finished_erasure_holds_no_value",
            )
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk}"

    @property
    def reason(self) -> str:
        """What history writes beside each record it touches."""
        return f"erasure {self.pk}"

    @property
    def where(self) -> str:
        """The datasets it is about, by the titles they had."""
        return ", ".join(one["title"] for one in self.scope)

    @property
    def first_title(self) -> str:
        """What is typed to confirm it: the title of its dataset, of several the first one's."""
        return str(self.scope[0]["title"]) if self.scope else ""

    def move(self, *, old: ErasureState | Collection[ErasureState], new: ErasureState, **values: Any) -> bool:
        """Change the state if it still is one of `old`, with other fields in the same statement."""
        states = [old] if isinstance(old, ErasureState) else list(old)
        moved = type(self).objects.filter(pk=self.pk, state__in=states).update(state=new, **values)
        if moved:
            self.refresh_from_db()
        return bool(moved)


class ErasureRecord(models.Model):
    """A record that an erasure found, by number alone. `is_gone`: it was deleted, and its versions say nothing."""

    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="records")
    # No foreign key: it stays in the proof when the dataset is deleted.
    dataset_number = models.BigIntegerField()
    record_id = models.BigIntegerField()
    is_gone = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["erasure", "dataset_number", "record_id"], name="an_erasure_finds_a_record_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["dataset_number", "record_id"], condition=Q(is_gone=True), name="erased_records"
            )
        ]

    def __str__(self) -> str:
        return f"record {self.record_id}"


def not_erased_sql(dataset_pk: int, record: str) -> str:
    """Return the condition that a record, by the SQL of its number, was not erased whole: its versions say nothing."""
    # Not an anti-join: it is read once, and leaves the plan around it as it is.
    return (
        f"{record} NOT IN (SELECT e_.record_id FROM {ErasureRecord._meta.db_table} e_"
        f" WHERE e_.dataset_number = {int(dataset_pk)} AND e_.is_gone)"
    )
