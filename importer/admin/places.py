"""What every page of an import begins and ends with."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from importer.addresses import address
from importer.models import ImportJob
from importer.rights import jobs_for


def job_or_404(request: HttpRequest, pk: int) -> ImportJob:
    """Return an import the person may see.

    :raises Http404: there is none of this number, or it is not theirs to see.
    """
    job = jobs_for(request.user).filter(pk=pk).first()
    if job is None:
        raise Http404
    return job


def to(job: ImportJob, query: str = "") -> HttpResponseRedirect:
    """Send the person to an import's page."""
    return redirect(address(job) + query)


def page(
    request: HttpRequest,
    site: AdminSite,
    template: str,
    title: str,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    """Return a page of the site."""
    request.current_app = site.name  # as Django's own admin does
    context = {**site.each_context(request), "title": title, **context}
    return render(request, f"importer/{template}.html", context, status=status)
