"""What belongs to the lists of records: saved views, whose first a person sees, and the indexes that make them fast."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

MAX_VIEW_NAME = 80


class SavedView(models.Model):
    """A list somebody named: its filters, search, sort, columns and page size, as pairs of the list's address."""

    dataset = models.ForeignKey("datasets.Dataset", on_delete=models.DB_CASCADE, related_name="+")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    name = models.CharField(max_length=MAX_VIEW_NAME)
    is_shared = models.BooleanField("shared", default=False)
    pairs = models.JSONField(default=list)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "owner", "name"], name="a_person_has_one_view_of_a_name"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="a_view_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class DefaultView(models.Model):
    """The view a person sees first in a dataset."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="+")
    dataset = models.ForeignKey("datasets.Dataset", on_delete=models.DB_CASCADE, related_name="+")
    view = models.ForeignKey(SavedView, on_delete=models.DB_CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "dataset"], name="a_person_has_one_default_view_of_a_dataset"
            )
        ]

    def __str__(self) -> str:
        return f"{self.view_id}"


class RecordIndex(models.Model):
    """An index somebody asked for so that a column sorts, or is searched, without reading every record.

    Its name in the database is made of its primary key, so that no two ever share one.
    """

    class Kind(models.TextChoices):
        SORT = "sort", "sorting"
        SEARCH = "search", "searching"

    class State(models.TextChoices):
        BUILDING = "BUILDING", "being built"
        READY = "READY", "ready"
        FAILED = "FAILED", "failed"

    dataset = models.ForeignKey("datasets.Dataset", on_delete=models.CASCADE, related_name="+")
    column = models.ForeignKey("datasets.Column", on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.BUILDING)
    error = models.TextField(blank=True, default="")
    job_id = models.BigIntegerField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(fields=["column", "kind"], name="a_column_has_one_index_of_a_kind")
        ]

    def __str__(self) -> str:
        return f"{self.column} for {self.get_kind_display()}"

    @property
    def index_name(self) -> str:
        return f"ds_{self.dataset_id}_index_{self.pk}"
