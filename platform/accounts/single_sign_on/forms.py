"""The form of a tenant's provider."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.provider_models import NewPersonRole, PasswordsFor, SignInProvider
from accounts.single_sign_on.services import FIELDS

LISTS = ("domains", "second_factor_levels")


class ProviderForm(forms.Form):
    """What an owner says of the provider. What cannot be is said by the service."""

    name = forms.CharField(
        label="Name", max_length=60, widget=UnfoldAdminTextInputWidget,
        help_text="It stands on the button of the sign-in page.",
    )  # fmt: skip
    issuer = forms.CharField(
        label="Address", max_length=300, widget=UnfoldAdminTextInputWidget,
        help_text="The issuer, or the address of the discovery document, as https://host/path.",
    )  # fmt: skip
    client_id = forms.CharField(label="Client id", max_length=255, widget=UnfoldAdminTextInputWidget)
    secret = forms.CharField(
        label="Client secret", required=False, max_length=1000, strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="Kept sealed and never shown again. Empty: the one that is kept.",
    )  # fmt: skip
    domains = forms.CharField(
        label="Mail domains", max_length=5_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One on each line. A first sign-in counts only for an address at one of them that the provider "
        "calls verified.",
    )  # fmt: skip
    new_person_role = forms.ChoiceField(
        label="Who becomes a user by signing in", required=False, choices=NewPersonRole,
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip
    passwords_for = forms.ChoiceField(
        label="Who may still use a password", choices=PasswordsFor, initial=PasswordsFor.EVERYONE,
        widget=UnfoldAdminSelectWidget,
        help_text="Owners always may: a provider that fails must not lock everybody out.",
    )  # fmt: skip
    trusts_second_factor = forms.BooleanField(
        label="Its second factor counts here", required=False, widget=UnfoldBooleanSwitchWidget,
        help_text="Whom the provider has asked for one (amr “mfa”, or one of the levels below) is not asked for ours.",
    )  # fmt: skip
    second_factor_levels = forms.CharField(
        label="Levels that need a second factor there (acr)", required=False, max_length=5_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text="One on each line; they are asked for, too.",
    )  # fmt: skip
    is_on = forms.BooleanField(
        label="Switched on", required=False, widget=UnfoldBooleanSwitchWidget,
        help_text="Its button stands on the sign-in page.",
    )  # fmt: skip
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput, min_value=0, max_value=2_000_000_000)

    def __init__(self, *args: Any, provider: SignInProvider | None = None, **kwargs: Any) -> None:
        initial: dict[str, Any] = {"seen": 0}
        if provider is not None:
            initial = {name: getattr(provider, name) for name in FIELDS} | {"seen": provider.version}
            initial |= {name: "\n".join(initial[name]) for name in LISTS}
        super().__init__(*args, **{**kwargs, "initial": initial})

    def values(self) -> dict[str, Any]:
        """Return what the service takes, of a form that is valid."""
        lines = {name: self.cleaned_data[name].split() for name in LISTS}
        lines["domains"] = [one.lower().removeprefix("@") for one in lines["domains"]]
        return {name: self.cleaned_data[name] for name in FIELDS} | {
            name: list(dict.fromkeys(found)) for name, found in lines.items()
        }

    def show_faults(self, faults: dict[str, str]) -> None:
        """Put the sentences of a refusal beside their fields."""
        for name, said in faults.items():
            self.add_error(name if name in self.fields else None, said)
