"""The one place where a refusal becomes a page."""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from psycopg2.errors import InsufficientPrivilege

from core.backend.roles import take_in
from core.errors import RowhouseError
from core.limits import TooMany
from core.problems import is_for_programs, problem
from core.tenancy import in_public, tenant_or_none

# Made once and the same for everybody: when everything fails, saying so must cost nothing and need nothing.
_FAILED_PAGE = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8">'
    b'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Rowhouse</title></head><body>'
    b"<h1>Something went wrong here</h1><p>It was not your doing, and it has been written down for those who run this"
    b" platform. What you asked for was not done. Try again in a minute; if it fails again, tell them the time.</p>"
    b'<p><a href="/">To the first page</a></p></body></html>'
)
_FAILED_JSON = b'{"error": "Something went wrong here. Try again in a minute.", "code": "unexpected"}'


class TakenIn(RowhouseError):
    """A table was the platform's, made by a pod of an earlier release, and is the tenant's only now."""

    code = "taken-in"
    status = 409


class ErrorPages:
    """Answer a view's RowhouseError with its sentence and status instead of a 500."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, DatabaseError) and isinstance(exception.__cause__, InsufficientPrivilege):
            exception = _taken_in() or exception
        if not isinstance(exception, RowhouseError):
            return None
        return refusal(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nobody expected, with status 500: no template, no query, no user."""
    if is_for_programs(request):
        return problem(500, "unexpected", "Something went wrong here. Try again in a minute.")
    if _wants_json(request):
        return HttpResponse(_FAILED_JSON, content_type="application/json", status=500)
    return HttpResponse(_FAILED_PAGE, status=500)


def refusal(request: HttpRequest, error: RowhouseError) -> HttpResponse:
    """Return what a request is answered that was refused: a page, or JSON for who asks for that alone."""
    answer = _answer(request, error)
    if isinstance(error, TooMany):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _answer(request: HttpRequest, error: RowhouseError) -> HttpResponse:
    if is_for_programs(request):
        return problem(error.status, error.code, error.message)
    if _wants_json(request):
        told = {"error": error.message, "code": error.code}
        return JsonResponse(told, status=error.status)
    back = request.headers.get("Referer", "")
    own = f"{request.scheme}://{request.get_host()}/"
    context = {
        "message": error.message,
        "code": error.code,
        "back": back if back.startswith(own) else "/",
    }
    return render(request, "core/refused.html", context, status=error.status)


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _taken_in() -> TakenIn | None:
    """Give the request's tenant what pods of an earlier release have made in its schema, if that was the trouble."""
    tenant = tenant_or_none()
    if tenant is None or connection.in_atomic_block:
        return None
    try:
        with in_public(), transaction.atomic(), connection.cursor() as cursor:
            if not take_in(cursor, tenant.schema):
                return None
    except DatabaseError:
        return None
    return TakenIn("An upgrade goes on, and nothing was done yet. Send it again.")
