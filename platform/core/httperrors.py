"""The one place where a refusal becomes a page."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.errors import RowhouseError


class ErrorPages:
    """Answer a view's RowhouseError with its sentence and status instead of a 500."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, RowhouseError):
            return None
        back = request.headers.get("Referer", "")
        own = f"{request.scheme}://{request.get_host()}/"
        context = {
            "message": exception.message,
            "code": exception.code,
            "back": back if back.startswith(own) else "/",
        }
        return render(request, "core/refused.html", context, status=exception.status)
