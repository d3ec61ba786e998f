"""Filters of the operators' lists of background work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from jobs.kinds import registry
from jobs.models import ACTIVE, PUBLIC, Job, State, TenantShare
from jobs.pages.shown import title_of

Choices = list[tuple[str, str]]
DAY = timedelta(days=1)


def failed_lately() -> Q:
    """Return the condition of a job that failed within the last 24 hours."""
    return Q(state=State.FAILED, finished_at__gt=Now() - DAY)


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"
    conditions = {
        "active": ("Running or queued", Q(state__in=ACTIVE)),
        "running": ("Running", Q(state=State.RUNNING) | Q(state=State.QUEUED, step__gt=0, not_before__lte=Now())),
        "queued": ("Queued", Q(state=State.QUEUED, step=0, not_before__lte=Now())),
        "resting": ("Resting or for later", Q(state=State.QUEUED, not_before__gt=Now())),
        "failed-lately": ("Failed in the last day", failed_lately()),
        "failed": ("Failed", Q(state=State.FAILED)),
        "done": ("Done", Q(state=State.DONE)),
        "cancelled": ("Cancelled", Q(state=State.CANCELLED)),
    }  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, label) for value, (label, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        chosen = self.conditions.get(str(self.value()))
        return queryset.filter(chosen[1]) if chosen else queryset


class KindFilter(DropdownFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return sorted(((name, title_of(name)) for name in registry()), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class TenantFilter(DropdownFilter):
    """Tenants by their slug. The platform's own work is `-`, which no slug can be."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        slugs = TenantShare.objects.exclude(pk=PUBLIC).order_by("slug").values_list("slug", "slug")
        return [("-", "The platform"), *slugs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        match self.value():
            case None | "":
                return queryset
            case "-":
                return queryset.filter(schema=PUBLIC)
            case slug:
                return queryset.filter(slug=slug)


class WorkFilter(DropdownFilter):
    """What a tenant's work is up to; the conditions are those of `ShareAdmin`'s figures."""

    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("active", "Not paused"),
            ("paused", "Paused"),
            ("waiting", "Has waiting jobs"),
            ("failed", "Has failed jobs (last day)"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "active":
                return queryset.filter(state=TenantShare.State.ACTIVE)
            case "paused":
                return queryset.filter(state=TenantShare.State.PAUSED)
            case "waiting":
                return queryset.filter(queued__gt=0)
            case "failed":
                return queryset.filter(failed__gt=0)
            case _:
                return queryset
