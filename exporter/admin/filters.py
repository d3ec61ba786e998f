"""Filters of the history: they offer only what the person may see."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from accounts.models import User
from exporter.models import ExportFile, Fault, Trigger
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
