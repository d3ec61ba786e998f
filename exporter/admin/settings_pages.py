"""Schedules and formats: the list of every dataset's export settings, their editor, and its live example."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from unfold.admin import ModelAdmin

from accounts.models import User
from accounts.sites import tenant_site
from core import clock
from core.errors import RowhouseError
from core.readonly import ReadOnly
from core.tenancy import current_tenant
from datasets import access
from datasets.models import Dataset
from exporter import services
from exporter.choosing import settings_of
from exporter.models import Content, Every, ExportFile, ExportSettings, Format
from exporter.naming import SAFE_SLUG, example
from exporter.schedules import schedule_words
from exporter.scheduling import schedule_of
from exporter.settings_form import SettingsForm
from exporter.settings_service import (
    BadSettings,
    SettingsChanged,
    change_export_settings,
    may_change,
    own_settings,
    remove_export_settings,
)
from exporter.slots import Schedule, firings

ON_A_PAGE = 50


@admin.register(ExportSettings, site=tenant_site)
class ExportSettingsAdmin(ReadOnly, ModelAdmin):
    """Nothing of Django's own pages: a list of datasets, and an editor for each and for the tenant."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return services.may_see_exports(cast("User", request.user))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(show_all), name="exporter_exportsettings_changelist"),
            path("every/", wrap(edit_tenants), name="exporter_exportsettings_tenant"),
            path("example/", wrap(show_example), name="exporter_exportsettings_example"),
            path("dataset/<int:dataset_id>/", wrap(edit_datasets), name="exporter_exportsettings_dataset"),
        ]


@dataclass(frozen=True, slots=True)
class Line:
    """One dataset of the list, with the settings that hold for it."""

    dataset: Dataset
    settings: ExportSettings
    words: str
    next_at: datetime | None
    last: ExportFile | None
    may_change: bool

    @property
    def has_own(self) -> bool:
        return self.settings.dataset_id is not None


@require_safe
@never_cache
def show_all(request: HttpRequest) -> HttpResponse:
    """Show every dataset the person may export, with its effective settings; searched, filtered, by pages."""
    user = cast("User", request.user)
    if not services.may_see_exports(user):
        raise PermissionDenied("You may not export any dataset here. Ask an owner for the right.")
    asked = {name: request.GET.get(name, "").strip() for name in ("q", "every", "format", "whose")}
    datasets = list(access.datasets_for(user, "export").order_by("title"))
    settings = settings_of(datasets)
    found = [one for one in datasets if _fits(one, settings[one.pk], asked)]
    shown = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    rest = own_settings(None) or ExportSettings()
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "title": "Schedules and formats",
        "lines": _lines(user, list(shown), settings),
        "shown": shown,
        "query": query.urlencode(),
        "asked": asked,
        "is_asked": any(asked.values()),
        "has_datasets": bool(datasets),
        "every_choices": Every.choices,
        "format_choices": Format.choices,
        "rest": rest,
        "rest_words": _words(rest),
        "may_change_rest": may_change(user, None),
    }
    return _page(request, "exporter/settings_list.html", context)


def _fits(dataset: Dataset, settings: ExportSettings, asked: dict[str, str]) -> bool:
    whose = "own" if settings.dataset_id is not None else "tenant"
    return (
        asked["q"].casefold() in f"{dataset.title} {dataset.slug}".casefold()
        and asked["every"] in ("", settings.every)
        and asked["format"] in ("", settings.format)
        and asked["whose"] in ("", whose)
    )


def _lines(user: User, datasets: list[Dataset], settings: dict[int, ExportSettings]) -> list[Line]:
    now = clock.now()
    files = ExportFile.objects.stored().filter(dataset__in=datasets)
    last = {
        file.dataset_id: file for file in files.order_by("dataset_id", "-created_at").distinct("dataset_id")
    }
    return [
        Line(
            dataset=one,
            settings=settings[one.pk],
            words=_words(settings[one.pk]),
            next_at=_next(settings[one.pk], now),
            last=last.get(one.pk),
            may_change=may_change(user, one),
        )
        for one in datasets
    ]


def _words(settings: ExportSettings) -> str:
    return schedule_words(schedule_of(settings))


