"""Filters that every app's lists share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateFilter


class DayFilter(RangeDateFilter):
    """Days from and to, both included, in UTC. The stock filter compares with naive midnights."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.parameter_name
        first = _midnight(self.used_parameters.get(f"{name}_from"))
        last = _midnight(self.used_parameters.get(f"{name}_to"))
        if first is not None:
            queryset = queryset.filter(**{f"{name}__gte": first})
        if last is not None:
            queryset = queryset.filter(**{f"{name}__lt": last + timedelta(days=1)})
        return queryset


def _midnight(day: object) -> datetime | None:
    try:
        return datetime.strptime(str(day), "%Y-%m-%d").replace(tzinfo=UTC) if day else None
    except ValueError:
        return None
