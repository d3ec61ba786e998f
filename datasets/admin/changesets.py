"""Changes of records: their list, and the page of each with its preview, its decision and what became of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

import jobs.services
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.filters import DayFilter
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from core.words import count
from datasets import access, changeset_plan, changesets, versions
from datasets.admin.addresses import change_address, changes_address, record_address, records_address
from datasets.admin.selection import filtered_records
from datasets.changeset import OPEN, ChangeSet, Kind, State
from datasets.columntypes import type_of
from datasets.display import readable, shorten
from datasets.sqltext import name_text, quoted

LABELS = {
    State.PLANNING: "info",
    State.PLANNED: "warning",
    State.WORKING: "info",
    State.DONE: "success",
    State.UNDONE: "default",
    State.CANCELLED: "default",
    State.FAILED: "danger",
}
PAGE = 50
MOST_DIGITS = 18  # of a bigint


def changes_for(user: Any) -> QuerySet[ChangeSet]:
    """Return the changes a person may see: those of datasets whose records he may view."""
    # Its titles, samples and problems tell of all columns; what somebody asked for himself tells him nothing new.
    whole = Q(dataset__in=access.whole_datasets_for(user, "view"))
    own = Q(dataset__in=access.datasets_for(user), created_by=user)
    return ChangeSet.objects.filter(whole | own).select_related(
        "dataset", "created_by", "confirmed_by", "undoes"
    )


class DatasetFilter(DropdownFilter):
    """Offers the datasets a person may see, and no other title."""

    title = "dataset"
    parameter_name = "dataset"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[int, str]]:
        return list(access.datasets_for(request.user).order_by("title").values_list("pk", "title"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeSet]) -> QuerySet[ChangeSet]:
        value = _number(self.value())
        return queryset.filter(dataset=value) if value else queryset


class WhoFilter(DropdownFilter):
    """Offers those who made a change that the person may see."""

    title = "who"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[int, str]]:
        seen = changes_for(request.user).order_by("created_by__email").exclude(created_by=None)
        return list(seen.values_list("created_by", "created_by__email").distinct())

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeSet]) -> QuerySet[ChangeSet]:
        value = _number(self.value())
        return queryset.filter(created_by=value) if value else queryset


@admin.register(ChangeSet, site=tenant_site)
class ChangeSetAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Lists changes; everything that is done with one is done on its own page."""

    list_display: tuple[str, ...] = ("what", "into", "kind", "state_label", "records", "who", "when", "note")
    list_display_links = None
    list_filter: ClassVar[tuple[Any, ...]] = (
        DatasetFilter,
        ("kind", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        WhoFilter,
        ("created_at", DayFilter),
    )
    list_filter_submit = True
    list_before_template = "datasets/changesets_head.html"
    search_fields: tuple[str, ...] = ("title", "note", "dataset__title", "created_by__email")
    search_help_text = "What, why, dataset or who"
    list_per_page = 50
    actions = None
    show_full_result_count = False

    def get_urls(self) -> list[URLResolver | URLPattern]:
        pages = {"confirm": confirm, "cancel": cancel, "undo": undo, "progress": progress}
        return [
            *(
                path(
                    f"<int:pk>/{name}/",
                    self.admin_site.admin_view(view),
                    {"site": self.admin_site},
                    name=f"datasets_changeset_{name}",
                )
                for name, view in pages.items()
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeSet]:
        return changes_for(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None:
            return changes_for(request.user).filter(pk=obj.pk).exists()
        return bool(request.user.is_active)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        asked = _number(request.GET.get("dataset"))
        dataset = access.datasets_for(request.user).filter(pk=asked).first() if asked else None
        seen = self.get_queryset(request)
        context = {
            "title": f"Changes of {dataset.title}" if dataset else "Changes",
            "dataset": dataset,
            "records_url": records_address(dataset) if dataset else "",
            "is_empty": not (seen.filter(dataset=dataset) if dataset else seen).exists(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        number = _number(object_id)
        if number is None:
            raise Http404
        return show(request, _changes_or_404(request, number), self.admin_site)

    @admin.display(description="what", ordering="title")
    def what(self, changes: ChangeSet) -> str:
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a> <span class="text-font-subtle-light'
            ' dark:text-font-subtle-dark">{}</span>',
            change_address(changes), changes.title, changes.pk,
        )  # fmt: skip

    @admin.display(description="dataset", ordering="dataset__title")
    def into(self, changes: ChangeSet) -> str:
        return changes.dataset.title

    @display(description="state", ordering="state", label=LABELS)
    def state_label(self, changes: ChangeSet) -> tuple[str, str]:
        return changes.state, State(changes.state).label

    @admin.display(description="records")
    def records(self, changes: ChangeSet) -> str:
        """Say what it does to records, or did."""
        return outcome(changes)

    @admin.display(description="who", ordering="created_by__email")
    def who(self, changes: ChangeSet) -> str:
        return str(changes.created_by or "somebody who is gone")

    @admin.display(description="when (UTC)", ordering="created_at")
    def when(self, changes: ChangeSet) -> str:
        return f"{changes.created_at:%Y-%m-%d %H:%M}"


def outcome(changes: ChangeSet) -> str:
    """Return what changes do to records, or did, as few words."""
    words = (
        ("added", "brought back", changes.created_records),
        ("changed", "put back", changes.updated_records),
        ("deleted", "removed", changes.deleted_records),
        ("left as they are", "left as they are", changes.kept_records),
    )
    said = [f"{number:,} {undo if changes.is_undo else word}" for word, undo, number in words if number]
    return ", ".join(said) or "none"


# ---- the page of one


def show(
    request: HttpRequest,
    changes: ChangeSet,
    site: admin.AdminSite,
    *,
    refused: str = "",
    status: int = 200,
) -> HttpResponse:
    """Everything about one change set: what it would do or did, whom it leaves, and the decision."""
    request.current_app = site.name  # as Django's own admin does
    spec = changes.dataset.spec()
    after = _number(request.GET.get("after")) or 0
    sample: list[dict[str, Any]] = []
    if changes.state == State.PLANNED:
        sample = _sample(changes)
    elif changes.state in (State.DONE, State.UNDONE) and changes.confirmed_at:
        sample = [
            {"id": id_, "name": version.name, "kind": version.kind, "cells": version.cells, "at": version.pk}
            for id_, version in versions.touched_by(
                spec, changes.reason, changes.confirmed_at, after=after, size=PAGE + 1
            )
        ]
    more = sample[PAGE - 1]["at"] if len(sample) > PAGE else None
    for one in sample:
        one["url"] = record_address(changes.dataset, one["id"])
    undone_by = changes.undone_by.filter(state=State.DONE).first()
    context = {
        **site.each_context(request),
        "title": changes.title,
        "opts": ChangeSet._meta,
        "changes": changes,
        "tone": LABELS[State(changes.state)],
        "sentence": _sentence(changes),
        "refused": refused,
        "sample": sample[:PAGE],
        "more": more,
        "problems": [{**one, "url": record_address(changes.dataset, one["id"])} for one in changes.problems],
        "figures": _figures(changes),
        "button": _button(changes),
        "asks_number": changesets.asks_number(changes),
        "lacks": _lacks(request, changes),
        "may_undo": changes.state == State.DONE and _may_undo(request, changes),
        "undone_by": undone_by,
        "open_undo": changes.undone_by.filter(state__in=OPEN).first(),
        "records_url": records_address(changes.dataset),
        "list_url": changes_address(changes.dataset),
        **_progress(changes),
    }
    return render(request, "datasets/changeset.html", context, status=status)


def _sentence(changes: ChangeSet) -> str:
    touched = count(changes.touched_records, "record")
    if changes.state == State.PLANNED:
        if not changes.touched_records:
            return "Nothing would change."
        return f"{touched} of {changes.dataset.title} would change. Nothing is written yet."
    if changes.state == State.DONE:
        return f"{touched} of {changes.dataset.title}: {outcome(changes)}."
    if changes.state == State.UNDONE:
        return f"It was taken back; before that, {touched}: {outcome(changes)}."
    if changes.state == State.FAILED:
        return "Nothing was written."
    if changes.state == State.CANCELLED:
        return "It was given up before anything was written."
    return "It is being worked out." if changes.state == State.PLANNING else "It is being written."


def _figures(changes: ChangeSet) -> list[tuple[str, str]]:
    words = {
        False: ("Added", "Changed", "Deleted"),
        True: ("Brought back", "Put back", "Removed"),
    }[changes.is_undo]
    if changes.state == State.PLANNED:
        to = {
            False: ("To add", "To change", "To delete"),
            True: ("To bring back", "To put back", "To remove"),
        }
        words = to[changes.is_undo]
    numbers = (changes.created_records, changes.updated_records, changes.deleted_records)
    figures = [("Touched" if changes.is_undo else "Picked", changes.picked_records)]
    figures += [(word, number) for word, number in zip(words, numbers, strict=True) if number]
    figures += [("Need no change", changes.unchanged_records), ("Left as they are", changes.kept_records)]
    return [(word, f"{number:,}") for word, number in figures]


def _button(changes: ChangeSet) -> str:
    records = count(changes.touched_records, "record")
    verb = {Kind.DELETE: "Delete", Kind.UNDO: "Undo:"}.get(Kind(changes.kind), "Change")
    return f"{verb} {records}"


def _lacks(request: HttpRequest, changes: ChangeSet) -> str:
    try:
        changesets.require_confirm(request.user, changes)
    except PermissionDenied as denied:
        return str(denied)
    return ""


def _may_undo(request: HttpRequest, changes: ChangeSet) -> bool:
    try:
        changesets.require_undo(request.user, changes)
        changesets.require_undoable(changes)
    except (PermissionDenied, changesets.NotUndoable):
        return False
    return True


def _progress(changes: ChangeSet) -> dict[str, Any]:
    is_running = changes.state in (State.PLANNING, State.WORKING)
    status = None
    if is_running and changes.job_id:
        try:
            status = jobs.services.status(int(changes.job_id))
        except jobs.services.JobNotFound:
            status = None
    done = status.processed if status else 0
    return {
        "is_running": is_running,
        "job": status,
        "processed": done,
        "percent": done * 100 // status.total if status and status.total else None,
    }


def _sample(changes: ChangeSet) -> list[dict[str, Any]]:
    """Return the first records of a plan, each with the cells that would change."""
    spec, table = changes.dataset.spec(), changeset_plan.plan_table(changes.pk)
    if not changeset_plan.is_whole(changes):
        return []
    limit = changeset_plan.SAMPLE
    with connection.cursor() as cursor:
        if changes.is_undo:
            cursor.execute(
                f"SELECT d.id, {name_text(spec, 'e')}, d.op::text FROM {table} d"
                f" JOIN {spec.history_table} e ON e.history_id = d.entry WHERE d.kept IS NULL"
                f" ORDER BY d.entry LIMIT {limit}"
            )
            return [_one(*row) for row in cursor.fetchall()]
        if changes.kind == Kind.DELETE:
            cursor.execute(
                f"SELECT p.id, {name_text(spec, 't')}, '-' FROM {table} p JOIN {spec.table} t USING (id)"
                f" ORDER BY p.id LIMIT {limit}"
            )
            return [_one(*row) for row in cursor.fetchall()]
        column = changeset_plan.column_of(changes, spec)
        old = type_of(column).text_sql(quoted([column.name], "t."))
        cursor.execute(
            f"SELECT p.id, {name_text(spec, 't')}, left({old}, 1201), left(p.new, 1201) FROM {table} p"
            f" JOIN {spec.table} t ON t.id = p.id WHERE p.rule IS NULL AND NOT p.is_same"
            f" ORDER BY p.id LIMIT {limit}"
        )
        rows = cursor.fetchall()
    made = []
    for id_, name, *sides in rows:
        before, new = (None if one is None else shorten(readable(one, column), 300) for one in sides)
        made.append(
            {**_one(id_, name, "~"), "cells": [versions.Cell(column.name, column.label, before, new)]}
        )
    return made


def _one(id_: int, name: str, kind: str) -> dict[str, Any]:
    return {"id": id_, "name": shorten(name), "kind": kind, "cells": [], "at": 0}


# ---- what is done with one


@require_GET
def progress(request: HttpRequest, pk: int, site: admin.AdminSite) -> HttpResponse:
    """The part of the page that refreshes itself while work goes on; when it has ended, the whole page reloads."""
    changes = _changes_or_404(request, pk)
    context = {"changes": changes, **_progress(changes)}
    response = render(request, "datasets/changeset_progress.html", context)
    if not context["is_running"]:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def confirm(request: HttpRequest, pk: int, site: admin.AdminSite) -> HttpResponse:
    """Write what the person looked at."""
    changes = _changes_or_404(request, pk)
    records = None
    if changes.query is not None:
        try:
            records = filtered_records(request, changes.dataset, changes.query)
        except IncorrectLookupParameters:
            refused = "The filter of this change is not offered by the list any more. Ask for it again."
            return show(request, changes, site, refused=refused, status=422)
    try:
        done = changesets.confirm_changes(
            changes=changes,
            by=request.user,
            seen=_number(request.POST.get("seen")) or 0,
            typed=_number(request.POST.get("typed", "").replace(",", "").strip()),
            records=records,
        )
    except changesets.NotConfirmable as error:
        return show(request, _changes_or_404(request, pk), site, refused=error.message, status=422)
    return redirect(change_address(done))


@require_POST
def cancel(request: HttpRequest, pk: int, site: admin.AdminSite) -> HttpResponse:
    """Give it up."""
    changes = _changes_or_404(request, pk)
    changesets.cancel_changes(changes=changes, by=request.user)
    messages.info(request, "It is given up; nothing was written.")
    return redirect(records_address(changes.dataset))


@require_POST
def undo(request: HttpRequest, pk: int, site: admin.AdminSite) -> HttpResponse:
    """Work out an undo and show it. Asked for at once (`now`), write it if it leaves no record as it is."""
    changes = _changes_or_404(request, pk)
    wants_json = request.headers.get("Accept") == "application/json"
    try:
        made = changesets.plan_undo(changes=changes, by=request.user)
        if request.POST.get("now") and made.state == State.PLANNED and not made.kept_records:
            made = changesets.confirm_changes(changes=made, by=request.user, seen=made.plans)
    except RowhouseError as error:
        if wants_json:
            return JsonResponse({"error": error.message}, status=error.status)
        raise
    if wants_json:
        return JsonResponse({"is_done": made.state == State.DONE, "url": change_address(made)})
    return redirect(change_address(made))


def _changes_or_404(request: HttpRequest, pk: int) -> ChangeSet:
    changes = changes_for(request.user).filter(pk=pk).first()
    if changes is None:
        raise Http404
    return changes


def _number(text: str | int | None) -> int | None:
    text = str(text or "")  # facets ask with the numbers of the choices themselves
    if text.isascii() and text.isdigit() and len(text) < MOST_DIGITS:
        return int(text)
    return None
