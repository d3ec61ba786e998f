"""Whether a host is one of ours: what a proxy asks before it has a certificate made for it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from tenants.names import normal_host
from tenants.routing import route_of


def urls() -> list[URLPattern]:
    """Return the page's address on the platform's own hosts."""
    return [path("domain-served", domain_served, name="tenants_domain_served")]


@require_safe
def domain_served(request: HttpRequest) -> HttpResponse:
    """Answer 200 for a `?domain=` of operators or of a tenant that is routed, and 404 for any other.

    Nothing is told that a visit to the domain would not tell.
    """
    host = normal_host(request.GET.get("domain", ""))
    is_served = host in settings.ROWHOUSE_PUBLIC_HOSTS or route_of(host) is not None
    return HttpResponse(status=200 if is_served else 404)
