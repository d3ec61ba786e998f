"""Datasets and their columns: definitions only. The records stand in a table of their own (`datasets.ddl`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from datasets import rules
from datasets.change_models import Change as Change  # Django looks for models here
from datasets.change_models import FailingRecord as FailingRecord
from datasets.erasure_models import Erasure as Erasure
from datasets.erasure_models import ErasureRecord as ErasureRecord
from datasets.listing_models import DefaultView, RecordIndex, SavedView
from datasets.spec import CheckSpec, ColumnOptions, ColumnSpec, DatasetSpec, Target

__all__ = ["Column", "ColumnQuerySet", "Dataset", "DefaultView", "RecordIndex", "SavedView"]

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
    checks = models.JSONField(default=list, blank=True)  # each as a CheckSpec
    definition_version = models.PositiveIntegerField(default=1)
    history_days = models.PositiveIntegerField(
        "days that history is kept",
        null=True,
        blank=True,
        validators=[
            MinValueValidator(rules.LEAST_HISTORY_DAYS),
            MaxValueValidator(rules.MOST_HISTORY_DAYS),
        ],
        help_text="Older versions of records are removed once a day, but for the last one of each record. Empty: all"
        " are kept for ever. Imports and changes of that age cannot be undone any more.",
    )
    history_pruned_at = models.DateTimeField(null=True, editable=False)
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
            ("manage_dataset", "Can define, change and grant on the dataset"),
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
        """Return the dataset as a frozen value. One query, for the columns in use; one more if some are references."""
        used = list(self.columns.in_use())
        keys = keys_of(used)
        columns = tuple(column.spec(keys) for column in used)
        return DatasetSpec(
            pk=self.pk,
            slug=self.slug,
            title=self.title,
            columns=columns,
            key=tuple(f"c{column_pk}" for column_pk in self.key),
            checks=tuple(CheckSpec(**stored) for stored in self.checks),
        )


class ColumnQuerySet(models.QuerySet["Column"]):
    """Columns of datasets."""

    def in_use(self) -> ColumnQuerySet:
        """Return the columns that are not retired, in the dataset's order."""
        return self.filter(is_retired=False).order_by("position", "pk")

    def retired(self) -> ColumnQuerySet:
        """Return the columns that are retired, the last one first."""
        return self.filter(is_retired=True).order_by("-retired_at", "-pk")


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
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When its values go for good, and the job that sees to it; both empty while nobody ordered that.
    purge_at = models.DateTimeField(null=True, blank=True, editable=False)
    purge_job_id = models.BigIntegerField(null=True, blank=True, editable=False)

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

    @property
    def target_pk(self) -> int | None:
        """The key column a reference points to."""
        target = self.options.get("target")
        return None if target is None else int(target["column"])

    def spec(self, keys: dict[int, Column] | None = None) -> ColumnSpec:
        """Return the column as a frozen value.

        :param keys: the key columns that references point to, where they were fetched already (see `keys_of`).
        """
        options = options_of(self.options)
        if self.target_pk is not None:
            options = _reference_options((keys_of([self]) if keys is None else keys)[self.target_pk])
        return ColumnSpec(
            pk=self.pk,
            label=self.label,
            type=self.type,
            is_required=self.is_required,
            is_unique=self.is_unique,
            options=options,
        )


def keys_of(columns: Iterable[Column]) -> dict[int, Column]:
    """Return the key columns that references among `columns` point to, with their datasets. One query, if any does."""
    wanted = {column.target_pk for column in columns if column.target_pk is not None}
    return Column.objects.select_related("dataset").in_bulk(wanted) if wanted else {}


def _reference_options(key: Column) -> ColumnOptions:
    """Return what a reference to `key` holds: the key's own options, and which key it is."""
    spec = key.spec()
    target = Target(
        slug=key.dataset.slug, title=key.dataset.title, label=key.label, type=spec.value_type,
        dataset=key.dataset_id, column=key.pk,
    )  # fmt: skip
    return replace(spec.options, target=target)


class DatasetTemplate(models.Model):
    """A definition kept to begin datasets with, as a Table Schema."""

    title = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    schema = models.JSONField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        ordering = ("title", "pk")
        constraints = [
            models.UniqueConstraint(fields=["title"], name="a_template_title_stands_once"),
        ]

    def __str__(self) -> str:
        return self.title


class ColumnAccess(models.TextChoices):
    """How far somebody is let to a column, from the least to the most."""

    HIDDEN = "hidden", "hidden"
    READ_ONLY = "read-only", "read-only"
    FULL = "full", "full"


class ColumnLimit(models.Model):
    """How far one group, or one user, is let to one column. `datasets.access` says how several go together."""

    column = models.ForeignKey(Column, on_delete=models.CASCADE, related_name="limits")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    access = models.CharField(max_length=10, choices=ColumnAccess.choices)

    class Meta:
        default_permissions = ()  # whoever manages the dataset sets them
        constraints = [
            models.UniqueConstraint(fields=["column", "group"], name="one_limit_of_a_column_per_group"),
            models.UniqueConstraint(fields=["column", "user"], name="one_limit_of_a_column_per_user"),
            models.CheckConstraint(
                condition=Q(group__isnull=True, user__isnull=False)
                | Q(group__isnull=False, user__isnull=True),
                name="a_limit_is_of_a_group_or_of_a_user",
            ),
            models.CheckConstraint(
                condition=Q(access__in=["hidden", "read-only"]) | Q(access="full", user__isnull=False),
                name="a_limit_says_how_far_somebody_is_let",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.column}: {self.access} for {self.group or self.user}"


def options_of(stored: dict[str, Any]) -> ColumnOptions:
    """Return stored options as a hashable value: equal definitions give equal specs. A target is not among them."""
    own = {name: value for name, value in stored.items() if name != "target"}
    return ColumnOptions(**{**own, "choices": tuple(own.get("choices", ()))})


def stored_options(options: ColumnOptions) -> dict[str, Any]:
    """Return options as they are stored: only what is set. Of a reference, only which key it points to."""
    if options.target is not None:
        return {"target": {"dataset": options.target.dataset, "column": options.target.column}}
    names = (
        "precision",
        "scale",
        "minimum",
        "maximum",
        "max_length",
        "min_length",
        "pattern",
        "default",
        "region",
    )
    stored: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.choices:
        stored["choices"] = list(options.choices)
    return stored


# Kept in a module of its own, which must be loaded with the models.
from datasets.changeset import ChangeSet  # noqa: E402, F401
