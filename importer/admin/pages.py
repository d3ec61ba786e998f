"""The pages of one import. Each looks the import up among those the person may see: any other is a 404."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from importer import services
from importer.addresses import address, names
from importer.admin import show as shown
from importer.admin.places import job_or_404, page, to
from importer.again_file import import_again
from importer.forms import ConfirmForm, RulesForm, UploadForm
from importer.models import UNCONFIRMED, ImportJob
from importer.rights import may_import
from importer.rules import rules_of, set_rules
from importer.undo import undo_import

MOST_DIGITS = 18  # of a bigint
SHOWN_PREVIEWS = 10


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
        if form.is_valid() and (job := _created(request, form)):
            return to(job)
    context = {
        "form": form,
        "dataset": form.asked,
        "into": form.asked,
        "list_url": reverse(f"admin:{names('')}_changelist"),
        "waiting": _waiting(form.asked) if form.asked else (),
        "may_set_rules": form.asked is not None and access.may(request.user, "manage", form.asked),
    }
    return page(request, site, "upload", "Import a file", context, status=status)


def _waiting(dataset: Dataset) -> QuerySet[ImportJob]:
    previews = ImportJob.objects.filter(dataset=dataset, undoes=None, state__in=UNCONFIRMED)
    return previews.select_related("created_by")[:SHOWN_PREVIEWS]


def _created(request: HttpRequest, form: UploadForm) -> ImportJob | None:
    create = partial(services.create_import, dataset=form.cleaned_data["dataset"])
    return created_or_told(request, form, create)


def created_or_told(request: HttpRequest, form: Any, create: Callable[..., ImportJob]) -> ImportJob | None:
    """Return the import that an upload form asks for, or None with the refusal at its field."""
    data = form.cleaned_data
    try:
        return create(
            file=data["file"], name=data["file"].name, by=request.user, mode=data["mode"],
            policy=data["policy"], replace=data["replace"], request_key=data["request_key"],
        )  # fmt: skip
    except services.NoKey as error:
        form.add_error("mode", error.message)
    except RowhouseError as error:
        form.add_error("file", error.message)
    return None


@require_GET
def show(request: HttpRequest, object_id: str, site: AdminSite) -> HttpResponse:
    """Everything about one import: how it stands, what it changes, what is wrong, and the decision."""
    if not (object_id.isascii() and object_id.isdigit() and len(object_id) < MOST_DIGITS):
        raise Http404
    job = job_or_404(request, int(object_id))
    if job.target and request.path != address(job):  # its target has pages of its own
        return redirect(f"{address(job)}?{request.GET.urlencode()}".rstrip("?"))
    return page(request, site, "job", str(job), shown.job_context(request, job))


@require_GET
def progress(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """The part of the page that refreshes itself while work goes on; when it has ended, the whole page reloads."""
    job = job_or_404(request, pk)
    context = {"job": job, **shown.progress_context(job)}
    response = render(request, "importer/progress.html", context)
    if not context["is_running"]:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def confirm(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Start the merge of the preview the person looked at."""
    job = job_or_404(request, pk)
    form = ConfirmForm(request.POST, job=job)
    if not form.is_valid():
        if "deletes" in form.errors and may_import(request.user, job):
            return page(request, site, "job", str(job), shown.job_context(request, job, form), status=422)
        raise services.NotConfirmable("The form is not complete. Open the import again, then confirm.")
    data = form.cleaned_data
    services.confirm_import(
        job=job, by=request.user, policy=data["policy"] or None, seen=data["seen"], deletes=data["deletes"]
    )
    return to(job)


@require_POST
def cancel(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Give the import up."""
    job = job_or_404(request, pk)
    services.cancel_import(job=job, by=request.user)
    messages.info(
        request, "The import is being cancelled." if job.current_job_id else "The import is cancelled."
    )
    return to(job)


@require_POST
def undo(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Ask for the preview of an undo, and show that import."""
    return to(undo_import(job=job_or_404(request, pk), by=request.user))


@require_POST
def again(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Import the same file once more, with the same settings: a new import, and a preview first."""
    return to(import_again(job=job_or_404(request, pk), by=request.user))


@require_http_methods(["GET", "POST"])
def rules(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """What a dataset wants of every import."""
    dataset = get_object_or_404(access.datasets_for(request.user, "import"), pk=pk)
    if not access.may(request.user, "manage", dataset):
        raise PermissionDenied(f"You may not change the import rules of {dataset.title}.")
    kept = rules_of(dataset)
    initial = {name: getattr(kept, name) for name in ("policy", "max_rejected_percent", "blank")}
    form = RulesForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        set_rules(dataset=dataset, by=request.user, **form.cleaned_data)
        messages.info(
            request, f"The import rules of {dataset.title} are set. They hold for previews that wait, too."
        )
        return redirect(reverse("admin:importer_importjob_upload") + f"?dataset={dataset.pk}")
    status = 422 if request.method == "POST" else 200
    return page(
        request,
        site,
        "rules",
        f"Import rules of {dataset.title}",
        {"form": form, "dataset": dataset},
        status=status,
    )
