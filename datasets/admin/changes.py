"""Changes of definitions in the admin: asked for, looked at, confirmed, followed, reverted."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

import jobs.services
from accounts.sites import tenant_site
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from core.filters import DayFilter
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from datasets import access, changing
from datasets.admin.places import changeable
from datasets.change_forms import ColumnChangeForm, DecisionForm, KeyChangeForm
from datasets.change_models import OPEN, RUNNING, Change, ChangeState, FailingRecord, OnFailure
from datasets.change_words import definition_words, outcome, what
from datasets.models import Column, Dataset

PER_PAGE = 50
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
TONES = {
    ChangeState.CHECK_IN_PROGRESS: "info",
    ChangeState.CHECK_SUCCEEDED: "warning",
    ChangeState.CHECK_FAILED: "danger",
    ChangeState.CHANGE_IN_PROGRESS: "info",
    ChangeState.CHANGE_SUCCEEDED: "success",
    ChangeState.CHANGE_FAILED: "danger",
    ChangeState.CANCELLED: "default",
    ChangeState.REVERTED: "default",
}
MOMENTS = (
    ("asked for", "created_at", "created_by"),
    ("checked", "checked_at", ""),
    ("confirmed", "confirmed_at", "confirmed_by"),
    ("in force", "swapped_at", ""),
    ("ended", "ended_at", ""),
)


@admin.register(Change, site=tenant_site)
class ChangeAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Lists changes of definitions; everything that is done with one is done on its own page."""

    list_display = ("name", "of_dataset", "state_label", "counted", "failed", "who", "created_at")
    list_display_links = None
    list_filter: ClassVar[tuple[Any, ...]] = (
        ("state", ChoicesDropdownFilter),
        ("dataset", AutocompleteSelectFilter),
        ("created_at", DayFilter),
    )
    list_filter_submit = True
    list_before_template = "datasets/changes_head.html"
    search_fields = ("dataset__title", "column__label", "created_by__email")
    search_help_text = "Dataset, column, or who asked for it"
    list_per_page = PER_PAGE
    actions = None
    show_full_result_count = False

    def get_urls(self) -> list[URLResolver | URLPattern]:
        at = self._at
        return [
            at("of-column/<int:pk>/", ask_column, "ask_column"),
            at("of-key/<int:pk>/", ask_key, "ask_key"),
            at("<int:pk>/change/", show, "change"),
            at("<int:pk>/progress/", progress, "progress"),
            at("<int:pk>/confirm/", confirm, "confirm"),
            at("<int:pk>/cancel/", cancel, "cancel"),
            at("<int:pk>/revert/", revert, "revert"),
            at("<int:pk>/failing-records/", failing_records, "failing_records"),
            *super().get_urls(),
        ]

    def _at(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        guarded = self.admin_site.admin_view(view)
        url: URLPattern = path(route, guarded, {"site": self.admin_site}, name=f"datasets_change_{name}")
        return url

    def get_queryset(self, request: HttpRequest) -> QuerySet[Change]:
        return _seen_by(request).select_related("dataset", "column", "created_by", "reverts")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        return (
            "manage" in access.rights_everywhere(user) or access.whole_datasets_for(user, "manage").exists()
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Changes of definitions",
            "is_empty": not self.get_queryset(request).exists(),
            "datasets_url": reverse("admin:datasets_dataset_changelist"),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)  # type: ignore[no-any-return]

    @display(description="change")
    def name(self, change: Change) -> str:
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a>', _page(change), what(change)
        )

    @display(description="dataset", ordering="dataset__title")
    def of_dataset(self, change: Change) -> str:
        return change.dataset.title

    @display(description="state", ordering="state", label=TONES)
    def state_label(self, change: Change) -> tuple[str, str]:
        return change.state, change.get_state_display()

    @display(description="records")
    def counted(self, change: Change) -> str:
        return f"{change.records:,}"

    @display(description="fail")
    def failed(self, change: Change) -> str:
        return f"{change.failing:,}"

    @display(description="who", ordering="created_by__email")
    def who(self, change: Change) -> str:
        return str(change.created_by or "an operator")


def _seen_by(request: HttpRequest) -> QuerySet[Change]:
    """Return the changes a person may see: those who may make them."""
    return Change.objects.filter(dataset__in=access.whole_datasets_for(request.user, "manage"))


def _page(change: Change, name: str = "change") -> str:
    return reverse(f"admin:datasets_change_{name}", args=(change.pk,))


