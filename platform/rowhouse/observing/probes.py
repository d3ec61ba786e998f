"""`/healthz` and `/readyz`, for whoever keeps pods: any host, no tenant, no redirect, before all other middleware."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from rowhouse.observing.paths import HEALTH, PROBES
from rowhouse.observing.readiness import readiness


class Probes:
    """Middleware that answers the probes and leaves everything else alone.

    `/healthz` says that the process answers at all and asks nothing: a database that is away is no reason to restart
    pods. `/readyz` says whether requests should come.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES or request.method not in {"GET", "HEAD"}:
            return self.get_response(request)
        if request.path_info == HEALTH:
            answer: HttpResponse = HttpResponse(b"ok\n", content_type="text/plain")
        else:
            standing = readiness().standing()
            answer = JsonResponse(standing.as_json, status=200 if standing.is_ready else 503)
        answer["Cache-Control"] = "no-store"
        return answer
