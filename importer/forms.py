"""The forms of the import pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.crypto import get_random_string
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from datasets import access
from datasets.models import Dataset
from importer.dialect import DELIMITERS, ENCODINGS
from importer.models import ImportJob, Mode, Policy

AS_DETECTED = ("", "as detected")


def new_request_key() -> str:
    return get_random_string(32)


class UploadForm(forms.Form):
    """A file and where it goes. The hidden key makes a repeated submission find the first one's import."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(), widget=UnfoldAdminSelectWidget, empty_label="Choose"
    )
    file = forms.FileField(
        label="CSV or Excel file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
        error_messages={"empty": "The file is empty. Choose a file with a header and rows."},
    )
    mode = forms.ChoiceField(
        label="What it may do", choices=Mode.choices, initial=Mode.UPSERT, widget=UnfoldAdminRadioSelectWidget
    )
    policy = forms.ChoiceField(
        label="If rows are bad",
        choices=Policy.choices,
        initial=Policy.GOOD_ROWS,
        widget=UnfoldAdminRadioSelectWidget,
    )
    replace = forms.BooleanField(
        label="Cancel this dataset's other imports that nobody confirmed yet",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )
    request_key = forms.RegexField(r"^[A-Za-z0-9]{32}$", widget=forms.HiddenInput, initial=new_request_key)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["dataset"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = access.datasets_for(user, "import").order_by("title")
        megabytes = settings.ROWHOUSE_UPLOAD_MAX_BYTES // 1024**2
        self.fields[
            "file"
        ].help_text = f"Up to {megabytes} MiB. Nothing is written before you confirm the preview."

    def clean_file(self) -> Any:
        if len(self.files.getlist("file")) > 1:
            raise forms.ValidationError("Two files were sent. Choose one file; import the other after it.")
        return self.cleaned_data["file"]


class DialectForm(forms.Form):
    """How the file is read, where a person knows better than the guess."""

    encoding = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    delimiter = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    header_row = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=10_000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="0 means the file has no header. Empty: as detected.",
    )
    sheet = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, job: ImportJob, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer("encoding", [AS_DETECTED, *ENCODINGS.items()])
        self._offer("delimiter", [AS_DETECTED, *DELIMITERS.items()])
        sheets = job.head.get("sheets", [])
        self._offer("sheet", [AS_DETECTED, *((sheet["name"], sheet["name"]) for sheet in sheets)])
        for name in ("encoding", "delimiter") if job.kind == "xlsx" else ("sheet",):
            del self.fields[name]

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class MatchForm(forms.Form):
    """One select per label of the file: the column it fills, or none."""

    def __init__(self, *args: Any, job: ImportJob, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        spec = job.dataset.spec()
        choices = [("", "skip"), *((column.name, _title(column, spec.key)) for column in spec.columns)]
        for match in job.mapping:
            self.fields[f"column_{match['position']}"] = forms.ChoiceField(
                label=match["label"],
                choices=choices,
                required=False,
                initial=match["column"] or "",
                widget=UnfoldAdminSelectWidget(attrs={"aria-label": f"Column for {match['label']}"}),
            )

    def clean(self) -> dict[str, Any]:
        chosen = [name for name in self.cleaned_data.values() if name]
        twice = sorted({name for name in chosen if chosen.count(name) > 1})
        if twice:
            titles = dict(next(iter(self.fields.values())).choices)  # type: ignore[attr-defined] # all are choices
            raise forms.ValidationError(f"Two labels fill {titles[twice[0]]}. Skip one of them.")
        return self.cleaned_data

    def chosen(self) -> dict[int, str | None]:
        """Return the choice as `set_mapping` takes it."""
        return {int(name.removeprefix("column_")): value or None for name, value in self.cleaned_data.items()}


class ConfirmForm(forms.Form):
    """The decision: which preview was looked at, and what happens to a file with bad rows."""

    seen = forms.IntegerField(widget=forms.HiddenInput)
    policy = forms.ChoiceField(
        label="The rejected rows", choices=Policy.choices, required=False, widget=UnfoldAdminRadioSelectWidget
    )


def _title(column: Any, key: tuple[str, ...]) -> str:
    if column.name in key:
        return f"{column.label} (key)"
    return f"{column.label} (required)" if column.is_required else str(column.label)
