"""The pages of one import. Each looks the import up among those the person may see: any other is a 404."""

from __future__ import annotations

import tempfile
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from audit.services import record
from core.errors import RowhouseError
from datasets import access
from importer import services
from importer.admin import show as shown
from importer.forms import ConfirmForm, DialectForm, MatchForm, UploadForm
from importer.models import ImportJob
from importer.rejects import file_name, rejected_file
from importer.rights import jobs_for

MOST_DIGITS = 18  # of a bigint


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Choose a file and where it goes."""
    if not access.datasets_for(request.user, "import").exists():
        raise PermissionDenied("You may not import into any dataset.")
    initial = {"dataset": request.GET.get("dataset")}
    form = UploadForm(request.POST or None, request.FILES or None, user=request.user, initial=initial)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid() and (job := _create(request, form)):
            return _to(job)
    return _page(request, site, "upload", "Import a file", {"form": form}, status=status)


def _create(request: HttpRequest, form: UploadForm) -> ImportJob | None:
    data = form.cleaned_data
    try:
        return services.create_import(
            dataset=data["dataset"], file=data["file"], name=data["file"].name, by=request.user, mode=data["mode"],
            policy=data["policy"], replace=data["replace"], request_key=data["request_key"],
        )  # fmt: skip
    except RowhouseError as error:
        form.add_error("file", error.message)
        return None


@require_GET
def show(request: HttpRequest, object_id: str, site: AdminSite) -> HttpResponse:
    """Everything about one import: how it stands, what it changes, what is wrong, and the decision."""
    if not (object_id.isascii() and object_id.isdigit() and len(object_id) < MOST_DIGITS):
        raise Http404
    job = _job(request, int(object_id))
    return _page(request, site, "job", str(job), shown.job_context(request, job))


@require_GET
def progress(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """The part of the page that refreshes itself while work goes on; when it has ended, the whole page reloads."""
    job = _job(request, pk)
    context = {"job": job, **shown.progress_context(job)}
    response = render(request, "importer/progress.html", context)
    if not context["is_running"]:
        response["HX-Refresh"] = "true"
    return response


@require_http_methods(["GET", "POST"])
def mapping(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Where each label of the file goes, and how the file is read."""
    job = _job(request, pk)
    access.require(request.user, "import", job.dataset)
    dialect = DialectForm(request.POST or None, job=job, initial=job.overrides)
    match = MatchForm(request.POST or None, job=job)
    status = 200
    if request.method == "POST":
        status = 422
        # The labels on the page are those of the old reading: a new reading is previewed before they count.
        if dialect.is_valid() and (dialect.has_changed() or match.is_valid()):
            chosen = None if dialect.has_changed() else match.chosen()
            overrides = dialect.cleaned_data if dialect.has_changed() else None
            services.set_mapping(job=job, by=request.user, chosen=chosen, overrides=overrides)
            return _to(job)
    context = {"job": job, "dialect_form": dialect, "match_form": match, **shown.mapping_context(job, match)}
    return _page(request, site, "mapping", f"Match columns of {job.file_name}", context, status=status)


@require_POST
def confirm(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Start the merge of the preview the person looked at."""
    job = _job(request, pk)
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        raise services.NotConfirmable("The form is not complete. Open the import again, then confirm.")
    data = form.cleaned_data
    services.confirm_import(job=job, by=request.user, policy=data["policy"] or None, seen=data["seen"])
    return _to(job)


@require_POST
def cancel(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Give the import up."""
    job = _job(request, pk)
    services.cancel_import(job=job, by=request.user)
    messages.info(
        request, "The import is being cancelled." if job.current_job_id else "The import is cancelled."
    )
    return _to(job)


@require_GET
def rejected_rows(request: HttpRequest, pk: int, site: AdminSite) -> FileResponse:
    """The rejected rows as a file to correct."""
    job = _job(request, pk)
    # The file holds all it was uploaded with, also what never entered the dataset.
    if not job.rejected_rows or not access.may(request.user, "import", job.dataset):
        raise Http404
    record("importer.rejects.downloaded", actor=request.user, target=job, rows=job.rejected_rows)
    # Written out before it is sent: the answer may be streamed after the tenant has been left.
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- FileResponse closes it
    file.writelines(rejected_file(job))
    file.seek(0)
    return FileResponse(
        file, as_attachment=True, filename=file_name(job), content_type="text/csv; charset=utf-8"
    )


def _job(request: HttpRequest, pk: int) -> ImportJob:
    job = jobs_for(request.user).filter(pk=pk).first()
    if job is None:
        raise Http404
    return job


def _to(job: ImportJob) -> HttpResponseRedirect:
    return redirect(reverse("admin:importer_importjob_change", args=[job.pk]))


def _page(
    request: HttpRequest,
    site: AdminSite,
    template: str,
    title: str,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    request.current_app = site.name  # as Django's own admin does
    context = {**site.each_context(request), "title": title, **context}
    return render(request, f"importer/{template}.html", context, status=status)
