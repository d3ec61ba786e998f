"""What every page of the operator site shares."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse


class WithoutLog:
    """Mixin of an admin on the operator site, before ModelAdmin: Django's log has no table in `public`.

    Who did what stands in the events, which the services record.
    """

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: the service has recorded an event."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: the service has recorded an event."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Write nothing: the service has recorded an event."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise Http404
