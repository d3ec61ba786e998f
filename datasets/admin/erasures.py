"""Erasures in the admin: asked for, looked at, confirmed by two owners, followed, and kept as proofs. Owners alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.filters import DayFilter
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from datasets import erasing
from datasets.erasing import MOST_VALUES, Pending, Wanted
from datasets.erasure_models import UNCONFIRMED, Erasure, ErasureMode, ErasureState
from datasets.models import Column, Dataset

TONES = {
    ErasureState.PREVIEW_IN_PROGRESS: "info",
    ErasureState.PREVIEW_SUCCEEDED: "warning",
    ErasureState.PREVIEW_FAILED: "danger",
    ErasureState.APPROVAL_AWAITED: "warning",
    ErasureState.ERASURE_IN_PROGRESS: "info",
    ErasureState.ERASURE_SUCCEEDED: "success",
    ErasureState.ERASURE_FAILED: "danger",
    ErasureState.CANCELLED: "default",
}
SENTENCES = {
    ErasureState.PREVIEW_IN_PROGRESS: "Everything is being looked through. Nothing is changed meanwhile.",
    ErasureState.PREVIEW_SUCCEEDED: "Nothing is changed yet. Look at what would go, then confirm or cancel.",
    ErasureState.PREVIEW_FAILED: "It could not be looked for. Cancel it, and ask for it again.",
    ErasureState.APPROVAL_AWAITED: "Nothing is changed yet. Another owner has to approve it.",
    ErasureState.ERASURE_IN_PROGRESS: "It is being erased, place by place. It cannot be taken back.",
    ErasureState.ERASURE_SUCCEEDED: "It is erased. This page is the proof; it holds none of the values.",
    ErasureState.ERASURE_FAILED: "Not everything is erased. Do what the sentence below says, then go on.",
    ErasureState.CANCELLED: "It was cancelled, and nothing was changed by it.",
}
PER_PAGE = 50


class ErasureForm(forms.Form):
    """What to erase, and where."""

    values = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off", "class": "ch-select w-full"}),
        help_text=f"Of one person, one to a line, at most {MOST_VALUES}: an email address, a customer number, a name."
        " A cell must be exactly that, in any case.",
    )
    find = forms.ModelMultipleChoiceField(
        Column.objects.none(),
        label="look for them in",
        widget=forms.SelectMultiple(attrs={"class": "ch-select w-full"}),
    )
    mode = forms.ChoiceField(
        label="the records found", choices=ErasureMode.choices, initial=ErasureMode.DELETE,
        widget=forms.Select(attrs={"class": "ch-select"}),
    )  # fmt: skip
    also = forms.ModelMultipleChoiceField(
        Column.objects.none(), required=False, label="when emptying, empty these of them too",
        widget=forms.SelectMultiple(attrs={"class": "ch-select w-full"}),
    )  # fmt: skip
    note = forms.CharField(
        max_length=300, required=False, label="why", widget=forms.TextInput(attrs={"class": "ch-select w-full"}),
        help_text="A case number, say. It stays in the proof, so leave the values out.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        columns = Column.objects.select_related("dataset").order_by(
            "dataset__title", "dataset", "position", "pk"
        )
        for name in ("find", "also"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelMultipleChoiceField)
            field.queryset = columns
            field.label_from_instance = _said  # type: ignore[method-assign,assignment]

    def wanted(self) -> list[Wanted]:
        """Return the chosen columns by their datasets."""
        find, also = self.cleaned_data["find"], self.cleaned_data["also"]
        datasets: dict[int, Dataset] = {column.dataset_id: column.dataset for column in find}
        return [
            Wanted(
                dataset,
                [one for one in find if one.dataset_id == pk],
                [one for one in also if one.dataset_id == pk],
            )
            for pk, dataset in datasets.items()
        ]


def _said(column: Any) -> str:
    return f"{column.dataset.title} › {column.label}" + (" (retired)" if column.is_retired else "")


@admin.register(Erasure, site=tenant_site)
class ErasureAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Lists erasures; what is done with one is done on its own page."""

    list_display = ("name", "places", "state_label", "records_found", "who", "created_at", "ended_at")
    list_display_links = None
    list_filter: ClassVar[tuple[Any, ...]] = (
        ("state", ChoicesDropdownFilter),
        ("mode", ChoicesDropdownFilter),
        ("created_at", DayFilter),
    )
    list_filter_submit = True
    list_before_template = "datasets/erasures_head.html"
    search_fields = ("note", "requested_by__email", "uid__startswith")
    search_help_text = "Why, who asked for it, or the proof's uid"
    list_per_page = PER_PAGE
    list_select_related = ("requested_by",)
    actions = None
    show_full_result_count = False

    def get_urls(self) -> list[URLResolver | URLPattern]:
        at = self._at
        return [
            at("ask/", ask, "ask"),
            at("<int:pk>/change/", show, "change"),
            at("<int:pk>/progress/", progress, "progress"),
            at("<int:pk>/confirm/", confirm, "confirm"),
            at("<int:pk>/approve/", approve, "approve"),
            at("<int:pk>/cancel/", cancel, "cancel"),
            at("<int:pk>/resume/", resume, "resume"),
            *super().get_urls(),
        ]

    def _at(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        guarded = self.admin_site.admin_view(view)
        url: URLPattern = path(route, guarded, {"site": self.admin_site}, name=f"datasets_erasure_{name}")
        return url

    def has_module_permission(self, request: HttpRequest) -> bool:
        return erasing.may_erase(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return erasing.may_erase(request.user)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not erasing.may_erase(request.user):
            raise PermissionDenied
        context = {
            "title": "Erasures",
            "is_empty": not Erasure.objects.exists(),
            "ask_url": reverse("admin:datasets_erasure_ask"),
            "pending": erasing.to_repeat(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)  # type: ignore[no-any-return]

    @display(description="erasure")
    def name(self, erasure: Erasure) -> str:
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a>', _page(erasure), str(erasure)
        )

    @display(description="where")
    def places(self, erasure: Erasure) -> str:
        return erasure.where

    @display(description="state", label={state.label: tone for state, tone in TONES.items()})
    def state_label(self, erasure: Erasure) -> str:
        return erasure.get_state_display()

    @display(description="records")
    def records_found(self, erasure: Erasure) -> int:
        return int(erasure.done.get("records", erasure.found.get("records", 0)))

    @display(description="asked for by", ordering="requested_by__email")
    def who(self, erasure: Erasure) -> str:
        return str(erasure.requested_by or "an operator")


@require_http_methods(["GET", "POST"])
@never_cache
def ask(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Ask for a preview; with `repeat`, of an erasure that a restore has undone."""
    _require(request)
    pending = _pending(request.GET.get("repeat", ""))
    form = ErasureForm(request.POST or None)
    if pending is not None:  # its scope is known
        for name in ("find", "also", "mode", "note"):
            del form.fields[name]
    status = 200
    if request.method == "POST":
        if form.is_valid():
            values = form.cleaned_data["values"].splitlines()
            try:
                if pending is not None:
                    made = erasing.repeat_erasure(uid=pending.uid, values=values, by=request.user)
                else:
                    made = erasing.request_erasure(
                        values=values, wanted=form.wanted(), mode=ErasureMode(form.cleaned_data["mode"]),
                        by=request.user, note=form.cleaned_data["note"],
                    )  # fmt: skip
                return redirect(_page(made))
            except RowhouseError as error:
                form.add_error(None, error.message)
        status = 422
    context = {"form": form, "pending": pending, "back": reverse("admin:datasets_erasure_changelist")}
    title = "Erase a person’s values" if pending is None else f"Repeat erasure {pending.number}"
    return _render(request, site, "erasure_ask", title, context, status)


def _pending(uid: str) -> Pending | None:
    try:
        wanted = UUID(uid)
    except ValueError:
        return None
    return next((one for one in erasing.to_repeat() if one.uid == wanted), None)


@require_GET
@never_cache
def show(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Show an erasure: how it stands, what would go or went, and what stays."""
    return _shown(request, site, _erasure(request, pk))


def _shown(
    request: HttpRequest, site: AdminSite, erasure: Erasure, problem: str = "", status: int = 200
) -> HttpResponse:
    state = ErasureState(erasure.state)
    counts = erasure.done if erasure.done else erasure.found
    titles = {one["dataset"]: one["title"] for one in erasure.scope}
    there = set(Dataset.objects.filter(pk__in=titles).values_list("pk", flat=True))
    number = request.GET.get("page", "1")
    page = Paginator(erasure.records.order_by("dataset_number", "record_id"), PER_PAGE).get_page(number)
    context = {
        "erasure": erasure,
        "tone": TONES[state],
        "sentence": SENTENCES[state],
        "problem": problem,
        "counts": [(name, count) for name, count in counts.items() if count],
        "is_done": bool(erasure.done),
        "left": erasure.left.items(),
        "page": page,
        "records": [
            (titles.get(one.dataset_number, ""), one, one.dataset_number in there and not one.is_gone)
            for one in page
        ],
        "may_confirm": state == ErasureState.PREVIEW_SUCCEEDED,
        "needs_second": erasing.other_owners(request.user),  # type: ignore[arg-type] # an owner was asked for
        "may_approve": state == ErasureState.APPROVAL_AWAITED and erasure.confirmed_by_id != request.user.pk,
        "may_cancel": state in UNCONFIRMED,
        "may_resume": state == ErasureState.ERASURE_FAILED,
        "is_running": state in (ErasureState.PREVIEW_IN_PROGRESS, ErasureState.ERASURE_IN_PROGRESS),
        "moments": _moments(erasure),
        "back": reverse("admin:datasets_erasure_changelist"),
    }
    return _render(request, site, "erasure", str(erasure).capitalize(), context, status)


def _moments(erasure: Erasure) -> list[tuple[str, Any, Any]]:
    every = (
        ("asked for", erasure.created_at, erasure.requested_by or "an operator"),
        ("looked through", erasure.previewed_at, ""),
        ("confirmed", erasure.confirmed_at, erasure.confirmed_by or "an operator"),
        ("approved", erasure.approved_at, erasure.approved_by or "an operator"),
        ("ended", erasure.ended_at, ""),
    )
    return [one for one in every if one[1]]


@require_GET
@never_cache
def progress(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Show how it stands while it is at work; at the end, have the page read anew."""
    erasure = _erasure(request, pk)
    is_running = erasure.state in (ErasureState.PREVIEW_IN_PROGRESS, ErasureState.ERASURE_IN_PROGRESS)
    answer = render(request, "datasets/erasure_progress.html", {"erasure": erasure, "is_running": is_running})
    if not is_running:
        answer["HX-Refresh"] = "true"
    return answer


@require_POST
def confirm(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Confirm what the preview showed, by the dataset's name."""
    erasure, typed = _erasure(request, pk), request.POST.get("typed", "")
    return _done(
        request, site, erasure, lambda: erasing.confirm_erasure(erasure=erasure, by=request.user, typed=typed)
    )


@require_POST
def approve(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Let it begin, as the second owner."""
    erasure = _erasure(request, pk)
    return _done(request, site, erasure, lambda: erasing.approve_erasure(erasure=erasure, by=request.user))


@require_POST
def cancel(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Give it up before it begins."""
    erasure = _erasure(request, pk)
    return _done(request, site, erasure, lambda: erasing.cancel_erasure(erasure=erasure, by=request.user))


@require_POST
def resume(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Go on with one that was not finished."""
    erasure = _erasure(request, pk)
    return _done(request, site, erasure, lambda: erasing.resume_erasure(erasure=erasure, by=request.user))


def _done(
    request: HttpRequest, site: AdminSite, erasure: Erasure, act: Callable[[], Erasure]
) -> HttpResponse:
    try:
        act()
    except RowhouseError as error:
        return _shown(request, site, _erasure(request, erasure.pk), error.message, error.status)
    messages.info(request, f"{str(erasure).capitalize()}: {erasure.get_state_display()}.")
    return redirect(_page(erasure))


def _erasure(request: HttpRequest, pk: int) -> Erasure:
    _require(request)
    return get_object_or_404(Erasure, pk=pk)


def _require(request: HttpRequest) -> None:
    if not erasing.may_erase(request.user):
        raise PermissionDenied("Only owners of the tenant may erase a person's values.")


def _page(erasure: Erasure) -> str:
    return reverse("admin:datasets_erasure_change", args=(erasure.pk,))


def _render(
    request: HttpRequest, site: AdminSite, template: str, title: str, context: dict[str, Any], status: int
) -> HttpResponse:
    if not request.user.is_active:
        raise Http404
    whole = {**site.each_context(request), "title": title, **context}
    return render(request, f"datasets/{template}.html", whole, status=status)
