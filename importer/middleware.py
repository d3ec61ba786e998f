"""A limit on bodies before anything reads them."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve

from core.problems import is_for_programs, problem
from importer.addresses import names
from importer.targets.proxies import PROXIES

# What a form holds besides its file.
AROUND_MB = 1
UPLOADS = ("upload", "corrections")
# The HTTP API asks for a token before it reads any body, so whoever has none fills no disk.
API_UPLOADS = {"api_imports"}


class BodyLimit:
    """Refuse a body that is too large, by its declared length.

    The check of the form's token parses the whole body, and an upload is written to disk while it is parsed:
    without this, anybody could fill the disk without signing in. Stands behind the middleware that knows who
    is signed in. A body without a declared length is read as empty.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        declared = request.META.get("CONTENT_LENGTH") or "0"
        length = int(declared) if declared.isascii() and declared.isdigit() else 0
        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE and length > _limit(request):
            most = _limit(request) // 1024**2
            message = f"More than {most} MiB cannot be sent here. Split the file, then send its parts."
            if is_for_programs(request):
                return problem(413, "too-large", message)
            return render(request, "core/notice.html", {"title": "Too large", "message": message}, status=413)
        return self.get_response(request)


def _limit(request: HttpRequest) -> int:
    name = _page(request)
    is_form = request.user.is_authenticated and name in _upload_pages()
    if is_form or name in API_UPLOADS:
        return int(settings.ROWHOUSE_UPLOAD_MAX_BYTES) + AROUND_MB * 1024**2
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _page(request: HttpRequest) -> str:
    try:
        return resolve(request.path).url_name or ""
    except Resolver404:
        return ""


def _upload_pages() -> set[str]:
    return {f"{names(target)}_{page}" for target in ("", *PROXIES) for page in UPLOADS}
