"""Forms that take a second factor: counted before they are looked at, and each code good once."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import salted_hmac
from unfold.widgets import UnfoldAdminTextInputWidget

from audit.services import record
from core.limits import forget, take

SCOPE = "accounts.factor"
CODES, CODES_SECONDS = 10, 900
USED_KEPT = 5  # more than are good at any time


def _code_field(form: Any) -> None:
    field = form.fields["code"]
    field.label = "Code"
    field.widget = UnfoldAdminTextInputWidget(
        attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": "", "spellcheck": "false"}
    )


class CodesOnce:
    """Mixin of a form that takes a code: counted for all processes, and what was taken is not taken again."""

    user: Any
    authenticator: Authenticator

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _code_field(self)

    def clean_code(self) -> str:
        take(scope=SCOPE, subject=str(self.user.pk), limit=CODES, per_seconds=CODES_SECONDS)
        self.cleaned_data["code"] = self.cleaned_data["code"].replace(" ", "")  # type: ignore[attr-defined]
        try:
            with transaction.atomic():
                # Held until it is written which code was used: of two who send the same, the second is refused.
                list(Authenticator.objects.select_for_update().filter(user=self.user).order_by("pk"))
                code: str = super().clean_code()  # type: ignore[misc] # the form's
                self._use_up(code)
        except ValidationError:
            record("accounts.factor.refused", actor=self.user, target=self.user)
            raise
        forget(scope=SCOPE, subject=str(self.user.pk))
        return code

    def _use_up(self, code: str) -> None:
        one = self.authenticator
        if one.type != Authenticator.Type.TOTP:
            return  # a recovery code is marked by allauth
        mark = salted_hmac(SCOPE, f"{one.pk}.{code}", algorithm="sha256").hexdigest()[:16]
        used = one.data.get("used", [])
        if mark in used:
            raise get_adapter().validation_error("incorrect_code")
        one.data["used"] = [mark, *used][:USED_KEPT]
        one.save(update_fields=["data"])

    def _emit_authentication_failed(self, authenticator: Authenticator) -> None:
        """Nothing: what is written within would be rolled back; `clean_code` records it."""


class CodeForm(CodesOnce, AuthenticateForm):
    """Asked for at sign-in."""


class ConfirmCodeForm(CodesOnce, ReauthenticateForm):
    """Asked of somebody who is signed in."""


class FirstCodeForm(ActivateTOTPForm):
    """Shows that the app has the secret."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _code_field(self)


class NewPasskeyForm(AddWebAuthnForm):
    """Names a new passkey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "Name"
        self.fields["name"].widget = UnfoldAdminTextInputWidget(attrs={"maxlength": "100"})


class PasskeysCounted:
    """Mixin of a form that takes a passkey: counted with the codes."""

    user: Any

    def clean_credential(self) -> Authenticator:
        take(scope=SCOPE, subject=str(self.user.pk), limit=CODES, per_seconds=CODES_SECONDS)
        try:
            found: Authenticator = super().clean_credential()  # type: ignore[misc] # the form's
        except ValidationError:
            record("accounts.factor.refused", actor=self.user, target=self.user)
            raise
        forget(scope=SCOPE, subject=str(self.user.pk))
        return found


class PasskeyForm(PasskeysCounted, AuthenticateWebAuthnForm):
    """Asked for at sign-in."""


class ConfirmPasskeyForm(PasskeysCounted, ReauthenticateWebAuthnForm):
    """Asked of somebody who is signed in."""
