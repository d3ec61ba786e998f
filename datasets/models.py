"""Datasets and their columns: definitions only. The records stand in a table of their own (`datasets.ddl`)."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec

SLUG_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


def definition_history() -> Any:
    """Return the history of a definition: who changed a label or a rule, when and why."""
    return HistoricalRecords(
        history_id_field=models.BigAutoField(),
        history_change_reason_field=models.TextField(null=True),
    )


class Dataset(models.Model):
    """One typed table. `key` holds the primary keys of the key columns, in the key's order."""

    slug = models.SlugField(max_length=63)
    title = models.CharField(max_length=200)
    key = models.JSONField(default=list, blank=True)
    definition_version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    history = definition_history()

    class Meta:
        ordering = ("title", "pk")
        permissions = [
            ("view_rows", "Can view records"),
            ("add_rows", "Can add records"),
            ("change_rows", "Can change records"),
            ("delete_rows", "Can delete records"),
            ("import_rows", "Can import files"),
            ("export_rows", "Can export records"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="a_dataset_slug_stands_once"),
            models.CheckConstraint(
                condition=Q(slug__regex=SLUG_PATTERN), name="a_dataset_slug_is_lower_case_ascii"
            ),
            models.CheckConstraint(condition=~Q(title=""), name="a_dataset_has_a_title"),
        ]

    def __str__(self) -> str:
        return self.title

    def spec(self) -> DatasetSpec:
        """Return the dataset as a frozen value. One query, for the columns in use."""
        columns = tuple(column.spec() for column in self.columns.in_use())
        return DatasetSpec(
            pk=self.pk,
            slug=self.slug,
            title=self.title,
            columns=columns,
            key=tuple(f"c{column_pk}" for column_pk in self.key),
        )


class ColumnQuerySet(models.QuerySet["Column"]):
    """Columns of datasets."""

    def in_use(self) -> ColumnQuerySet:
        """Return the columns that are not retired, in the dataset's order."""
        return self.filter(is_retired=False).order_by("position", "pk")


class Column(models.Model):
    """One column. Its table column is `c<pk>`; the label is what files and people call it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="columns")
    label = models.CharField(max_length=255)
    type = models.CharField(max_length=20)
    position = models.PositiveIntegerField()
    is_required = models.BooleanField("required", default=False)
    is_unique = models.BooleanField("unique", default=False)
    options = models.JSONField(default=dict, blank=True)
    is_retired = models.BooleanField("retired", default=False)

    objects = ColumnQuerySet.as_manager()
    history = definition_history()

    class Meta:
        ordering = ("position", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "label"],
                condition=Q(is_retired=False),
                name="a_label_stands_once_in_a_dataset",
                violation_error_message="Another column of this dataset has that label.",
            ),
            models.CheckConstraint(condition=~Q(label=""), name="a_column_has_a_label"),
        ]

    def __str__(self) -> str:
        return self.label

    def spec(self) -> ColumnSpec:
        """Return the column as a frozen value."""
        return ColumnSpec(
            pk=self.pk,
            label=self.label,
            type=self.type,
            is_required=self.is_required,
            is_unique=self.is_unique,
            options=options_of(self.options),
        )


def options_of(stored: dict[str, Any]) -> ColumnOptions:
    """Return stored options as a hashable value: equal definitions give equal specs."""
    return ColumnOptions(**{**stored, "choices": tuple(stored.get("choices", ()))})


def stored_options(options: ColumnOptions) -> dict[str, Any]:
    """Return options as they are stored: only what is set."""
    names = ("precision", "scale", "minimum", "maximum", "max_length")
    stored: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.choices:
        stored["choices"] = list(options.choices)
    return stored


# Kept in a module of its own, which must be loaded with the models.
from datasets.changeset import ChangeSet  # noqa: E402, F401
