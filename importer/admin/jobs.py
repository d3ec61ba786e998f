"""The list of imports, and the addresses of an import's pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from accounts.sites import tenant_site
from core.filters import DayFilter
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from datasets import access
from importer.admin import pages
from importer.models import ImportJob, State
from importer.rights import jobs_for

LABELS = {
    State.CREATED: "info",
    State.PREVIEW_IN_PROGRESS: "info",
    State.PREVIEW_SUCCEEDED: "warning",
    State.PREVIEW_FAILED: "danger",
    State.IMPORT_IN_PROGRESS: "info",
    State.IMPORT_SUCCEEDED: "success",
    State.IMPORT_FAILED: "danger",
}


class DatasetFilter(DropdownFilter):
    """Offers the datasets a person may see, and no other title."""

    title = "dataset"
    parameter_name = "dataset"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[int, str]]:
        return list(access.datasets_for(request.user).order_by("title").values_list("pk", "title"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
        value = self.value()
        return (
            queryset.filter(dataset=value)
            if value and str(value).isdecimal() and str(value).isascii()
            else queryset
        )


@admin.register(ImportJob, site=tenant_site)
class ImportJobAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Lists imports; everything that is done with one is done on its own pages."""

    list_display = (
        "file", "dataset", "state_label", "who", "read", "created", "updated", "unchanged", "rejected", "uploaded",
    )  # fmt: skip
    list_display_links = None
    list_filter = (("state", ChoicesDropdownFilter), DatasetFilter, ("created_at", DayFilter))
    list_filter_submit = True
    list_before_template = "importer/list_head.html"
    search_fields = ("file_name", "dataset__title", "sha256", "created_by__email")
    list_per_page = 50
    actions = None
    show_full_result_count = False

    def get_urls(self) -> list[URLResolver | URLPattern]:
        def at(route: str, view: Any, name: str) -> URLPattern:
            page = self.admin_site.admin_view(view)
            url: URLPattern = path(route, page, {"site": self.admin_site}, name=f"importer_importjob_{name}")
            return url

        return [
            at("upload/", pages.upload, "upload"),
            at("<int:pk>/mapping/", pages.mapping, "mapping"),
            at("<int:pk>/progress/", pages.progress, "progress"),
            at("<int:pk>/confirm/", pages.confirm, "confirm"),
            at("<int:pk>/cancel/", pages.cancel, "cancel"),
            at("<int:pk>/rejected-rows/", pages.rejected_rows, "rejected_rows"),
            *super().get_urls(),
        ]

    # ---- who: every page looks at the rights on the import's dataset

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        return jobs_for(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None:
            return jobs_for(request.user).filter(pk=obj.pk).exists()
        return bool(request.user.is_active)

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Imports",
            "may_upload": access.datasets_for(request.user, "import").exists(),
            "is_empty": not self.get_queryset(request).exists(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return pages.show(request, object_id, site=self.admin_site)

    @admin.display(description="file", ordering="file_name")
    def file(self, job: ImportJob) -> str:
        url = reverse("admin:importer_importjob_change", args=[job.pk])
        return format_html('<a href="{}" class="font-semibold text-important">{}</a>', url, job.file_name)

    @display(description="state", ordering="state", label=LABELS)
    def state_label(self, job: ImportJob) -> tuple[str, str]:
        return job.state, job.get_state_display()

    @admin.display(description="who", ordering="created_by__email")
    def who(self, job: ImportJob) -> str:
        return str(job.created_by or "an operator")

    @admin.display(description="rows", ordering="read_rows")
    def read(self, job: ImportJob) -> str:
        return f"{job.read_rows:,}"

    @admin.display(description="created", ordering="created_rows")
    def created(self, job: ImportJob) -> str:
        return f"{job.created_rows:,}"

    @admin.display(description="changed", ordering="updated_rows")
    def updated(self, job: ImportJob) -> str:
        return f"{job.updated_rows:,}"

    @admin.display(description="unchanged", ordering="unchanged_rows")
    def unchanged(self, job: ImportJob) -> str:
        return f"{job.unchanged_rows:,}"

    @admin.display(description="rejected", ordering="rejected_rows")
    def rejected(self, job: ImportJob) -> str:
        return f"{job.rejected_rows:,}"

    @admin.display(description="uploaded (UTC)", ordering="created_at")
    def uploaded(self, job: ImportJob) -> str:
        return f"{job.created_at:%Y-%m-%d %H:%M}"
