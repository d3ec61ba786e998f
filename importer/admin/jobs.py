"""The list of imports, and the addresses of an import's pages."""

from __future__ import annotations

from typing import Any, ClassVar

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
from importer.addresses import address, names
from importer.admin import files, fix_page, mapping_page, new_dataset, pages
from importer.admin.tabs import UNDO_WORDS, number
from importer.models import PREVIEWING, ImportJob, State
from importer.rights import jobs_for
from importer.targets.proxies import PROXIES, title_of
from importer.targets.rights import targets_for
from importer.words import name_of

LABELS = {
    State.CREATED: "info",
    State.PREVIEW_IN_PROGRESS: "info",
    State.PREVIEW_SUCCEEDED: "warning",
    State.PREVIEW_FAILED: "danger",
    State.IMPORT_IN_PROGRESS: "info",
    State.IMPORT_SUCCEEDED: "success",
    State.IMPORT_FAILED: "danger",
    State.CANCELLED: "default",
    State.UNDONE: "default",
}


class DatasetFilter(DropdownFilter):
    """Offers the datasets and plain models a person may see, and no other title."""

    title = "dataset"
    parameter_name = "dataset"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[int | str, str]]:
        datasets = access.datasets_for(request.user).order_by("title").values_list("pk", "title")
        targets = [(one, title_of(one)) for one in targets_for(request.user)]
        return [*datasets, *targets]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
        if self.value() in PROXIES:
            return queryset.filter(target=self.value())
        value = number(self.value())
        return queryset.filter(dataset=value) if value else queryset


class WhoFilter(DropdownFilter):
    """Offers those who asked for an import that the person may see."""

    title = "who"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[int, str]]:
        seen = jobs_for(request.user).order_by("created_by__email").exclude(created_by=None)
        return list(seen.values_list("created_by", "created_by__email").distinct())

    def queryset(self, request: HttpRequest, queryset: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
        value = number(self.value())
        return queryset.filter(created_by=value) if value else queryset


@admin.register(ImportJob, site=tenant_site)
class ImportJobAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Lists imports; everything that is done with one is done on its own pages."""

    list_display: tuple[str, ...] = (
        "file",
        "into",
        "state_label",
        "records",
        "rows",
        "rejected",
        "who",
        "uploaded",
    )
    list_display_links = None
    list_filter: ClassVar[tuple[Any, ...]] = (
        ("state", ChoicesDropdownFilter),
        DatasetFilter,
        WhoFilter,
        ("created_at", DayFilter),
    )
    list_filter_submit = True
    list_before_template = "importer/list_head.html"
    search_fields: tuple[str, ...] = ("file_name", "dataset__title", "sha256", "created_by__email")
    search_help_text = "File name, dataset, who, or the file’s sha256"
    list_per_page = 50
    actions = None
    show_full_result_count = False

    def get_urls(self) -> list[URLResolver | URLPattern]:
        at = self.at
        return [
            at("upload/", pages.upload, "upload"),
            *self.urls_of_one(),
            at("<int:pk>/undo/", pages.undo, "undo"),
            at("rules/<int:pk>/", pages.rules, "rules"),
            at("new-dataset/", new_dataset.upload, "new_dataset"),
            at("new-dataset/<int:pk>/", new_dataset.proposal, "proposal"),
            at("new-dataset/<int:pk>/progress/", new_dataset.progress, "proposal_progress"),
            *super().get_urls(),
        ]

    def at(self, route: str, view: Any, name: str) -> URLPattern:
        """Return one address of a page, under the names of this admin's model."""
        page = self.admin_site.admin_view(view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        url: URLPattern = path(route, page, {"site": self.admin_site}, name=name)
        return url

    def urls_of_one(self) -> list[URLPattern]:
        """Return the addresses of the pages of one import, besides its own."""
        at = self.at
        return [
            at("<int:pk>/mapping/", mapping_page.mapping, "mapping"),
            at("<int:pk>/progress/", pages.progress, "progress"),
            at("<int:pk>/confirm/", pages.confirm, "confirm"),
            at("<int:pk>/cancel/", pages.cancel, "cancel"),
            at("<int:pk>/again/", pages.again, "again"),
            at("<int:pk>/fix/", fix_page.fix, "fix"),
            at("<int:pk>/corrections/", fix_page.corrections, "corrections"),
            at("<int:pk>/rejected-rows/", files.rejected_rows, "rejected_rows"),
            at("<int:pk>/file/", files.upload, "file"),
        ]

    # ---- who: every page looks at the rights on the import's dataset

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        return jobs_for(request.user).select_related("undoes")

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
            "upload_url": reverse(f"admin:{names('')}_upload"),
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
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a> <span class="text-font-subtle-light'
            ' dark:text-font-subtle-dark">{}</span>',
            address(job), name_of(job), job.pk,
        )  # fmt: skip

    @admin.display(description="into", ordering="dataset__title")
    def into(self, job: ImportJob) -> str:
        return job.target_title

    @display(description="state", ordering="state", label=LABELS)
    def state_label(self, job: ImportJob) -> tuple[str, str]:
        return job.state, job.get_state_display()

    @admin.display(description="who", ordering="created_by__email")
    def who(self, job: ImportJob) -> str:
        return str(job.created_by or "an operator")

    @admin.display(description="records")
    def records(self, job: ImportJob) -> str:
        """Say what it does to records, or did."""
        if job.state in (*PREVIEWING, State.PREVIEW_FAILED):
            return ""
        words = UNDO_WORDS if job.is_undo else {"+": "new", "~": "changed", "-": "deleted"}
        counts = {"+": job.created_rows, "~": job.updated_rows, "-": job.deleted_rows}
        return ", ".join(f"{number:,} {words[op]}" for op, number in counts.items() if number) or "none"

    @admin.display(description="rows", ordering="read_rows")
    def rows(self, job: ImportJob) -> str:
        return "" if job.is_undo else f"{job.read_rows:,}"

    @admin.display(description="rejected", ordering="rejected_rows")
    def rejected(self, job: ImportJob) -> str:
        return "" if job.is_undo else f"{job.rejected_rows:,}"

    @admin.display(description="asked for (UTC)", ordering="created_at")
    def uploaded(self, job: ImportJob) -> str:
        return f"{job.created_at:%Y-%m-%d %H:%M}"