def _next(settings: ExportSettings, now: datetime) -> datetime | None:
    return next(firings(schedule_of(settings), after=now), None)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit_tenants(request: HttpRequest) -> HttpResponse:
    """Edit the settings of every dataset that has none of its own."""
    if not may_change(request.user, None):
        raise PermissionDenied("You may not change the export settings of every dataset. Ask an owner.")
    return _edit(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit_datasets(request: HttpRequest, dataset_id: int) -> HttpResponse:
    """Edit the settings of one dataset; without the right to export it there is no such page."""
    user = cast("User", request.user)
    dataset = get_object_or_404(access.datasets_for(user, "export"), pk=dataset_id)
    access.require(user, "manage", dataset)
    services.require_whole(user, dataset)
    return _edit(request, dataset)


def _edit(request: HttpRequest, dataset: Dataset | None) -> HttpResponse:
    own = own_settings(dataset)
    shown = own or (own_settings(None) if dataset else None)
    form = SettingsForm(request.POST if request.method == "POST" else None, dataset=dataset, shown=shown)
    status, conflict = 200, ""
    if request.method == "POST":
        try:
            status = _posted(request, dataset, form)
        except SettingsChanged as refused:
            status, conflict = refused.status, refused.message
        if status == 302:
            return redirect("admin:exporter_exportsettings_changelist")
    sent = request.POST.dict() if request.method == "POST" else {}
    context = {
        "title": f"Export settings: {dataset.title}" if dataset else "Export settings of every other dataset",
        "form": form,
        "dataset": dataset,
        "has_own": own is not None,
        "is_conflict": conflict,
        "columns_faults": form.columns_faults,
        "example": _example({**form.initial, **sent}, dataset),
        "slug": dataset.slug if dataset else "orders",
        "lines": form.lines() if dataset else (),
    }
    return _page(request, "exporter/settings.html", context, status=status)


def _posted(request: HttpRequest, dataset: Dataset | None, form: SettingsForm) -> int:
    """Do what a button asks for; returns the status, 302 when it is done.

    :raises SettingsChanged: somebody else was quicker.
    """
    do, seen = request.POST.get("do", "save"), request.POST.get("seen", "")
    try:
        if do == "remove" and dataset is not None:
            remove_export_settings(dataset=dataset, seen=seen, by=request.user)
            messages.info(request, f"“{dataset.title}” is exported by the tenant's settings again.")
            return 302
        if not form.is_valid():
            return 422
        if do == "look":
            return 200
        settings = change_export_settings(dataset=dataset, values=form.wanted(), seen=seen, by=request.user)
    except BadSettings as refused:
        form.show_faults(refused.faults)
        return 422
    whose = f"“{dataset.title}”" if dataset else "every dataset without settings of its own"
    messages.info(request, f"Stored. From the next slot on, {whose} is exported {_words(settings)}.")
    return 302


@require_safe
@never_cache
def show_example(request: HttpRequest) -> JsonResponse:
    """Say what a schedule and a pattern in the address would give; nothing is looked up or stored."""
    user = cast("User", request.user)
    if not may_change(user, None) and not access.datasets_for(user, "manage").exists():
        raise PermissionDenied("You may not change export settings here.")
    return JsonResponse(_example(request.GET.dict(), None))


def _example(values: dict[str, Any], dataset: Dataset | None) -> dict[str, Any]:
    """Return the file name and the schedule that settings give, each with what is wrong with it."""
    slug = dataset.slug if dataset else str(values.get("dataset", ""))
    slug = slug if SAFE_SLUG.fullmatch(slug) else "orders"
    every = str(values.get("every") or Every.HOUR)
    cron, zone = str(values.get("cron") or ""), str(values.get("time_zone") or "UTC")
    made = {"name": "", "name_fault": "", "words": "", "next": "", "words_fault": ""}
    try:
        made["name"] = f"{current_tenant().slug}/" + example(
            str(values.get("pattern") or ""),
            dataset=slug,
            extension=_known(values.get("format"), Format, "csv"),
            content=_known(values.get("content"), Content, "FULL"),
        )
    except RowhouseError as refused:
        made["name_fault"] = refused.message
    try:
        schedule = Schedule(_known(every, Every, "HOUR"), cron, zone)
        made["words"] = schedule_words(schedule)
        at = next(firings(schedule, after=clock.now()), None)
        made["next"] = f"{at:%d %B %Y, %H:%M} UTC" if at else ""
    except RowhouseError as refused:
        made["words_fault"] = refused.message
    return made


def _known(value: object, choices: Any, default: str) -> str:
    return str(value) if value in choices.values else default


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return render(request, template, {**tenant_site.each_context(request), **context}, status=status)
