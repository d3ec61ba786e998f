"""Filters of the history: they offer only what the person may see."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from accounts.models import User
from exporter.models import ExportFile, Fault, Format, Trigger
from exporter.services import visible_files

Choices = list[tuple[str, str]]


class DatasetFilter(DropdownFilter):
    title = "dataset"
    parameter_name = "dataset"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        seen = visible_files(cast("User", request.user)).order_by("dataset_slug").distinct("dataset_slug")
        return list(seen.values_list("dataset_slug", "dataset_title"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExportFile]) -> QuerySet[ExportFile]:
        return queryset.filter(dataset_slug=self.value()) if self.value() else queryset


class RunDatasetFilter(DatasetFilter):
    """Runs that made a file of the dataset, or found it unchanged."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        slug = self.value()
        if not slug:
            return queryset
        files = visible_files(cast("User", request.user)).filter(dataset_slug=slug)
        # That a dataset was unchanged is told of those whose files the person sees.
        unchanged = Q(skipped__contains=[{"slug": slug}]) if files.exists() else Q(pk__in=[])
        return queryset.filter(Q(pk__in=files.values("run")) | unchanged)


class RunFormatFilter(DropdownFilter):
    """Runs that made a file of the format."""

    title = "format"
    parameter_name = "format"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(value, label) for value, label in Format.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        files = visible_files(cast("User", request.user)).filter(format=self.value())
        return queryset.filter(pk__in=files.values("run"))


class TriggerFilter(DropdownFilter):
    title = "trigger"
    parameter_name = "trigger"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(value, label.capitalize()) for value, label in Trigger.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExportFile]) -> QuerySet[ExportFile]:
        return queryset.filter(run__trigger=self.value()) if self.value() else queryset


class StoredFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [("stored", "Stored"), ("damaged", "Missing or altered"), ("pruned", "Pruned")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExportFile]) -> QuerySet[ExportFile]:
        match self.value():
            case "stored":
                return queryset.filter(deleted_at=None, fault=Fault.NONE)
            case "damaged":
                return queryset.filter(deleted_at=None).exclude(fault=Fault.NONE)
            case "pruned":
                return queryset.exclude(deleted_at=None)
            case _:
                return queryset
