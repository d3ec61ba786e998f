"""The page that exports a list of records: what it would write, in which form, and the file itself."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from datasets import access
from datasets.liststate import ListState, UnknownParameter, read_state
from exporter.viewing import export_view, exported_columns
from exporter.writers.workbook import MOST_RECORDS


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def view_export(request: HttpRequest, dataset_id: int) -> HttpResponseBase:
    """Show what the list in the address would write, or hand out the file; without the right there is no page."""
    user = cast("User", request.user)  # the admin site lets nobody else in
    dataset = get_object_or_404(access.datasets_for(user, "export"), pk=dataset_id)
    columns = access.visible_columns(user, dataset)
    try:
        state: ListState = read_state(request.GET.lists(), columns)
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
            )
        except RowhouseError as refused:
            messages.error(request, refused.message)
            return HttpResponseRedirect(request.get_full_path())
        answer = FileResponse(
            made.file, as_attachment=True, filename=made.name, content_type=made.content_type
        )
        answer["X-Content-Type-Options"] = "nosniff"
        return answer
    labels = {column.name: column.label for column in columns}
    context = {
        **tenant_site.each_context(request),
        "title": f"Export: {dataset.title}",
        "dataset": dataset,
        "conditions": [
            (one.column.label if one.column else "A column that is not here", one.words(), one.problem)
            for one in state.conditions
        ],
        "search": state.search,
        "sorts": [(labels[name], is_downwards) for name, is_downwards in state.sort],
        "columns": [column.label for column in exported_columns(state, columns)],
        "list_url": reverse("admin:datasets_row_changelist", args=(dataset.pk,))
        + f"?{request.GET.urlencode() or 'v=0'}",
        "most": f"{MOST_RECORDS:,}",
    }
    return render(request, "exporter/view_export.html", context)
