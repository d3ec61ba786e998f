"""The pages that make a dataset of a file: upload, what is proposed, the decision."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

import jobs.services
from core.errors import RowhouseError
from datasets.columntypes import TYPES
from importer import proposing
from importer.admin.places import page, to
from importer.models import Proposal
from importer.proposal_forms import ColumnsForm, MakeForm, ProposalForm, initial_of


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Choose a file."""
    _require(request)
    form, status = ProposalForm(request.POST or None, request.FILES or None), 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            file = form.cleaned_data["file"]
            try:
                made = proposing.create_proposal(file=file, name=file.name, by=request.user)  # type: ignore[arg-type]
            except RowhouseError as error:
                form.add_error("file", error.message)
            else:
                return redirect(_address(made))
    mine = Proposal.objects.filter(created_by=request.user.pk)
    waiting = mine.filter(state__in=(Proposal.State.READING, Proposal.State.READY))[:10]
    context = {"form": form, "waiting": waiting}
    return page(request, site, "new_dataset", "New dataset from a file", context, status=status)


@require_http_methods(["GET", "POST"])
def proposal(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Show what is proposed; make what is decided."""
    found = _own(request, pk)
    context: dict[str, Any] = {"proposal": found, **_progress(found)}
    if found.state != Proposal.State.READY:
        return page(request, site, "proposal", f"New dataset from {found.file_name}", context)
    initial = [initial_of(column) for column in found.columns]
    columns = ColumnsForm(request.POST or None, initial=initial, prefix="c")
    make = MakeForm(request.POST or None, initial={"title": _title(found.file_name)})
    status = 200
    if request.method == "POST":
        status = 422
        if make.is_valid() and columns.is_valid() and (answer := _made(request, found, make, columns)):
            return answer
    if columns.total_form_count() != len(found.columns):  # the page is another's, or was tampered with
        columns = ColumnsForm(initial=initial, prefix="c")
    context |= {"make": make, "columns": columns, "lines": _lines(found, columns)}
    return page(request, site, "proposal", f"New dataset from {found.file_name}", context, status=status)


def _made(request: HttpRequest, found: Proposal, make: MakeForm, columns: Any) -> HttpResponse | None:
    data = make.cleaned_data
    try:
        dataset, job = proposing.make_dataset(
            proposal=found, title=data["title"], columns=columns.columns(), key=columns.key(),
            by=request.user, import_file=data["import_file"],  # type: ignore[arg-type]
        )  # fmt: skip
    except proposing.ProposalOver:
        raise
    except RowhouseError as error:
        make.add_error("title", error.message)
        return None
    messages.success(request, f"The dataset “{dataset.title}” is there.")
    if job is not None:
        return to(job)
    return redirect(reverse("admin:datasets_row_changelist", args=(dataset.pk,)))


def _lines(found: Proposal, columns: Any) -> list[dict[str, Any]]:
    """Return of each column its form, what was seen, and why other types do not fit."""
    return [
        {
            "form": form,
            "evidence": column["evidence"],
            "samples": column["samples"],
            "against": [
                f"{TYPES[kind].title}: row {row} holds '{value}'"
                for kind, row, value in column["against"]
                if kind in TYPES
            ],
            "choices": len(column["choices"]),
        }
        for form, column in zip(columns.forms, found.columns, strict=True)
    ]


@require_GET
def progress(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """The part of the page that refreshes itself; when the file is read, the whole page reloads."""
    found = _own(request, pk)
    response = render(request, "importer/proposal_progress.html", {"proposal": found, **_progress(found)})
    if found.state != Proposal.State.READING:
        response["HX-Refresh"] = "true"
    return response


def _progress(found: Proposal) -> dict[str, Any]:
    if found.state != Proposal.State.READING or found.job_id is None:
        return {}
    try:
        status = jobs.services.status(found.job_id)
    except jobs.services.JobNotFound:
        return {}
    percent = min(99, status.processed * 100 // status.total) if status.total else None
    return {"processed": status.processed, "percent": percent, "is_paused": status.is_paused}


def _title(file_name: str) -> str:
    """Return a title made of a file's name.

    >>> _title("price_list-2026.csv")
    'Price list 2026'
    """
    words = " ".join(PurePath(file_name).stem.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:]


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm("datasets.add_dataset"):
        raise PermissionDenied("You may not make datasets. Ask an owner.")


def _own(request: HttpRequest, pk: int) -> Proposal:
    _require(request)
    # What stands in a file is its uploader's business until it is in a dataset.
    return get_object_or_404(Proposal, pk=pk, created_by=request.user.pk)


def _address(found: Proposal) -> str:
    return reverse("admin:importer_importjob_proposal", args=(found.pk,))
