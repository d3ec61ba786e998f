"""The pages of second factors: asked for at sign-in, and added, shown and removed by who has them.

allauth's views in the tenant's look. Whoever changes a factor has signed in, or confirmed who he is, a moment ago.
"""

from __future__ import annotations

from typing import Any

from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCodeView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.utils import is_mfa_enabled
from allauth.mfa.webauthn.views import AddWebAuthnView, ReauthenticateWebAuthnView, RemoveWebAuthnView
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

from accounts.factors import has_factor
from accounts.sites import tenant_site
from core.headers import in_admin_look

PAGES = "accounts/second-factor/"


class InTheLook:
    """Mixin of a view of allauth: it has what the tenant's pages need, and a title."""

    title = ""
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc] # of the view
        return {**tenant_site.each_context(self.request), **found, "title": self.title}


class AtOnce:
    """Mixin of a view of allauth that changes a factor: what it did and its event stand together, or not at all."""

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            answer: HttpResponse = super().form_valid(form)  # type: ignore[misc] # of the view
        return answer


class SecondFactorView(InTheLook, AuthenticateView):
    """Asks who has given the right password for the second factor."""

    title = "Second factor"
    template_name = "accounts/second_factor.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        has_passkey = is_mfa_enabled(self.stage.login.user, [Authenticator.Type.WEBAUTHN])
        return {**super().get_context_data(**kwargs), "has_passkey": has_passkey}


class ConfirmByPasswordView(InTheLook, ReauthenticateView):
    """Asks somebody who is signed in for the password again; of who has a second factor the password is not enough."""

    title = "Confirm that it is you"
    template_name = "accounts/confirm.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated and has_factor(request.user):
            query = request.GET.urlencode()
            return HttpResponseRedirect(f"{reverse('mfa_reauthenticate')}{'?' if query else ''}{query}")
        answer: HttpResponse = super().dispatch(request, *args, **kwargs)
        return answer


class ConfirmByCodeView(InTheLook, ReauthenticateByCodeView):
    """Asks somebody who is signed in for a code."""

    title = "Confirm that it is you"
    template_name = "accounts/confirm.html"


class ConfirmByPasskeyView(InTheLook, ReauthenticateWebAuthnView):
    """Asks somebody who is signed in for a passkey."""

    title = "Confirm that it is you"
    template_name = "accounts/confirm.html"


class AddAppView(InTheLook, AtOnce, ActivateTOTPView):
    """Shows a secret to an app and takes its first code."""

    title = "Codes of an app"
    template_name = "accounts/add_app.html"


class RemoveAppView(InTheLook, AtOnce, DeactivateTOTPView):
    """Removes the codes of an app."""

    title = "Remove the codes of the app"
    template_name = "accounts/remove_factor.html"


class AddPasskeyView(InTheLook, AtOnce, AddWebAuthnView):
    """Takes a passkey from the browser."""

    title = "Add a passkey"
    template_name = "accounts/add_passkey.html"


class RemovePasskeyView(InTheLook, AtOnce, RemoveWebAuthnView):
    """Removes a passkey."""

    title = "Remove the passkey"
    template_name = "accounts/remove_factor.html"


class RecoveryCodesView(InTheLook, ViewRecoveryCodesView):
    """Shows the recovery codes that are left."""

    title = "Recovery codes"
    template_name = "accounts/recovery_codes.html"


class NewRecoveryCodesView(InTheLook, AtOnce, GenerateRecoveryCodesView):
    """Makes new recovery codes in the place of the old."""

    title = "New recovery codes"
    template_name = "accounts/new_recovery_codes.html"


def urls() -> list[URLPattern]:
    """Return the pages' addresses on a tenant's hosts, by the names allauth knows them by."""
    to_overview = tenant_site.admin_view(RedirectView.as_view(pattern_name="accounts_sign_in"))
    pages: list[tuple[str, Any, str]] = [
        ("accounts/confirm/", ConfirmByPasswordView, "account_reauthenticate"),
        (PAGES + "sign-in/", SecondFactorView, "mfa_authenticate"),
        (PAGES + "confirm/", ConfirmByCodeView, "mfa_reauthenticate"),
        (PAGES + "confirm-by-passkey/", ConfirmByPasskeyView, "mfa_reauthenticate_webauthn"),
        (PAGES + "app/", AddAppView, "mfa_activate_totp"),
        (PAGES + "app/remove/", RemoveAppView, "mfa_deactivate_totp"),
        (PAGES + "passkeys/add/", AddPasskeyView, "mfa_add_webauthn"),
        (PAGES + "passkeys/<int:pk>/remove/", RemovePasskeyView, "mfa_remove_webauthn"),
        (PAGES + "recovery-codes/", RecoveryCodesView, "mfa_view_recovery_codes"),
        (PAGES + "recovery-codes/new/", NewRecoveryCodesView, "mfa_generate_recovery_codes"),
    ]
    return [
        path(PAGES, to_overview, name="mfa_index"),
        path(PAGES + "passkeys/", to_overview, name="mfa_list_webauthn"),
        *(path(route, in_admin_look(never_cache(view.as_view())), name=name) for route, view, name in pages),
    ]
