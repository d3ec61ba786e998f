"""The pages on which a definition that exists is changed: columns added, arranged, retired, brought back, purged."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.errors import RowhouseError
from datasets import access, editing, rebuilding
from datasets.admin.links import definition_links
from datasets.admin.places import changeable, page, person, viewable
from datasets.definition_history import history_of
from datasets.forms import AddColumnForm
from datasets.models import Column, Dataset
from datasets.wording import rule_words, type_words

MOST_DIGITS = 18  # of a bigint


@dataclass(frozen=True, slots=True)
class Line:
    """One column as the editor shows it; `typed` is what a person wrote into its label and nobody saved yet."""

    column: Column
    typed: str
    type: str
    rules: str
    is_key: bool
    rules_url: str | None


@require_http_methods(["GET", "POST"])
def columns(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Show the columns; save their order and labels, or add one."""
    dataset = changeable(request, dataset_id)
    form = AddColumnForm(prefix="new")
    problem, status = None, 200
    if request.method == "POST":
        try:
            if request.POST.get("do") == "add":
                form = AddColumnForm(request.POST, prefix="new")
                if form.is_valid():
                    return _added(request, dataset, form)
                problem = "The column was not added. Look at what is marked below."
            else:
                return _arranged(request, dataset)
        except RowhouseError as error:
            problem, status = error.message, error.status
        status = status if status != 200 else 422
        dataset.refresh_from_db()
    lines = _lines(request, dataset)
    context = {
        "dataset": dataset,
        "links": definition_links(request, dataset, here="columns"),
        "lines": lines,
        "retired": list(dataset.columns.retired()),
        "new": [form[name] for name in form.fields if name != "is_key"],
        "form": form,
        "problem": problem,
    }
    return page(request, site, "columns", f"Columns of {dataset.title}", context, status=status)


def _lines(request: HttpRequest, dataset: Dataset) -> list[Line]:
    posted = _posted_labels(request) if request.POST.get("do") != "add" else {}
    order = [int(pk) for pk in request.POST.getlist("column") if _is_number(pk)]
    found = list(dataset.columns.in_use())
    places = {pk: place for place, pk in enumerate(order)}
    found.sort(key=lambda column: places.get(column.pk, len(places)))
    return [
        Line(
            column,
            posted.get(column.pk, column.label),
            type_words(column.type),
            "; ".join(rule_words(column.spec(), is_key=column.pk in dataset.key)),
            column.pk in dataset.key,
            reverse("admin:datasets_change_ask_column", args=(column.pk,)),
        )
        for column in found
    ]


