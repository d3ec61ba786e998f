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
from core.tenancy import in_public, tenant_or_none


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
        answer = _answer(request, exception)
        if isinstance(exception, TooMany):
            answer.headers["Retry-After"] = str(exception.retry_after)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _answer(request: HttpRequest, error: RowhouseError) -> HttpResponse:
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
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
