"""The history of exports, on the tenant site: files and runs, to look at and to download."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet, Sum, Value
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from accounts.models import User
from accounts.sites import tenant_site
from core import clock
from core.filters import DayFilter
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from core.words import count
from datasets import access
from exporter import services
from exporter.admin import pages, space_page, view_page
from exporter.admin.filters import (
    DatasetFilter,
    RunDatasetFilter,
    RunFormatFilter,
    StoredFilter,
    TriggerFilter,
)
from exporter.lateness import late_exports
from exporter.models import Content, ExportFile, ExportRun, Format, Mode, State

LATELY = timedelta(days=1)
MOST_MISSED = 3
STATE_COLOURS = {
    State.QUEUED: "info",
    State.RUNNING: "info",
    State.SUCCEEDED: "success",
    State.FAILED: "danger",
    State.CANCELLED: "warning",
    State.MISSED: "danger",
}
# Not by colour alone: what went wrong has a sign of its own.
STATE_SIGNS = {State.FAILED: "✕ ", State.MISSED: "○ ", State.SUCCEEDED: "✓ "}


class ReadOnlyAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Pages for people who may export something; nothing on them is added, changed or deleted by hand."""

    actions = None
    list_filter_submit = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return services.may_see_exports(cast("User", request.user))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


@admin.register(ExportFile, site=tenant_site)
class ExportFileAdmin(ReadOnlyAdmin):
    """Every file of the datasets a person may export."""

    change_list_template = "exporter/file_list.html"
    list_before_template = "exporter/file_list_head.html"
    list_display = (
        "dataset_title",
        "created_at",
        "trigger",
        "format",
        "mode_shown",
        "rows_shown",
        "size",
        "checksum",
        "state",
        "age",
        "download",
    )
    list_filter = (
        DatasetFilter,
        TriggerFilter,
        ("format", ChoicesDropdownFilter),
        StoredFilter,
        ("created_at", DayFilter),
    )
    search_fields = ("dataset_title", "dataset_slug", "key", "sha256")
    search_help_text = "Dataset, file name or sha256"
    fields = (
        "dataset_title", "run", "key", "format", "content", "mode", "rows", "bytes", "sha256",
        "definition_version", "created_at", "checked_at", "fault", "deleted_at",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportFile]:
        return (
            services.visible_files(cast("User", request.user))
            .select_related("run")
            .annotate(may_restore=_restorable_by(cast("User", request.user)))
            .order_by("-created_at", "-pk")
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(pages.download)
        return [
            path("<int:file_id>/download/", view, name="exporter_exportfile_download"),
            path(
                "<int:file_id>/file/<str:token>/",
                self.admin_site.admin_view(pages.hand_out),
                name="exporter_exportfile_file",
            ),
            path(
                "space/", self.admin_site.admin_view(space_page.space_page), name="exporter_exportfile_space"
            ),
            path(
                "view/<int:dataset_id>/",
                self.admin_site.admin_view(view_page.view_export),
                name="exporter_exportfile_view",
            ),
            path(
                "differences/<int:dataset_id>/",
                self.admin_site.admin_view(view_page.differences_export),
                name="exporter_exportfile_differences",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown = {"title": "Exports", **troubles()}
        page: HttpResponse = super().changelist_view(request, {**shown, **(extra_context or {})})
        return page

    @admin.display(description="trigger", ordering="run__trigger")
    def trigger(self, file: ExportFile) -> str:
        return format_html(
            '<a class="rh-link" href="{}">{}</a>',
            reverse("admin:exporter_exportrun_change", args=[file.run_id]),
            file.run.get_trigger_display(),
        )

    @admin.display(description="cells", ordering="mode")
    def mode_shown(self, file: ExportFile) -> str:
        changes = ", changes alone" if file.content == Content.INCREMENTAL else ""
        return f"{file.get_mode_display()}{changes}"

    @admin.display(description="rows", ordering="rows")
    def rows_shown(self, file: ExportFile) -> str:
        return f"{file.rows:,}"

    @admin.display(description="size", ordering="bytes")
    def size(self, file: ExportFile) -> str:
        return filesizeformat(file.bytes)

    @admin.display(description="sha256", ordering="sha256")
    def checksum(self, file: ExportFile) -> str:
        return format_html('<code title="{}">{}…</code>', file.sha256, file.sha256[:12])

    @display(description="state", label={"stored": "success", "pruned": "warning", "damaged": "danger"})
    def state(self, file: ExportFile) -> tuple[str, str]:
        if file.is_pruned:
            return "pruned", "pruned"
        return ("damaged", file.get_fault_display()) if file.fault else ("stored", "stored")

    @admin.display(description="age", ordering="-created_at")
    def age(self, file: ExportFile) -> str:
        return timesince(file.created_at, depth=1)

    @admin.display(description="file")
    def download(self, file: ExportFile) -> str:
        if file.is_pruned:
            return "removed"
        address = reverse("admin:exporter_exportfile_download", args=[file.pk])
        link = format_html('<a class="rh-link" href="{}" title="{}">Download</a>', address, file.file_name)
        if not getattr(file, "may_restore", False) or file.fault:
            return link
        restore = _restore_address(file)
        return format_html('{} <a class="rh-link" href="{}">Restore</a>', link, restore) if restore else link


def _restorable_by(user: User) -> Any:
    """Return whether a person has the rights that restoring a file's dataset needs."""
    needed = [Q(dataset__in=access.datasets_for(user, right)) for right in ("view", "import", "delete")]
    return ExpressionWrapper(needed[0] & needed[1] & needed[2], output_field=BooleanField())


def _restore_address(file: ExportFile) -> str:
    try:  # a page of the app above, which knows how to import
        return reverse("admin:rowhouse_restore", args=[file.dataset_id]) + f"?file={file.pk}"
    except NoReverseMatch:
        return ""


@admin.register(ExportRun, site=tenant_site)
class ExportRunAdmin(ReadOnlyAdmin):
    """Every run, scheduled or by hand, with its outcome."""

    class Media:
        css: ClassVar = {"all": ["exporter/exporter.css"]}

    change_list_template = "exporter/run_list.html"
    list_before_template = "exporter/run_list_head.html"
    list_display = (
        "name",
        "shown_state",
        "shown_error",
        "trigger",
        "shown_slot",
        "formats",
        "files",
        "rows",
        "size",
        "duration",
        "age",
    )
    list_filter = (
        RunDatasetFilter,
        ("state", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        RunFormatFilter,
        ("created_at", DayFilter),
    )
    search_fields = ("error", "error_code", "requested_by__email")
    search_help_text = "Error, or who asked for it"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportRun]:
        own = Q(files__in=services.visible_files(cast("User", request.user)))
        return ExportRun.objects.annotate(
            n_files=Count("files", filter=own),
            n_rows=Sum("files__rows", filter=own),
            n_bytes=Sum("files__bytes", filter=own),
            as_formats=ArrayAgg("files__format", filter=own, distinct=True, default=Value([])),
            as_modes=ArrayAgg("files__mode", filter=own, distinct=True, default=Value([])),
        ).order_by("-created_at", "-pk")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("now/", wrap(pages.export_now), name="exporter_exportrun_now"),
            path("<int:run_id>/cancel/", wrap(pages.cancel), name="exporter_exportrun_cancel"),
            path("<int:run_id>/change/", wrap(pages.show_run), name="exporter_exportrun_change"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page: HttpResponse = super().changelist_view(
            # What was missed says so in its row.
            request,
            {"title": "Export runs", **troubles(), "missed": (), **(extra_context or {})},
        )
        return page

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        # Only reached by an address that is no number: the page of a run is our own.
        raise Http404

    @admin.display(description="run", ordering="pk")
    def name(self, run: ExportRun) -> str:
        return str(run)

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, run: ExportRun) -> tuple[str, str]:
        more = f" ({count(run.missed, 'slot')})" if run.missed > 1 else ""
        return run.state, f"{STATE_SIGNS.get(State(run.state), '')}{run.get_state_display()}{more}"

    @admin.display(description="error", ordering="error")
    def shown_error(self, run: ExportRun) -> str:
        return format_html('<span class="ex-error">{}</span>', run.error) if run.error else "-"

    @admin.display(description="slot (UTC)", ordering="slot")
    def shown_slot(self, run: ExportRun) -> str:
        return format_html('<span class="ex-time">{}</span>', f"{run.slot:%d %b, %H:%M}") if run.slot else "-"

    @admin.display(description="as")
    def formats(self, run: Any) -> str:
        modes = [Mode(one).label for one in run.as_modes if one != Mode.EXACT]
        return ", ".join([Format(one).label for one in run.as_formats] + modes) or "-"

    @admin.display(description="files", ordering="n_files")
    def files(self, run: Any) -> str:
        return f"{run.n_files:,}" + (f", {len(run.skipped):,} unchanged" if run.skipped else "")

    @admin.display(description="rows", ordering="n_rows")
    def rows(self, run: Any) -> str:
        return f"{run.n_rows or 0:,}"

    @admin.display(description="size", ordering="n_bytes")
    def size(self, run: Any) -> str:
        return filesizeformat(run.n_bytes or 0)

    @admin.display(description="duration")
    def duration(self, run: ExportRun) -> str:
        if run.started_at is None or run.finished_at is None:
            return "-"
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f} s"

    @admin.display(description="age", ordering="-created_at")
    def age(self, run: ExportRun) -> str:
        return timesince(run.created_at, depth=1)


def troubles() -> dict[str, Any]:
    """Return what stands above the history when scheduled exports fail, are missed, or do not come at all."""
    last, trouble = services.last_ended_run(), services.trouble_since(clock.now() - LATELY)
    missed = [run for run in trouble.runs if run.state == State.MISSED]
    return {
        "last_failed": last if last and last.state == State.FAILED else None,
        "late": late_exports(now=clock.now()),
        "missed": missed[:MOST_MISSED],
        "n_failed": trouble.failed,
        "n_missed": trouble.missed,
    }