def _posted_labels(request: HttpRequest) -> dict[int, str]:
    prefix = "label-"
    return {
        int(name.removeprefix(prefix)): str(value)
        for name, value in request.POST.items()
        if name.startswith(prefix) and _is_number(name.removeprefix(prefix))
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < MOST_DIGITS


def _seen(request: HttpRequest) -> int:
    """Return the version the page showed; without one no version fits."""
    given = request.POST.get("seen", "")
    return int(given) if _is_number(given) else 0


def _added(request: HttpRequest, dataset: Dataset, form: AddColumnForm) -> HttpResponse:
    [made] = editing.add_columns(
        dataset=dataset, columns=[form.column()], seen=_seen(request), by=person(request)
    )
    messages.success(request, f"“{made.label}” is there. Records have no value in it yet.")
    if rebuilding.running(dataset):
        messages.info(
            request,
            "So many columns came and went that the table is being made anew now, in the background. Everybody works"
            " on; only the definition cannot be changed until that is done. See Changes of definitions.",
        )
    return _back(dataset)


def _arranged(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    order = [int(pk) for pk in request.POST.getlist("column") if _is_number(pk)]
    if move := request.POST.get("move"):  # without JavaScript a button moves one column and saves
        order = _moved(order, move)
    changed = editing.arrange_columns(
        dataset=dataset, order=order, labels=_posted_labels(request), seen=_seen(request), by=person(request)
    )
    messages.success(request, "Saved." if changed else "Nothing was changed.")
    return _back(dataset)


def _moved(order: list[int], move: str) -> list[int]:
    """Return the order after one step of one column; `move` is "12:up" or "12:down".

    >>> _moved([1, 2, 3], "3:up"), _moved([1, 2, 3], "1:up"), _moved([1, 2], "x")
    ([1, 3, 2], [1, 2, 3], [1, 2])
    """
    text, _, way = move.partition(":")
    if not _is_number(text) or int(text) not in order:
        return order
    at = order.index(int(text))
    to = min(max(at + (-1 if way == "up" else 1), 0), len(order) - 1)
    moved = [*order]
    moved.insert(to, moved.pop(at))
    return moved


@require_http_methods(["GET", "POST"])
def retire(request: HttpRequest, dataset_id: int, column_id: int, site: AdminSite) -> HttpResponse:
    """Say what retiring a column means, and do it."""
    dataset = changeable(request, dataset_id)
    column = get_object_or_404(dataset.columns.in_use(), pk=column_id)
    if request.method == "POST":
        editing.retire_column(dataset=dataset, column=column, seen=_seen(request), by=person(request))
        messages.success(
            request, f"“{column.label}” is retired. Its values stay; below it can be brought back."
        )
        return _back(dataset)
    context = {"dataset": dataset, "column": column}
    return page(request, site, "retire_column", f"Retire “{column.label}”", context)


@require_POST
def bring_back(request: HttpRequest, dataset_id: int, column_id: int, site: AdminSite) -> HttpResponse:
    """Take a retired column back into use."""
    dataset = changeable(request, dataset_id)
    column = get_object_or_404(dataset.columns.retired(), pk=column_id)
    label = request.POST.get("label") or column.label
    editing.bring_back_column(
        dataset=dataset, column=column, label=label, seen=_seen(request), by=person(request)
    )
    messages.success(request, f"“{label}” is back, with its values. It is not required.")
    return _back(dataset)


@require_http_methods(["GET", "POST"])
def purge(request: HttpRequest, dataset_id: int, column_id: int, site: AdminSite) -> HttpResponse:
    """Say what a purge takes away, and order it once the label is typed."""
    dataset = changeable(request, dataset_id)
    column = get_object_or_404(dataset.columns.retired(), pk=column_id)
    problem, status = None, 200
    if request.method == "POST":
        try:
            at = editing.order_purge(
                dataset=dataset, column=column, typed=request.POST.get("typed", ""),
                at_once=request.POST.get("when") == "now", by=person(request),
            )  # fmt: skip
        except editing.PurgeNotConfirmed as error:
            problem, status = error.message, error.status
        else:
            messages.success(
                request,
                f"The values of “{column.label}” go at {at:%Y-%m-%d %H:%M} UTC. Until then it can be called off.",
            )
            return _back(dataset)
    context = {
        "dataset": dataset,
        "column": column,
        "problem": problem,
        "days": editing.PURGE_WAITS.days,
        "is_now": request.POST.get("when") == "now",
    }
    return page(request, site, "purge_column", f"Purge “{column.label}”", context, status=status)


@require_POST
def keep(request: HttpRequest, dataset_id: int, column_id: int, site: AdminSite) -> HttpResponse:
    """Call a purge off."""
    dataset = changeable(request, dataset_id)
    column = get_object_or_404(dataset.columns.retired(), pk=column_id)
    editing.call_off_purge(dataset=dataset, column=column, by=person(request))
    messages.success(request, f"The values of “{column.label}” stay.")
    return _back(dataset)


@require_GET
def history(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Who changed what in the definition."""
    dataset = viewable(request, dataset_id)
    if access.has_hidden(request.user, dataset):
        raise PermissionDenied("It tells of columns you may not see. Ask who manages the dataset.")
    words = request.GET.get("q", "").strip()[:100]
    changes = history_of(dataset)
    found = [
        change
        for change in changes
        if words.casefold() in " ".join([change.by, *change.sentences]).casefold()
    ]
    context = {
        "dataset": dataset,
        "links": definition_links(request, dataset, here="history"),
        "changes": found,
        "words": words,
    }
    return page(request, site, "definition_history", f"Definition history of {dataset.title}", context)


def _back(dataset: Dataset) -> HttpResponse:
    return redirect(reverse("admin:datasets_dataset_columns", args=(dataset.pk,)))
