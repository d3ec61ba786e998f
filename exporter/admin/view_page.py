"""The pages that export what a page of records shows, a list or what differs between two moments, and the file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from datasets import access, asof, differing
from datasets.liststate import ListState, UnknownParameter, read_state
from datasets.models import Dataset
from exporter.viewing import ViewFile, columns_of_list, export_differences, export_view, exported_columns
from exporter.writers.workbook import MOST_RECORDS


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def view_export(request: HttpRequest, dataset_id: int) -> HttpResponseBase:
    """Show what the list in the address would write, or hand out the file; without the right there is no page."""
    user = cast("User", request.user)  # the admin site lets nobody else in
    dataset = get_object_or_404(access.datasets_for(user, "export"), pk=dataset_id)
    at = _moment(request.GET, "at")
    columns = columns_of_list(dataset, user, at)
    try:
        state: ListState = read_state([one for one in request.GET.lists() if one[0] != "at"], columns)
    except UnknownParameter as error:
        raise SuspiciousOperation(f"no list knows {error}") from error
    if request.method == "POST":
        try:
            made = export_view(
                dataset=dataset,
                state=state,
                form=request.POST.get("form", ""),
                is_for_spreadsheets=request.POST.get("spreadsheets") == "1",
                by=user,
                at=at,
            )
        except RowhouseError as refused:
            messages.error(request, refused.message)
            return HttpResponseRedirect(request.get_full_path())
        return _handed_out(made)
    labels = {column.name: column.label for column in columns}
    page = "changelist" if at is None else "as_of"
    return _shown(
        request,
        dataset,
        as_of="" if at is None else asof.in_words(at),
        conditions=[
            (one.column.label if one.column else "A column that is not here", one.words(), one.problem)
            for one in state.conditions
        ],
        search=state.search,
        sorts=[(labels[name], is_downwards) for name, is_downwards in state.sort],
        columns=[column.label for column in exported_columns(state, columns)],
        list_url=reverse(f"admin:datasets_row_{page}", args=(dataset.pk,))
        + f"?{request.GET.urlencode() or 'v=0'}",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def differences_export(request: HttpRequest, dataset_id: int) -> HttpResponseBase:
    """Show which differences would be written, or hand out the file; without the right there is no page."""
    user = cast("User", request.user)  # the admin site lets nobody else in
    dataset = get_object_or_404(access.datasets_for(user, "export"), pk=dataset_id)
    since, until = _moment(request.GET, "from"), _moment(request.GET, "to")
    kinds = [kind for kind in differing.KINDS if kind in request.GET.getlist("kind")]
    page = reverse("admin:datasets_row_differences", args=(dataset.pk,)) + f"?{request.GET.urlencode()}"
    if since is None or until is None:
        return HttpResponseRedirect(page)  # which asks for them
    seen = columns_of_list(dataset, user, until)
    columns = [column for column in seen if column.name in request.GET.getlist("column")]
    if request.method == "POST":
        try:
            made = export_differences(
                dataset=dataset,
                since=since,
                until=until,
                kinds=kinds,
                columns=[column.name for column in columns],
                form=request.POST.get("form", ""),
                is_for_spreadsheets=request.POST.get("spreadsheets") == "1",
                by=user,
            )
        except RowhouseError as refused:
            messages.error(request, refused.message)
            return HttpResponseRedirect(request.get_full_path())
        return _handed_out(made)
    return _shown(
        request,
        dataset,
        moments=(asof.in_words(since), asof.in_words(until)),
        kinds=kinds or list(differing.KINDS),
        columns=[column.label for column in columns or seen],
        list_url=page,
    )


def _moment(query: QueryDict, name: str) -> datetime | None:
    """Return the moment that an address names; None where it names none that can be read."""
    try:
        text = query.get(name, "")
        return asof.read_moment(text) if text else None
    except asof.BadMoment as error:
        raise SuspiciousOperation(f"{name} is no moment") from error


def _handed_out(made: ViewFile) -> HttpResponseBase:
    answer = FileResponse(made.file, as_attachment=True, filename=made.name, content_type=made.content_type)
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _shown(request: HttpRequest, dataset: Dataset, **context: Any) -> HttpResponseBase:
    about = {
        **tenant_site.each_context(request),
        "title": f"Export: {dataset.title}",
        "dataset": dataset,
        "most": f"{MOST_RECORDS:,}",
        **context,
    }
    return render(request, "exporter/view_export.html", about)
