"""The two addresses of a sign-in by the tenant's provider: on the way to it, and back."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.single_sign_on import flow
from accounts.single_sign_on.services import note_refusal
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.limits import take


def urls() -> list[URLPattern]:
    """Return the addresses on a tenant's hosts."""
    return [
        path("single-sign-on/", leave, name="accounts_single_sign_on"),
        path("single-sign-on/callback/", come_back, name="accounts_single_sign_on_callback"),
    ]


@require_POST
@never_cache
def leave(request: HttpRequest) -> HttpResponse:
    """Lead the browser to the provider.

    :raises TooMany: there were too many sign-ins from this address.

    By a page that goes on by itself: browsers hold a redirect after a form to be the form's own destination, which
    the content policy keeps on this host.
    """
    _count(request)
    try:
        address = flow.begin(request, onward=_onward(request))
    except RowhouseError as refused:
        return _refused(request, refused)
    return render(
        request,
        "accounts/to_provider.html",
        {**tenant_site.each_context(request), "title": "Sign in", "address": address},
    )


@require_GET
@never_cache
def come_back(request: HttpRequest) -> HttpResponse:
    """Sign in whom the provider vouches for.

    :raises TooMany: there were too many sign-ins from this address.
    """
    _count(request)
    try:
        return flow.finish(request)
    except RowhouseError as refused:
        return _refused(request, refused)


def _count(request: HttpRequest) -> None:
    take(
        scope="accounts.single_sign_on.address",
        subject=str(request.META.get("REMOTE_ADDR", "")),
        limit=2 * settings.ROWHOUSE_SIGN_INS_PER_MINUTE,  # there, and back
        per_seconds=60,
    )


def _onward(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    is_own = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_own else reverse("admin:index")


def _refused(request: HttpRequest, refused: RowhouseError) -> HttpResponse:
    note_refusal(refused)
    page = {"title": "Not signed in", "message": refused.message}
    return render(request, "accounts/not_signed_in.html", page, status=refused.status)
