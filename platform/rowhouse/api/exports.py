"""Export files: list and download, with the checks of the page."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpResponseBase, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens.models import Scope
from core import paces
from exporter import services
from exporter.links import token_of
from exporter.models import ExportFile
from exporter.writers import content_type
from rowhouse.api import told
from rowhouse.api.authentication import Caller
from rowhouse.api.base import ApiView, PageAsked, asked, newest_first, number_or_404, page


class ExportsAsked(PageAsked):
    """Which files."""

    dataset = serializers.SlugField(required=False, max_length=100)


def files_of(caller: Caller) -> QuerySet[ExportFile]:
    """Return the files a token may download: those its person may, of the token's datasets."""
    return services.visible_files(caller.user).filter(caller.narrowed())


def file_or_404(caller: Caller, pk: int) -> ExportFile:
    """Return a file.

    :raises Http404: there is none of this number for this token.
    :raises ColumnsHidden: there is, and columns of its dataset are hidden from the person.
    """
    pk = number_or_404(pk)
    file = files_of(caller).select_related("destination").filter(pk=pk).first()
    if file is None:
        dataset = caller.datasets(Scope.EXPORT).filter(export_files__pk=pk).first()
        if dataset is not None:
            services.require_whole(caller.user, dataset)
        raise Http404
    return file


@extend_schema(tags=["Exports"])
class Exports(ApiView):
    """The files that exports made."""

    scopes = (Scope.EXPORT,)

    @extend_schema(operation_id="list_exports", parameters=[ExportsAsked], responses=told.FilePage)
    def get(self, request: Request) -> Response:
        """List export files, the newest first."""
        wanted = asked(request, ExportsAsked)
        found = files_of(self.caller(request))
        if slug := wanted.get("dataset"):
            found = found.filter(dataset_slug=slug)
        return page(request, newest_first(found, wanted), wanted["n"], _file, lambda one: one.pk)


@extend_schema(tags=["Exports"])
class OneExport(ApiView):
    """An export file's facts."""

    scopes = (Scope.EXPORT,)

    @extend_schema(operation_id="get_export", responses=told.FileTold)
    def get(self, request: Request, pk: int) -> Response:
        """Show what an export file is."""
        return Response(_file(file_or_404(self.caller(request), pk)))


@extend_schema(tags=["Exports"])
class Download(ApiView):
    """An export file itself."""

    scopes = (Scope.EXPORT,)

    @extend_schema(
        operation_id="download_export",
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            302: OpenApiResponse(
                description="Where the bucket hands it out, for a minute. Follow without the token."
            ),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Download an export file, byte for byte as it was written."""
        caller = self.caller(request)
        paces.require("download", by=caller.user)
        file = file_or_404(caller, pk)
        kind = content_type(file.format, file.form.get("encoding", "utf-8"))
        if address := services.link_to_download(file=file, by=caller.user, content_type=kind):
            return HttpResponseRedirect(address)
        response = FileResponse(
            services.open_download(file=file, token=token_of(file)),
            as_attachment=True,
            filename=file.file_name,
            content_type=kind,
        )
        response["Content-Length"] = str(file.bytes)
        response["X-Content-Type-Options"] = "nosniff"
        return response


def _file(file: ExportFile) -> dict[str, Any]:
    return {
        "id": file.pk,
        "dataset": file.dataset_slug,
        "title": file.dataset_title,
        "file_name": file.file_name,
        "format": file.format,
        "mode": file.mode,
        "content": file.content,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "run": file.run_id,
        "created_at": file.created_at,
        "removed_at": file.deleted_at,
    }
