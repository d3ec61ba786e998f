"""The one place where a refusal becomes a problem (RFC 9457), and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.response import Response
from rest_framework.views import set_rollback

from core.errors import BadFields, RowhouseError
from core.limits import TooMany
from core.problems import CONTENT_TYPE, problem_of

NOT_HERE = "There is nothing of this name or number here, or nothing of it is for this token."


class AlwaysJson(BaseContentNegotiation):
    """Whatever a program says it accepts: the body is what it sent, the answer is JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        sent = (request.content_type or "").partition(";")[0].strip().lower()
        return next((one for one in parsers if one.media_type == sent), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return what is told of an error; None: it is none of ours, and goes on to the log."""
    told = _told(error)
    if told is None:
        return None
    status, code, detail, more, headers = told
    set_rollback()
    return Response(
        problem_of(status, code, detail, **more), status=status, headers=headers, content_type=CONTENT_TYPE
    )


def _told(error: Exception) -> tuple[int, str, str, dict[str, Any], dict[str, str]] | None:
    match error:
        case BadFields():
            faults = {name: [said] for name, said in error.faults.items()}
            return error.status, error.code, error.message, {"errors": faults}, {}
        case TooMany():
            return error.status, error.code, error.message, {}, {"Retry-After": str(error.retry_after)}
        case RowhouseError():
            return error.status, error.code, error.message, {}, {}
        case Http404():
            return 404, "not-found", NOT_HERE, {}, {}
        case PermissionDenied():
            return 403, "permission-denied", str(error) or "You may not do this.", {}, {}
        case RequestDataTooBig():
            return 413, "too-large", "The body is larger than may be sent here.", {}, {}
        case SuspiciousOperation():
            return 400, "malformed", "This request cannot be read.", {}, {}
        case exceptions.ValidationError():
            errors = _errors(error.detail)
            sentence = " ".join(f"{name}: {' '.join(said)}" for name, said in errors.items())
            return 422, "invalid", sentence, {"errors": errors}, {}
        case exceptions.APIException():
            return _of_framework(error)
    return None


def _of_framework(error: exceptions.APIException) -> tuple[int, str, str, dict[str, Any], dict[str, str]]:
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "invalid"
    asked = getattr(error, "auth_header", None)
    headers = {"WWW-Authenticate": str(asked)} if asked else {}
    if isinstance(error, exceptions.ParseError):
        code = "malformed"
    return error.status_code, code.replace("_", "-"), str(error.detail), {}, headers


def _errors(detail: Any, at: str = "") -> dict[str, list[str]]:
    """Return the sentences of a validation by the fields' names, nested ones with a dot."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, said in detail.items():
            found |= _errors(said, f"{at}.{name}" if at else str(name))
        return found
    sentences = detail if isinstance(detail, list) else [detail]
    return {at or "body": [str(one) for one in sentences]}