def _change(request: HttpRequest, pk: int) -> Change:
    found = _seen_by(request).select_related("dataset", "column", "reverts", "created_by", "confirmed_by")
    return get_object_or_404(found, pk=pk)


def _render(
    request: HttpRequest,
    site: AdminSite,
    template: str,
    title: str,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    request.current_app = site.name  # as Django's own admin does
    context = {**site.each_context(request), "title": title, "opts": Change._meta, **context}
    return render(request, f"datasets/{template}.html", context, status=status)


# ---- asking


@require_http_methods(["GET", "POST"])
def ask_column(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Ask for another type or other rules of a column."""
    column = get_object_or_404(Column.objects.in_use(), pk=pk)
    column.dataset = changeable(request, column.dataset_id)
    form = ColumnChangeForm(request.POST or None, column=column.spec())

    def ask() -> Change:
        wanted = form.wanted()
        return changing.propose_change(dataset=column.dataset, column=column, by=request.user, **wanted)

    title = f"Change “{column.label}” of {column.dataset.title}"
    return _asked(request, site, form, ask, column.dataset, title)


@require_http_methods(["GET", "POST"])
def ask_key(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Ask for another key."""
    dataset = changeable(request, pk)
    form = KeyChangeForm(request.POST or None, spec=dataset.spec())

    def ask() -> Change:
        return changing.propose_key(dataset=dataset, key=form.key(), by=request.user)

    return _asked(request, site, form, ask, dataset, f"Change the key of {dataset.title}")


def _asked(
    request: HttpRequest, site: AdminSite, form: Any, ask: Callable[[], Change], dataset: Dataset, title: str
) -> HttpResponse:
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                return redirect(_page(ask()))
            except RowhouseError as refused:
                form.add_error(None, refused.message)
    context = {
        "form": form,
        "dataset": dataset,
        "back": _definition(dataset),
        "is_key": isinstance(form, KeyChangeForm),
    }
    return _render(request, site, "change_ask", title, context, status)


def _definition(dataset: Dataset) -> str:
    return reverse("admin:datasets_dataset_change", args=(dataset.pk,))


# ---- looking


@require_GET
def show(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Show a change: how it stands, what it would do, the records that fail."""
    return _shown(request, site, _change(request, pk))


def _shown(
    request: HttpRequest, site: AdminSite, change: Change, form: DecisionForm | None = None, status: int = 200
) -> HttpResponse:
    is_waiting = change.state == ChangeState.CHECK_SUCCEEDED
    failing = _failing(request, change)
    before, after = definition_words(change)
    context = {
        "change": change,
        "what": what(change),
        "tone": TONES[ChangeState(change.state)],
        "sentence": outcome(change),
        "before": before,
        "after": after,
        "moments": _moments(change),
        "log": [(datetime.fromisoformat(at), text) for at, text in change.log],
        "figures": _figures(change),
        "may_view": access.may(request.user, "view", change.dataset),
        "may_cancel": change.state in OPEN and change.swapped_at is None,
        "may_revert": changing.why_not_revertible(change, clock()) is None,
        "blocked": changing.why_not_changeable(change, OnFailure.EMPTY) if is_waiting else None,
        "form": (form or DecisionForm(change=change)) if is_waiting else None,
        "ask_again": _ask_again(change),
        "definition_url": _definition(change.dataset),
        "reverted_by": change.reverted_by.filter(state=ChangeState.CHANGE_SUCCEEDED).first(),
        **failing,
        **_progress(change),
    }
    return _render(request, site, "change", f"{change.dataset.title}: {what(change)}", context, status)


def _ask_again(change: Change) -> str:
    if change.reverts_id or change.is_rebuild or change.state not in (
        ChangeState.CHECK_SUCCEEDED, ChangeState.CHECK_FAILED, ChangeState.CHANGE_FAILED, ChangeState.CANCELLED,
    ):  # fmt: skip
        return ""
    if change.column_id:
        return reverse("admin:datasets_change_ask_column", args=(change.column_id,))
    return reverse("admin:datasets_change_ask_key", args=(change.dataset_id,))


def _moments(change: Change) -> list[tuple[str, Any, str]]:
    people = {name: str(getattr(change, name) or "an operator") for name in ("created_by", "confirmed_by")}
    return [(word, at, people.get(who, "")) for word, name, who in MOMENTS if (at := getattr(change, name))]


def _figures(change: Change) -> list[tuple[str, str, str]]:
    is_over = change.swapped_at is not None
    found = [
        ("records", change.records, "looked at"),
        ("rewritten", change.rewritten, "are written otherwise" if is_over else "would be written otherwise"),
        ("fail", change.failing, "lost their value; the list keeps it" if is_over else "do not fit"),
    ]
    if change.reverts_id:
        found.append(("edited since", change.edited, "are converted from what they say now"))
    return [(word, f"{number:,}", note) for word, number, note in found]


def _failing(request: HttpRequest, change: Change) -> dict[str, Any]:
    """Return one page of the records that fail, filtered by rule, text or both."""
    everything = change.failing_records.all()
    by_rule = list(everything.values("rule").annotate(number=Count("pk")).order_by("-number", "rule")[:20])
    rule, text = request.GET.get("rule", "")[:500], request.GET.get("text", "").replace("\0", "")[:200]
    found = everything.order_by("pk")
    if rule:
        found = found.filter(rule=rule)
    if text and access.may(request.user, "view", change.dataset):
        found = found.filter(value__icontains=text) | found.filter(name__icontains=text)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return {"page": page, "rules": by_rule, "rule": rule, "text": text, "query": query.urlencode()}


@require_GET
def progress(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """The part of the page that moves while work goes on; when it is over the page is loaded anew."""
    change = _change(request, pk)
    response = render(request, "datasets/change_progress.html", {"change": change, **_progress(change)})
    if change.state not in RUNNING:
        response["HX-Refresh"] = "true"
    return response


def _progress(change: Change) -> dict[str, Any]:
    if change.state not in RUNNING:
        return {"is_running": False}
    try:
        status = jobs.services.status(int(change.job_id))
    except jobs.services.JobNotFound:
        return {"is_running": True}
    percent = min(99, status.processed * 100 // status.total) if status.total else None
    return {
        "is_running": True,
        "processed": f"{status.processed:,}" if status.processed else "",
        "total": f"{status.total:,}" if status.total else "",
        "percent": percent,
        "rows_per_second": f"{status.rows_per_second:,.0f}" if status.rows_per_second else "",
        "seconds_left": round(status.seconds_left) if status.seconds_left is not None else None,
        "is_cancelling": status.cancel_requested,
        "is_paused": status.is_paused and not status.cancel_requested,
        "last": change.log[-1][1] if change.log else "",
    }


# ---- deciding


@require_POST
def confirm(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Start a change that was checked."""
    change = _change(request, pk)
    form = DecisionForm(request.POST, change=change)
    if not form.is_valid():
        return _shown(request, site, change, form, status=422)
    try:
        changing.confirm_change(change=change, on_failure=form.cleaned_data["on_failure"], by=request.user)
    except changing.NotChangeable as refused:
        form.add_error(None, refused.message)
        change.refresh_from_db()
        return _shown(request, site, change, form, status=refused.status)
    return redirect(_page(change))


@require_POST
def cancel(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Give up a change that is not in force."""
    change = _change(request, pk)
    changing.cancel_change(change=change, by=request.user)
    messages.info(request, "The change is given up. The records are as they were.")
    return redirect(_page(change))


@require_POST
def revert(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Ask for the check of a change back."""
    return redirect(_page(changing.revert_change(change=_change(request, pk), by=request.user)))


@require_GET
@never_cache
def failing_records(request: HttpRequest, pk: int, site: AdminSite) -> FileResponse:
    """Every record that fails, as a CSV file."""
    change = _change(request, pk)
    access.require(request.user, "view", change.dataset)
    record("datasets.change.failing_downloaded", actor=request.user, target=change.dataset, change=change.pk)
    # Written out before it is sent: the answer may be streamed after the tenant has been left.
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- FileResponse closes it
    file.writelines(failing_file(change))
    file.seek(0)
    name = f"{change.dataset.slug}-change-{change.pk}-failing.csv"
    return FileResponse(file, as_attachment=True, filename=name, content_type="text/csv; charset=utf-8")


def failing_file(change: Change) -> Iterator[bytes]:
    """Yield the records that fail as lines of CSV. A value a spreadsheet would compute has a quote before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["record", "key", "value", "code", "rule"])
    found: QuerySet[FailingRecord] = change.failing_records.order_by("pk")
    for one in found.iterator(chunk_size=2000):
        writer.writerow([one.record_id, *map(_plain, (one.name, one.value, one.code, one.rule))])
        if text.tell() > 64 * 1024:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _plain(value: str | None) -> str:
    return f"'{value}" if value and value.startswith(FORMULA_MARKS) else value or ""
