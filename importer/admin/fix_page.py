"""Correcting rejected rows: in the page itself, or by their file, corrected."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from core.errors import RowhouseError
from core.words import count
from importer import corrections as corrected_files
from importer import fixing
from importer.admin import rejects, show
from importer.admin.places import job_or_404, page, to
from importer.admin.tabs import number
from importer.forms import CorrectionsForm
from importer.rights import require_import_of


@require_POST
def fix(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Check the rows that were changed on the page, and none of the others."""
    job = job_or_404(request, pk)
    require_import_of(request.user, job)
    seen = number(request.POST.get("seen")) or None
    if reason := fixing.why_not_fixable(job, seen):  # before what was sent is compared with other rows
        raise fixing.NotFixable(reason)
    cells = rejects.corrected(job, request.POST.dict())
    if cells:
        try:
            fixing.fix_rows(job=job, by=request.user, cells=cells, seen=seen)
        except fixing.BadCell as error:
            context = show.job_context(request, job, tab="rejects") | {"fix_error": error.message}
            return page(request, site, "job", str(job), context, status=error.status)
        messages.info(request, f"{count(len(cells), 'row')} checked. What is still wrong is listed below.")
    else:
        messages.warning(request, "No cell was changed. Correct a cell, then check the rows.")
    return to(job, f"?tab=rejects&after={number(request.POST.get('after'))}")


@require_POST
def corrections(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Take the rows of an uploaded file in the place of the rejected ones they came from."""
    job = job_or_404(request, pk)
    require_import_of(request.user, job)
    form = CorrectionsForm(request.POST, request.FILES)
    if form.is_valid():
        file, seen = form.cleaned_data["file"], form.cleaned_data["seen"]
        try:
            taken = corrected_files.upload_corrections(
                job=job, by=request.user, file=file, name=file.name, seen=seen
            )
        except RowhouseError as error:
            form.add_error("file", error.message)
        else:
            messages.info(
                request, f"{count(taken, 'row')} of {file.name} taken. What is still wrong is listed below."
            )
            return to(job, "?tab=rejects")
    context = show.job_context(request, job, tab="rejects") | {"corrections_form": form}
    return page(request, site, "job", str(job), context, status=422)
