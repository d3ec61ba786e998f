"""Where a tenant's events are sent to: the page of its owners, and how that stands."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.tenancy import TenantRef, current_tenant
from jobs.pages.shown import duration
from rowhouse.events.asking import number_of
from tenants import streaming
from tenants.operating_models import EventStream

PAGE = "admin:audit_event_stream"


def summary_of(request: HttpRequest, tenant: TenantRef | None) -> dict[str, Any] | None:
    """Return how the stream of a tenant, or of the platform, stands; None where the person may not know."""
    user: Any = request.user
    if tenant is not None and not user.has_perm(streaming.CHANGES_STREAM):
        return None
    stream = streaming.stream_of(tenant)
    if tenant is None and not settings.ROWHOUSE_SYSLOG:
        stream = None
    return {"is_tenants": tenant is not None, **_told(stream)}


def _told(stream: EventStream | None) -> dict[str, Any]:
    if stream is None:
        return {"stream": None}
    lag = streaming.lag_of(stream)
    where = stream.url if stream.tenant_id else settings.ROWHOUSE_SYSLOG
    return {
        "stream": stream,
        "where": where,
        "lag": lag,
        "behind": duration(lag.seconds) if lag.seconds >= 1 else "",
    }


def stream_page(request: HttpRequest) -> HttpResponse:
    """Show where events are sent to, and change it."""
    user = cast("User", request.user)
    if not user.has_perm(streaming.CHANGES_STREAM):
        raise PermissionDenied("Only an owner says where events are sent.")
    problem, secret, entered = "", "", ""
    if request.method == "POST":
        entered = request.POST.get("url", "")
        try:
            secret, said = _do(request, user)
        except RowhouseError as refused:
            problem = refused.message
        else:
            messages.success(request, said)
            if not secret:
                return redirect(PAGE)
    told = _told(streaming.stream_of(current_tenant()))
    stream = told["stream"]
    context = {
        **tenant_site.each_context(request),
        "title": "Sending events out",
        **told,
        "url": entered or (stream.url if stream else ""),
        "seen": stream.version if stream else 0,
        "problem": problem,
        "secret": secret,
        "days": settings.ROWHOUSE_STREAM_DAYS,
    }
    answer = render(request, "rowhouse/event_stream.html", context, status=422 if problem else 200)
    answer["Cache-Control"] = "no-store"  # the secret is shown once
    return answer


def _do(request: HttpRequest, user: User) -> tuple[str, str]:
    """Do what a button says; return a secret to be shown, and a sentence."""
    seen = number_of(request.POST.get("seen", "")) or 0
    match request.POST.get("do"):
        case "secret":
            return streaming.renew_secret(
                seen=seen, by=user
            ), "Requests are signed with the new secret from now on."
        case "remove":
            streaming.remove_stream(seen=seen, by=user)
            return "", "Events are not sent out any more."
        case "resume":
            streaming.resume_stream(by=user)
            return "", "Sending goes on from where it stood."
        case _:
            secret = streaming.set_stream(
                url=request.POST.get("url", ""),
                is_on=seen == 0 or "is_on" in request.POST,
                from_beginning="from_beginning" in request.POST,
                seen=seen,
                by=user,
            )
            return secret, "Events are sent there from now on." if seen == 0 else "Saved."
