"""How often one person, and one tenant, may do what costs the platform something.

Each pace is a number of times in ten minutes for one person, out of the settings; all people of a tenant together have
five times as many. Apps say which of their pages count under which pace on their AppConfig: `page_paces = {"POST
importer_*_upload": "upload"}`, a method and the page's name, in which `*` stands for anything. A page counts before its
body is read. What is no page (an API) calls `require` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core.httperrors import refusal
from core.limits import TooMany, take
from core.tenancy import tenant_or_none

WINDOW_SECONDS = 600
TENANT_TIMES = 5


def require(pace: str, *, by: Any) -> None:
    """Go on only if a person, and the tenant, have not done this too often in the last ten minutes; counts it.

    Call it outside of transactions (`core.limits.take`).

    :param pace: one of `settings.ROWHOUSE_PACES`.
    :param by: whose doing it is: a user, or an operator.
    :raises TooMany: too often; `retry_after` says when to come again, in seconds.
    """
    limit = settings.ROWHOUSE_PACES[pace]
    scope = f"pace:{pace}"
    # The person first: who is refused does not take from the others of the tenant.
    take(scope=scope, subject=f"{by._meta.label}:{by.pk}", limit=limit, per_seconds=WINDOW_SECONDS)
    if tenant_or_none() is not None:
        take(scope=scope, subject="", limit=limit * TENANT_TIMES, per_seconds=WINDOW_SECONDS)


class Paces:
    """Middleware that counts the pages apps have declared; it stands before whoever reads bodies."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: Any, _arguments: Any, _options: Any
    ) -> HttpResponse | None:
        match = request.resolver_match
        method = "GET" if request.method == "HEAD" else request.method
        pace = pace_of(method or "", (match.url_name if match else "") or "")
        if pace is None or not request.user.is_authenticated:
            return None  # who is not signed in is sent to do so, and nothing comes of it
        try:
            require(pace, by=request.user)
        except TooMany as refused:
            return refusal(request, refused)
        return None


@cache
def pace_of(method: str, page: str) -> str | None:
    """Return the pace a page counts under, by its name; None: it does not."""
    asked = f"{method} {page}"
    return next((pace for pattern, pace in _declared() if fnmatchcase(asked, pattern)), None)


@cache
def _declared() -> tuple[tuple[str, str], ...]:
    return tuple(
        pair for config in apps.get_app_configs() for pair in getattr(config, "page_paces", {}).items()
    )
