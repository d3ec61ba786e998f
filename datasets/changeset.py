"""A change set: what one person changed at once, who, when and why, so that it can be looked at and taken back.

Imports are the other way to change many records; they are kept by the importer. What both leave in history is
taken back by the same plan (`datasets.undo_plan`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Kind(models.TextChoices):
    """What was done."""

    CELLS = "cells", "cells"
    EDIT = "edit", "bulk edit"
    DELETE = "delete", "bulk deletion"
    REVERT = "revert", "revert"
    RESTORE = "restore", "brought back"
    UNDO = "undo", "undo"


class State(models.TextChoices):
    """Where it stands. DONE: its changes are in force."""

    PLANNING = "PLANNING", "being worked out"
    PLANNED = "PLANNED", "waiting for confirmation"
    WORKING = "WORKING", "being written"
    DONE = "DONE", "done"
    UNDONE = "UNDONE", "undone"
    CANCELLED = "CANCELLED", "cancelled"
    FAILED = "FAILED", "failed"


OPEN = (State.PLANNING, State.PLANNED, State.WORKING)


class ChangeSet(models.Model):
    """Changes of one dataset's records. History names it, as `reason`, beside each record it touched.

    `columns` are the physical names of those it changed, `operation` what a bulk edit does, `query` the address
    of the list whose filter it was asked for (None: of picked records), `problems` the first records it leaves,
    each with why. `plans` counts how often it was worked out: a confirm says which it has seen.
    """

    dataset = models.ForeignKey("datasets.Dataset", on_delete=models.CASCADE, related_name="change_sets")
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State)
    title = models.CharField("what", max_length=300)
    note = models.CharField("why", max_length=300, blank=True)
    operation = models.JSONField(default=dict, blank=True)
    columns = models.JSONField(default=list, blank=True)
    query = models.TextField(null=True, blank=True)  # noqa: DJ001 -- an empty address is a filter too
    undoes = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="undone_by"
    )
    definition_version = models.PositiveIntegerField(default=0)
    plans = models.PositiveIntegerField(default=0)
    job_id = models.CharField(max_length=40, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    picked_records = models.PositiveBigIntegerField(default=0)
    created_records = models.PositiveBigIntegerField(default=0)
    updated_records = models.PositiveBigIntegerField(default=0)
    deleted_records = models.PositiveBigIntegerField(default=0)
    unchanged_records = models.PositiveBigIntegerField(default=0)
    kept_records = models.PositiveBigIntegerField(default=0)
    problems = models.JSONField(default=list, blank=True)
    notice = models.TextField(blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        default_permissions = ()
        verbose_name = "change"
        indexes = [
            models.Index(fields=["dataset", "-id"], name="changes_of_a_dataset"),
        ]

    def __str__(self) -> str:
        return f"change {self.pk}"

    @property
    def reason(self) -> str:
        """What history writes beside each record this touches."""
        return f"change {self.pk}"

    @property
    def touched_records(self) -> int:
        return self.created_records + self.updated_records + self.deleted_records

    @property
    def is_undo(self) -> bool:
        return self.kind == Kind.UNDO

    def move(self, *, old: State | Collection[State], new: State, **values: Any) -> bool:
        """Change the state if it still is one of `old`, with other fields in the same statement.

        The change set in hand takes over what was written. False: somebody else moved it first.
        """
        states = [old] if isinstance(old, State) else list(old)
        moved = type(self).objects.filter(pk=self.pk, state__in=states).update(state=new, **values)
        if moved:
            self.refresh_from_db()
        return bool(moved)
