"""The addresses of the API, on a tenant's hosts."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from core.problems import problem
from rowhouse.api import datasets, exports, imports, work
from rowhouse.api.refusing import NOT_HERE
from rowhouse.api.schema import Schema


@csrf_exempt  # there is nothing to be tricked into
def nothing(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Tell a program that there is no such address."""
    return problem(404, "not-found", NOT_HERE)


_ROWS = "api/v1/datasets/<slug:slug>/records"
urlpatterns = [
    path("api/v1/schema", Schema.as_view(), name="api_schema"),
    path("api/v1/token", work.Token.as_view(), name="api_token"),
    path("api/v1/datasets", datasets.Datasets.as_view(), name="api_datasets"),
    path("api/v1/datasets/<slug:slug>", datasets.OneDataset.as_view(), name="api_dataset"),
    path(_ROWS, datasets.Records.as_view(), name="api_records"),
    path(f"{_ROWS}/by-key", datasets.RecordByKey.as_view(), name="api_record_by_key"),
    path(f"{_ROWS}/<int:pk>", datasets.OneRecord.as_view(), name="api_record"),
    path(f"{_ROWS}/<int:pk>/versions", datasets.Versions.as_view(), name="api_versions"),
    path("api/v1/imports", imports.Imports.as_view(), name="api_imports"),
    path("api/v1/imports/<int:pk>", imports.OneImport.as_view(), name="api_import"),
    path("api/v1/imports/<int:pk>/issues", imports.Issues.as_view(), name="api_issues"),
    path("api/v1/imports/<int:pk>/changes", imports.Changes.as_view(), name="api_changes"),
    path("api/v1/imports/<int:pk>/confirm", imports.Confirm.as_view(), name="api_confirm"),
    path("api/v1/imports/<int:pk>/cancel", imports.Cancel.as_view(), name="api_cancel"),
    path("api/v1/imports/<int:pk>/undo", imports.Undo.as_view(), name="api_undo"),
    path("api/v1/exports", exports.Exports.as_view(), name="api_exports"),
    path("api/v1/exports/<int:pk>", exports.OneExport.as_view(), name="api_export"),
    path("api/v1/exports/<int:pk>/file", exports.Download.as_view(), name="api_download"),
    path("api/v1/jobs/<int:pk>", work.OneJob.as_view(), name="api_job"),
    path("api/<path:rest>", nothing, name="api_nothing"),
    path("api/", nothing),
]
