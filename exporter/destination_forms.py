"""The form of a destination; the secret goes in and never comes out."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from exporter.destinations import Entered
from exporter.models import Destination

PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


def _text(**options: Any) -> forms.CharField:
    return forms.CharField(widget=UnfoldAdminTextInputWidget(attrs=PLAIN), **options)


class DestinationForm(forms.Form):
    """What a person enters about a bucket."""

    name = _text(max_length=100, help_text="What it is called in the settings of exports.")
    endpoint = _text(
        max_length=300, required=False, help_text="The server, as https://host. Leave it empty for Amazon S3."
    )
    region = _text(max_length=60, initial="us-east-1")
    bucket = _text(max_length=63)
    folder = _text(
        max_length=300, required=False, label="Folder in the bucket",
        help_text="Files lie in this folder, in one more with your name here. Nothing outside of it is touched.",
    )  # fmt: skip
    addressing = forms.ChoiceField(
        label="The bucket's name stands", choices=[("path", "in the path"), ("virtual", "in the host name")],
        initial="path",
        widget=UnfoldAdminRadioSelectWidget,
        help_text="In the path works with most servers; some of Amazon's regions want the host name.",
    )  # fmt: skip
    access_key = _text(max_length=200)
    secret = forms.CharField(
        label="Secret key", max_length=500, required=False, strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={**PLAIN, "autocomplete": "new-password"}, render_value=False),
    )  # fmt: skip
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, destination: Destination | None = None, **kwargs: Any) -> None:
        if destination is not None:
            own = {_field(name): getattr(destination, name) for name in Entered.__slots__ if name != "secret"}
            kwargs["initial"] = own | {"version": destination.version}
        super().__init__(*args, **kwargs)
        self.fields["secret"].help_text = (
            "Kept sealed and shown to nobody."
            if destination is None
            else "Kept sealed and shown to nobody. Leave it empty to keep the one there is."
        )

    def entered(self) -> Entered:
        """Return what was entered; the form must be valid."""
        return Entered(**{name: self.cleaned_data[_field(name)] for name in Entered.__slots__})

    def refuse(self, message: str, name: str = "") -> None:
        """Say of what was entered by this name, or of the whole, that it is no good."""
        self.add_error(_field(name) or None, message)


def _field(name: str) -> str:
    # Django's forms have a `prefix` of their own.
    return "folder" if name == "prefix" else name
