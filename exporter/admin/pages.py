"""What the pages of exports do besides listing: export now, cancel, show a run, hand out a file."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from datasets import access
from exporter import services
from exporter.forms import ExportNowForm
from exporter.links import token_of
from exporter.models import OPEN_STATES, ExportFile, ExportRun, State
from exporter.writers import content_type
from jobs import services as jobs


@require_safe
@never_cache
def download(request: HttpRequest, file_id: int) -> HttpResponseBase:
    """Send a person who may export the dataset to a link of a few minutes; for anybody else there is no such file."""
    file = _file_for(request, file_id)
    address = services.link_to_download(file=file, by=_user(request), content_type=_type_of(file))
    return redirect(address or reverse("admin:exporter_exportfile_file", args=[file.pk, token_of(file)]))


@require_safe
@never_cache
def hand_out(request: HttpRequest, file_id: int, token: str) -> HttpResponseBase:
    """Stream a file whose store gives no links, to who has ours and may still export the dataset."""
    file = _file_for(request, file_id)
    response = FileResponse(
        services.open_download(file=file, token=token),
        as_attachment=True,
        filename=file.file_name,
        content_type=_type_of(file),
    )
    response["Content-Length"] = str(file.bytes)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _type_of(file: ExportFile) -> str:
    return content_type(file.format, file.form.get("encoding", "utf-8"))


def _file_for(request: HttpRequest, file_id: int) -> ExportFile:
    user = _user(request)
    file = services.visible_files(user).select_related("destination").filter(pk=file_id).first()
    if file is None:
        exportable = access.datasets_for(user, "export").filter(export_files__pk=file_id)
        services.require_whole(user, get_object_or_404(exportable))
        raise Http404
    return file


@require_http_methods(["GET", "HEAD", "POST"])
def export_now(request: HttpRequest) -> HttpResponse:
    """Ask which datasets, then start; `all` in the form starts with every one the person may export."""
    user = _seer(request)
    form = ExportNowForm(request.POST if request.method == "POST" else None, user=user)
    wants_all = request.method == "POST" and "all" in request.POST
    if wants_all or (form.is_bound and form.is_valid()):
        try:
            run = services.request_export(
                by=user, datasets=None if wants_all else form.cleaned_data["datasets"]
            )
        except RowhouseError as refused:
            messages.error(request, refused.message)
            return redirect("admin:exporter_exportfile_changelist")
        return redirect("admin:exporter_exportrun_change", run.pk)
    context = {"form": form, "chosen": _chosen(form), "title": "Export now"}
    return _page(request, "exporter/export_now.html", context, status=422 if form.is_bound else 200)


def _chosen(form: ExportNowForm) -> set[str]:
    value = form["datasets"].value() or ()
    return {str(getattr(one, "pk", one)) for one in value}


@require_POST
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """Ask for a run's end; one's own, or anybody's with the right to export everything."""
    user = _seer(request)
    run = get_object_or_404(ExportRun, pk=run_id)
    if not _may_cancel(user, run):
        raise PermissionDenied("Only the person who asked for this export, or an owner, can cancel it.")
    try:
        services.cancel_export(run=run, by=user)
        messages.info(request, "The export will end before its next step; what it has written is removed.")
    except RowhouseError as refused:
        messages.error(request, refused.message)
    return redirect("admin:exporter_exportrun_change", run.pk)


def _may_cancel(user: User, run: ExportRun) -> bool:
    return run.requested_by_id == user.pk or user.has_perm("datasets.change_dataset")


@require_safe
def show_run(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show a run: how far it is, what it made of the datasets this person may export, why it failed."""
    user = _seer(request)
    run = get_object_or_404(ExportRun.objects.select_related("requested_by"), pk=run_id)
    context = {
        "title": f"{run}",
        "run": run,
        "files": services.visible_files(user).filter(run=run).order_by("dataset_title"),
        "held": services.visible_files(user)
        .filter(pk__in=[one["file"] for one in run.skipped])
        .select_related("run")
        .order_by("dataset_title"),
        "is_missed": run.state == State.MISSED,
        "is_open": run.state in OPEN_STATES,
        "has_failed": run.state == State.FAILED,
        "has_succeeded": run.state == State.SUCCEEDED,
        "may_cancel": run.state in OPEN_STATES and _may_cancel(user, run),
        "status": _status(run),
    }
    return _page(request, "exporter/run.html", context)


def _status(run: ExportRun) -> jobs.JobStatus | None:
    try:
        return jobs.status(run.job_id) if run.job_id is not None and run.state in OPEN_STATES else None
    except jobs.JobNotFound:
        return None


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)  # the admin site lets nobody else in


def _seer(request: HttpRequest) -> User:
    user = _user(request)
    if not services.may_see_exports(user):
        raise PermissionDenied("You may not export any dataset here. Ask an owner for the right.")
    return user


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return render(request, template, {**tenant_site.each_context(request), **context}, status=status)
