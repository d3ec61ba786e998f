"""What is true of every request of somebody who is signed in at a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from accounts.models import User
from accounts.sessions import note_seen
from accounts.single_sign_on.gate import is_vouched_for

# What somebody may do who must add a second factor first, by the names of its pages.
ENROLLING = {
    "account_reauthenticate",
    "accounts_sign_in",
    "accounts_sign_out_there",
    "accounts_sign_out_everywhere",
    "admin:logout",
    "admin:jsi18n",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_generate_recovery_codes",
    "mfa_index",
    "mfa_list_webauthn",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_view_recovery_codes",
}


class People:
    """Lead who must add a second factor to where that is done, and note that a session was used."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        user = request.user
        if not isinstance(user, User):
            return None
        page = request.resolver_match.view_name if request.resolver_match else ""
        if getattr(user, "must_enrol", False) and page not in ENROLLING and not is_vouched_for(request):
            return HttpResponseRedirect(reverse("accounts_sign_in"))
        tenant = getattr(request, "tenant", None)
        if tenant is not None and not tenant.is_read_only:
            note_seen(request, user)
        return None
