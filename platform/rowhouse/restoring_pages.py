"""The page that asks what a dataset is to be restored from; what comes of it is shown by its import."""

from __future__ import annotations

from datetime import UTC
from typing import Any, cast

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.sites import tenant_site
from core.clock import now
from core.errors import RowhouseError
from core.words import count
from datasets import access
from datasets.asof import known_since, whole_second
from exporter.models import Content, ExportFile, Fault
from exporter.services import visible_files
from rowhouse.restoring import RIGHTS, request_restore

MOST_FILES = 200
FILE, TIME = "file", "time"


class RestoreForm(forms.Form):
    """From a file, or as of a time in UTC."""

    source = forms.ChoiceField(choices=[(FILE, "an export file"), (TIME, "a time")])
    file = forms.ModelChoiceField(ExportFile.objects.none(), required=False)
    at = forms.DateTimeField(required=False)

    def __init__(self, *args: Any, files: QuerySet[ExportFile], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast("forms.ModelChoiceField[ExportFile]", self.fields["file"]).queryset = files

    def chosen(self) -> dict[str, Any]:
        """Return what is restored from, as `request_restore` takes it; a field left empty is None."""
        if self.cleaned_data["source"] == FILE:
            return {"file": self.cleaned_data["file"]}
        return {"at": self.cleaned_data["at"]}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def restore(request: HttpRequest, dataset_id: int) -> HttpResponse:
    """Ask what to restore from, and lead to the import that is made of it."""
    user = cast("User", request.user)  # the admin site lets nobody else in
    dataset = get_object_or_404(access.datasets_for(user, "view"), pk=dataset_id)
    for right in RIGHTS:
        access.require(user, right, dataset)
    if access.has_hidden(user, dataset):
        raise PermissionDenied(
            f"Some columns of {dataset.title} are hidden from you, and a restore would set all of them."
            " Ask somebody who sees them."
        )
    files = (
        visible_files(user)
        .filter(dataset=dataset, deleted_at=None, fault=Fault.NONE)
        .order_by("-created_at", "-pk")
    )
    asked = request.POST if request.method == "POST" else None
    form = RestoreForm(asked, files=files, initial={"file": request.GET.get("file"), "source": FILE})
    problem = ""
    if form.is_bound:
        if form.is_valid():
            try:
                job = request_restore(dataset=dataset, by=user, **form.chosen())
            except RowhouseError as refused:
                problem = refused.message
            else:
                return redirect("admin:importer_importjob_change", job.pk)
        else:
            problem = "Choose one of the files, or write a time like 2026-08-26 14:00."
    shown = list(files[:MOST_FILES])
    context = {
        **tenant_site.each_context(request),
        "title": f"Restore {dataset.title}",
        "dataset": dataset,
        "problem": problem,
        "files": _choices(shown, str(form["file"].value() or (shown[0].pk if shown else ""))),
        "source": form["source"].value() if shown else TIME,
        "at": form["at"].value() or "",
        "begins": whole_second(known_since(dataset)).astimezone(UTC),
        "ends": now().astimezone(UTC),
        "has_key": bool(dataset.key),
        "records": reverse("admin:datasets_row_changelist", args=[dataset.pk]),
    }
    request.current_app = tenant_site.name  # as Django's own admin does
    return render(request, "rowhouse/restore.html", context, status=422 if problem else 200)


def _choices(files: list[ExportFile], chosen: str) -> list[dict[str, Any]]:
    return [
        {
            "pk": file.pk,
            "words": f"{file.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC · "
            + (
                count(file.rows, "record")
                if file.content == Content.FULL
                else f"{count(file.rows, 'change')}, with the files before"
            ),
            "is_chosen": str(file.pk) == chosen,
        }
        for file in files
    ]


def urls() -> list[URLPattern]:
    """Return the addresses of the page, below the admin's."""
    page = tenant_site.admin_view(restore)
    return [path("datasets/dataset/<int:dataset_id>/restore/", page, name="rowhouse_restore")]
