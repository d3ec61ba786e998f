"""The form of a notice of exports."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from exporter.models import ExportNotice
from exporter.notices import FIELDS


def _check(label: str, *, is_on: bool, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, initial=is_on, widget=UnfoldBooleanWidget, help_text=help_text
    )


class NoticeForm(forms.Form):
    """Who hears of which ends. What cannot be is said by the service, which pages and tests share."""

    name = forms.CharField(label="Name", max_length=100, widget=UnfoldAdminTextInputWidget)
    emails = forms.CharField(
        label="Mail addresses", required=False, max_length=5_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One on each line. All of them see each other.",
    )  # fmt: skip
    url = forms.CharField(
        label="Address of a webhook", required=False, max_length=500, widget=UnfoldAdminTextInputWidget,
        help_text="A program of yours that takes signed requests, as https://host/path.",
    )  # fmt: skip
    on_success = _check("After a success", is_on=False)
    on_failure = _check("After a failure", is_on=True)
    on_missed = _check("After a missed hour", is_on=True)
    is_on = _check("Switched on", is_on=True)
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, notice: ExportNotice | None = None, **kwargs: Any) -> None:
        initial: dict[str, Any] = {}
        if notice is not None:
            initial = {name: getattr(notice, name) for name in FIELDS}
            initial |= {"emails": "\n".join(notice.emails), "seen": notice.version}
        kwargs["initial"] = initial
        super().__init__(*args, **kwargs)

    def values(self) -> dict[str, Any]:
        """Return what the service takes, of a form that is valid."""
        emails = [one.strip() for one in self.cleaned_data["emails"].splitlines() if one.strip()]
        return {name: self.cleaned_data[name] for name in FIELDS} | {"emails": list(dict.fromkeys(emails))}

    def show_faults(self, faults: dict[str, str]) -> None:
        """Put the sentences of a refusal beside their fields."""
        for name, said in faults.items():
            self.add_error(name if name in self.fields else None, said)
