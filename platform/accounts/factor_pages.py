"""The pages of second factors: asked for at sign-in, and added, shown and removed by who has them.

allauth's views under the tenant's look. Whoever changes a factor has signed in, or confirmed who he is, a moment ago.
"""

from __future__ import annotations

from typing import Any

from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCodeView
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest
from django.urls import URLPattern, path

from accounts.sites import tenant_site


class InTheLook:
    """Mixin of a view of allauth: it has what the tenant's pages need, and a title."""

    title = ""
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc] # of the view
        return {**tenant_site.each_context(self.request), "title": self.title, **found}


class SecondFactorView(InTheLook, AuthenticateView):  # type: ignore[misc] # allauth has no types
    """Asks who has given the right password for the second factor."""

    title = "Second factor"
    template_name = "accounts/second_factor.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        has_passkey = is_mfa_enabled(self.stage.login.user, [Authenticator.Type.WEBAUTHN])
        return {**super().get_context_data(**kwargs), "has_passkey": has_passkey}


class ConfirmByPasswordView(InTheLook, ReauthenticateView):  # type: ignore[misc] # allauth has no types
    """Asks somebody who is signed in for the password again."""

    title = "Confirm that it is you"
    template_name = "accounts/confirm.html"


class ConfirmByCodeView(InTheLook, ReauthenticateByCodeView):  # type: ignore[misc] # allauth has no types
    """Asks somebody who is signed in for a code."""

    title = "Confirm that it is you"
    template_name = "accounts/confirm.html"


def urls() -> list[URLPattern]:
    """Return the pages' addresses on a tenant's hosts."""
    return [
        path("accounts/confirm/", ConfirmByPasswordView.as_view(), name="account_reauthenticate"),
        path("accounts/second-factor/", SecondFactorView.as_view(), name="mfa_authenticate"),
        path("accounts/second-factor/confirm/", ConfirmByCodeView.as_view(), name="mfa_reauthenticate"),
    ]
