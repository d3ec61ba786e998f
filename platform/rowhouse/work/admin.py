"""The addresses of a tenant's background work; its pages are in `rowhouse.work.pages`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from core.readonly import ReadOnly
from rowhouse.work import pages


class WorkAdmin(ReadOnly, ModelAdmin):
    """Only addresses: Django's own pages would look for the jobs' table in the tenant's schema."""

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, view: Any, name: str) -> URLPattern:
            page = self.admin_site.admin_view(view)
            url: URLPattern = path(route, page, {"site": self.admin_site}, name=f"jobs_job_{name}")
            return url

        return [
            at("", pages.work, "changelist"),
            # These two answer by themselves to somebody who is not signed in: no page is what they expect.
            path("live/", pages.live, name="jobs_job_live"),
            path("<int:pk>/status.json", pages.status, name="jobs_job_status"),
            at("<int:pk>/", pages.one, "change"),
            at("<int:pk>/cancel/", pages.cancel, "cancel"),
        ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active)
