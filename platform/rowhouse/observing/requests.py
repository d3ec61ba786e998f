"""What each request leaves behind: its number, a line, a count, a span; never what a person has sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any
from uuid import uuid4

from django.http import HttpRequest, HttpResponseBase

from core import logging, metrics, tracing

HEADER = "X-Request-ID"
NOTE = "rowhouse.request"  # in the WSGI environment, for the server's own line
MOST_VIEWS = 500
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
_OF_A_DATASET = re.compile(r"ds\d+")
_seen: set[str] = set()


def request_id_of(given: str) -> str:
    """Return the number a proxy has given to a request if it is one, or a new one.

    >>> request_id_of("0af3c9d2-7")
    '0af3c9d2-7'
    >>> len(request_id_of("<script>"))
    32
    """
    return given if _WELL_FORMED.fullmatch(given) else uuid4().hex


def view_of(name: str) -> str:
    """Return what a view is called in figures: without the number of the dataset whose page it is.

    >>> view_of("admin:datasets_ds12_changelist")
    'admin:datasets_ds_changelist'
    """
    view = _OF_A_DATASET.sub("ds", name)
    if view not in _seen:
        if len(_seen) >= MOST_VIEWS:
            return "other"
        _seen.add(view)
    return view


class Observed:
    """Middleware around all that answer requests: names each, measures it, and gives its number back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        logging.begin_request(request_id, user=lambda: _known_user(request))
        begun = perf_counter()
        with (
            metrics.REQUESTS_IN_PROGRESS.track_inprogress(),
            tracing.span("request", headers=request.headers) as span,
        ):
            response = self.get_response(request)
            view = view_of(_name_of(request))
            method = request.method if request.method in METHODS else "other"
            span.rename(f"{method} {view}")
            span.tell(view=view, method=method, status=response.status_code)
            if response.status_code >= 500:
                span.fail(str(response.status_code))
        seconds = perf_counter() - begun
        status = f"{response.status_code // 100}xx"
        metrics.REQUESTS.labels(view, method, status).inc()
        metrics.RESPONSES.labels(status).inc()
        metrics.REQUEST_SECONDS.labels(view).observe(seconds)
        response[HEADER] = request_id
        request.META[NOTE] = {**logging.context(), "view": view}
        return response


def _name_of(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is not None:
        return match.view_name or "unnamed"
    # Answered by a middleware before any view was looked for: live polls say so, refusals and unknown hosts do not.
    return str(getattr(request, "answered_by", "none"))


def _known_user(request: Any) -> int | None:
    """Return the number of the request's user if it was looked up already; looking it up is not for a log to do."""
    user = getattr(request, "_cached_user", None)
    return user.pk if user is not None else None
