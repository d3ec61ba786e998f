"""The forms of the import pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.urls import reverse
from django.utils.crypto import get_random_string
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from core.words import count
from datasets import access
from datasets.models import Dataset
from importer.models import Blank, ImportJob, Mode, Policy
from importer.rules import rules_of


def new_request_key() -> str:
    return get_random_string(32)


class FileForm(forms.Form):
    """A file and what it may do. The hidden key makes a repeated submission find the first one's import."""

    file = forms.FileField(
        label="CSV or Excel file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
        error_messages={"empty": "The file is empty. Choose a file with a header and rows."},
    )
    mode = forms.ChoiceField(
        label="What it may do",
        choices=Mode.choices,
        initial=Mode.UPSERT,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="The last of these deletes. The preview lists what would go, and you type how many records that are"
        " before any is deleted. Use it for a file that has all records.",
    )
    policy = forms.ChoiceField(
        label="If rows are bad",
        choices=Policy.choices,
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
    )
    replace = forms.BooleanField(
        label="Cancel the other imports that nobody confirmed yet",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )
    request_key = forms.RegexField(r"^[A-Za-z0-9]{32}$", widget=forms.HiddenInput, initial=new_request_key)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        megabytes = settings.ROWHOUSE_UPLOAD_MAX_BYTES // 1024**2
        self.fields[
            "file"
        ].help_text = f"Up to {megabytes} MiB. Nothing is written before you confirm the preview."

    def clean_file(self) -> Any:
        if len(self.files.getlist("file")) > 1:
            raise forms.ValidationError("Two files were sent. Choose one file; import the other after it.")
        return self.cleaned_data["file"]


class UploadForm(FileForm):
    """A file and the dataset it goes into."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(), widget=UnfoldAdminSelectWidget, empty_label="Choose"
    )
    field_order = ("dataset", "file")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["replace"].label = "Cancel this dataset's other imports that nobody confirmed yet"
        field = self.fields["dataset"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = access.datasets_for(user, "import").order_by("title")
        # What depends on the dataset follows it; the file that was chosen stays.
        field.widget.attrs |= {
            "hx-get": reverse("admin:importer_importjob_upload"),
            "hx-trigger": "change",
            "hx-select": "#of-dataset",
            "hx-target": "#of-dataset",
            "hx-swap": "outerHTML",
        }
        self.fields["policy"].initial = rules_of(self.asked).policy if self.asked else Policy.GOOD_ROWS

    @property
    def asked(self) -> Dataset | None:
        """The dataset that the address or the form speaks of, if the person may import into it."""
        field = self.fields["dataset"]
        assert isinstance(field, forms.ModelChoiceField)
        try:
            said = self.data.get("dataset") if self.is_bound else self.initial.get("dataset")
            dataset: Dataset = field.clean(said)
        except forms.ValidationError:
            return None
        return dataset

    def clean_policy(self) -> str:
        """Return the choice; without one, what the dataset wants."""
        dataset = self.cleaned_data.get("dataset")
        return self.cleaned_data["policy"] or (rules_of(dataset).policy if dataset else Policy.GOOD_ROWS)


class ModelUploadForm(FileForm):
    """A file for a plain model: none of its modes deletes, and no rules are kept for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mode = self.fields["mode"]
        assert isinstance(mode, forms.ChoiceField)
        mode.choices = [one for one in Mode.choices if one[0] != Mode.SYNC]
        mode.help_text = ""
        self.fields["policy"].initial = Policy.GOOD_ROWS

    def clean_policy(self) -> str:
        return self.cleaned_data["policy"] or Policy.GOOD_ROWS


class ConfirmForm(forms.Form):
    """The decision: which preview was looked at, what happens to a file with bad rows, how many records may go."""

    seen = forms.IntegerField(widget=forms.HiddenInput)
    policy = forms.ChoiceField(
        label="The rejected rows", choices=Policy.choices, required=False, widget=UnfoldAdminRadioSelectWidget
    )
    deletes = forms.IntegerField(
        label="Records to delete",
        required=False,
        min_value=0,
        # Not "number": nobody agrees by a turn of the mouse's wheel.
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"invalid": "Type the number in digits."},
    )

    def __init__(self, *args: Any, job: ImportJob, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asks_deletes = bool(job.deleted_rows) and not job.is_undo
        self.agreed = job.deleted_rows
        if self.asks_deletes:
            self.fields["deletes"].help_text = (
                f"{count(job.deleted_rows, 'record')} of {job.dataset.title} would be deleted, because the file does"
                f" not have them. Type {job.deleted_rows} to delete them, or 0 to keep them."
            )

    def clean_deletes(self) -> int | None:
        """Return the number agreed to; None where nothing would be deleted.

        :raises ValidationError: it is another one than the preview's.
        """
        if not self.asks_deletes:
            return None
        typed: int | None = self.cleaned_data["deletes"]
        if typed in (0, self.agreed):
            return typed
        said = "Nothing was typed" if typed is None else f"{typed:,} was typed"
        raise forms.ValidationError(
            f"{said}, but {count(self.agreed, 'record')} would be deleted. Look at them under Changes, then type"
            f" {self.agreed}; or type 0 to keep them all."
        )


class RulesForm(forms.Form):
    """What a dataset wants of every import."""

    policy = forms.ChoiceField(
        label="If rows are bad", choices=Policy.choices, widget=UnfoldAdminRadioSelectWidget
    )
    max_rejected_percent = forms.DecimalField(
        label="Most rejected rows, in percent",
        required=False,
        min_value=0,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="An import with a larger share of rejected rows cannot be confirmed. Empty: any share can.",
    )
    blank = forms.ChoiceField(
        label="Empty cells",
        choices=Blank.choices,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="For files to come; a column's own setting on the mapping page goes first.",
    )


class CorrectionsForm(forms.Form):
    """The file of rejected rows, corrected."""

    file = forms.FileField(
        label="Corrected file of rejected rows",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
        error_messages={
            "required": "Choose the file of rejected rows that you corrected.",
            "empty": "The file is empty. Choose the file of rejected rows that you corrected.",
        },
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)
