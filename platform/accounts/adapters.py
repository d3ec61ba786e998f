"""What allauth asks us: where people may be led, who may become a user, and how secrets are kept."""

from __future__ import annotations

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib import messages
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from core.limits import take
from core.sealing import seal, unseal

FACTOR = "accounts.factor"
TRIES, TRIES_SECONDS = 10, 900
# What is said after something was done, by the name of allauth's own sentence. What is not here is plain to see.
SAID = {
    "mfa/messages/totp_activated.txt": "From now on you are asked for a code of your app when you sign in.",
    "mfa/messages/totp_deactivated.txt": "You are not asked for a code of your app any more.",
    "mfa/messages/webauthn_added.txt": "The passkey was added.",
    "mfa/messages/webauthn_removed.txt": "The passkey was removed.",
    "mfa/messages/recovery_codes_generated.txt": "These codes are new; those from before do not work any more.",
}


class AccountAdapter(DefaultAccountAdapter):
    """People come by invitation, stay on their tenant's host, and are known by the address they come from."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str | None) -> bool:
        """Return whether a page of this host is meant, over HTTPS where this is: no other host is ours."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return how somebody confirms who he is: by a second factor where there is one, else by the password."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        factors = [one for one in methods if one["id"] != "reauthenticate"]
        return factors or methods

    def is_reauthentication_required(self, *, app: str) -> bool:
        """Return whether somebody must confirm who he is: not if he signed in a moment ago, by all that he has."""
        request = context.request
        records = get_authentication_records(request, request.user)
        is_fresh = bool(records) and time.time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT
        return not is_fresh and bool(super().is_reauthentication_required(app=app))

    def reauthenticate(self, user: Any, password: str) -> bool:
        take(scope="accounts.confirm", subject=str(user.pk), limit=TRIES, per_seconds=TRIES_SECONDS)
        return bool(super().reauthenticate(user, password))

    def get_client_ip(self, request: HttpRequest) -> str:
        return str(request.META["REMOTE_ADDR"])  # the client's, whatever stands in front (`rowhouse.proxies`)

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        said = message or SAID.get(message_template or "")
        if said:
            messages.add_message(request, level, said, extra_tags=extra_tags)


class DirectoryAdapter(DefaultSocialAccountAdapter):
    """Whom another directory vouches for: nobody becomes a user by that alone."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False


class FactorAdapter(DefaultMFAAdapter):
    """Second factors: their secrets are sealed, and go with their people into a copy of the tenant."""

    def encrypt(self, text: str) -> str:
        return seal(text, purpose=FACTOR, anywhere=True)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, purpose=FACTOR, anywhere=True)
