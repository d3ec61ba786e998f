"""What a tenant's provider changes of signing in otherwise: who may use a password, and whose factor is asked."""

from __future__ import annotations

from typing import Any

from allauth.mfa.stages import AuthenticateStage
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.adapters import AccountAdapter
from accounts.single_sign_on.services import may_use_password, provider_or_none
from audit.services import record

OUR_STAGE = "accounts.single_sign_on.gate.OwnFactor"
ALLAUTHS_STAGE = "allauth.mfa.stages.AuthenticateStage"
# In the session: the provider has asked for a second factor, and the owner says that this counts.
VOUCHED = "accounts.provider_factor"


def is_vouched_for(request: HttpRequest) -> bool:
    """Return whether who is signed in has shown a second factor to the provider, and it counts here."""
    return bool(request.session.get(VOUCHED))


class GatedAccountAdapter(AccountAdapter):
    """Passwords where the owner lets them, and our second factor unless the provider's counts."""

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """Refuse who may sign in by the provider alone, once the password was found right."""
        if "sociallogin" not in (kwargs.get("signal_kwargs") or {}):
            provider = provider_or_none()
            if not may_use_password(user, provider):
                record(
                    "accounts.user.sign_in_failed",
                    actor=user,
                    target=user,
                    by="password",
                    reason="password-not-allowed",
                )
                messages.error(
                    request, f"You sign in by {provider} here, and with no password. Use its button below."
                )
                return HttpResponseRedirect(reverse("admin:login"))
        answer: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return answer

    def get_login_stages(self) -> list[str]:
        return [OUR_STAGE if one == ALLAUTHS_STAGE else one for one in super().get_login_stages()]


class OwnFactor(AuthenticateStage):
    """Asks for our second factor, unless the provider's counts."""

    def handle(self) -> tuple[HttpResponse | None, bool]:
        by_provider = (self.login.signal_kwargs or {}).get("sociallogin")
        if getattr(by_provider, "has_factor", False):
            self.request.session[VOUCHED] = True
            return None, True
        self.request.session.pop(VOUCHED, None)  # of a sign-in before
        answer: tuple[HttpResponse | None, bool] = super().handle()
        return answer
