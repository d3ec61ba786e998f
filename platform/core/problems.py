"""What programs are told when something is refused: RFC 9457, with our own `code`.

Everything below `/api/` answers so, also where a request is turned away before any view: an unknown address, a
suspended tenant, a body that is too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

PREFIX = "/api/"
CONTENT_TYPE = "application/problem+json"


def is_for_programs(request: HttpRequest) -> bool:
    """Return whether a request is to the HTTP API, whose answers programs read."""
    return request.path_info.startswith(PREFIX)


def problem_of(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return a problem's body.

    >>> problem_of(404, "not-found", "There is nothing here.")["title"]
    'Not Found'
    """
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code, **more}


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> HttpResponse:
    """Return the answer that tells of a problem."""
    told = problem_of(status, code, detail, **more)
    answer = JsonResponse(told, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))
    answer.headers["Cache-Control"] = "no-store"
    return answer
