"""The forms of the pages that make a dataset of a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from datasets.columntypes import TYPES
from datasets.rules import MAX_COLUMNS, MAX_LABEL, MAX_TITLE, NewColumn, clean_label
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions

INPUT = {"class": "ds-input"}


class ProposalForm(forms.Form):
    """The file."""

    file = forms.FileField(
        label="CSV or Excel file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
        help_text="All of its rows are read, and nothing is made before you have looked at the columns.",
        error_messages={"empty": "The file is empty. Choose a file with a header and rows."},
    )


class MakeForm(forms.Form):
    """What the dataset is called, and whether the file goes into it."""

    title = forms.CharField(max_length=MAX_TITLE, widget=UnfoldAdminTextInputWidget())
    import_file = forms.BooleanField(
        label="Then import this file into it",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="With a preview first, as always.",
    )


class ProposedColumnForm(forms.Form):
    """One column of the file, as it will be made."""

    take = forms.BooleanField(required=False)
    label = forms.CharField(max_length=MAX_LABEL, widget=forms.TextInput(INPUT))
    type = forms.ChoiceField(
        choices=lambda: [(name, kind.title) for name, kind in TYPES.items()], widget=forms.Select(INPUT)
    )
    is_key = forms.BooleanField(required=False)
    is_required = forms.BooleanField(required=False)
    precision = forms.IntegerField(required=False, min_value=1, widget=forms.NumberInput(INPUT))
    scale = forms.IntegerField(required=False, min_value=0, widget=forms.NumberInput(INPUT))
    choices = forms.CharField(required=False, widget=forms.Textarea({**INPUT, "rows": 3}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        what = self.initial.get("label", "")
        for name, words in _WORDS.items():
            self.fields[name].widget.attrs["aria-label"] = f"{words} “{what}”"

    def clean_label(self) -> str:
        return clean_label(self.cleaned_data["label"])

    def column(self) -> NewColumn:
        """Return the column; the form must be valid."""
        data = self.cleaned_data
        options = ColumnOptions()
        if data["type"] == "decimal":
            options = ColumnOptions(precision=data["precision"], scale=data["scale"])
        if data["type"] == "choice":
            lines = (line.strip() for line in data["choices"].splitlines())
            options = ColumnOptions(choices=tuple(filter(None, lines)))
        return NewColumn(data["label"], data["type"], data["is_required"], False, options)


_WORDS = {
    "take": "Take",
    "label": "Label of",
    "type": "Type of",
    "is_key": "Key:",
    "is_required": "Required:",
    "precision": "Digits of",
    "scale": "Digits after the point of",
    "choices": "Choices of, one per line:",
}


class _Columns(forms.BaseFormSet):  # type: ignore[type-arg]
    def clean(self) -> None:
        if any(self.errors):
            return
        try:
            checked_definition(title="any", columns=self.columns(), key=self.key())
        except InvalidDefinition as error:
            raise ValidationError(error.message) from error

    def _taken(self) -> list[ProposedColumnForm]:
        return [form for form in self.forms if form.cleaned_data.get("take")]

    def columns(self) -> list[NewColumn]:
        """Return the columns to make, in order."""
        return [form.column() for form in self._taken()]

    def key(self) -> list[str]:
        """Return the labels of the key columns, in order."""
        return [form.cleaned_data["label"] for form in self._taken() if form.cleaned_data["is_key"]]


ColumnsForm = forms.formset_factory(
    ProposedColumnForm, formset=_Columns, extra=0, max_num=MAX_COLUMNS, absolute_max=MAX_COLUMNS
)


def initial_of(column: dict[str, Any]) -> dict[str, Any]:
    """Return what the form of a proposed column begins with."""
    names = ("label", "type", "is_key", "is_required", "precision", "scale")
    return {"take": True, "choices": "\n".join(column["choices"]), **{name: column[name] for name in names}}
