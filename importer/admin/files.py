"""The files of an import, handed out to those who may import where it goes; to anybody else there are none."""

from __future__ import annotations

import tempfile

from django.contrib.admin import AdminSite
from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from audit.services import record
from core import storage
from importer.admin.places import job_or_404
from importer.models import ImportJob
from importer.rejects import file_name, rejected_file
from importer.rights import may_import


@require_GET
@never_cache
def rejected_rows(request: HttpRequest, pk: int, site: AdminSite) -> FileResponse:
    """The rejected rows as a file to correct."""
    job = _importable(request, pk)
    if not job.rejected_rows:
        raise Http404
    record("importer.rejects.downloaded", actor=request.user, target=job, rows=job.rejected_rows)
    # Written out before it is sent: the answer may be streamed after the tenant has been left.
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- FileResponse closes it
    file.writelines(rejected_file(job))
    file.seek(0)
    return FileResponse(
        file, as_attachment=True, filename=file_name(job), content_type="text/csv; charset=utf-8"
    )


@require_GET
@never_cache
def upload(request: HttpRequest, pk: int, site: AdminSite) -> FileResponse:
    """The file as it was uploaded, byte for byte.

    :raises StorageChanged: it is gone from the storage.
    """
    job = _importable(request, pk)
    if not job.key:
        raise Http404
    file = storage.open_read(job.key)
    record("importer.upload.downloaded", actor=request.user, target=job)
    # Whatever it says it is, a browser saves it: it came from outside.
    response = FileResponse(
        file, as_attachment=True, filename=job.file_name, content_type="application/octet-stream"
    )
    response["Content-Length"] = str(job.bytes)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _importable(request: HttpRequest, pk: int) -> ImportJob:
    # A file holds all it was uploaded with, also what never became a record.
    job = job_or_404(request, pk)
    if not may_import(request.user, job):
        raise Http404
    return job
