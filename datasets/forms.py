"""Forms of datasets and of records."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from datasets.columntypes import TYPES, check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.multi_choice import SEPARATOR, parts_of
from datasets.models import Column
from datasets.rows import RowBase
from datasets.rules import NewColumn, clean_label
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions, ColumnSpec

CANONICAL = Reading()


class CellField(forms.Field):
    """One cell of a record: the same grammar and the same messages as a cell of a file."""

    def __init__(self, column: ColumnSpec) -> None:
        super().__init__(required=column.is_required, label=column.label, widget=_widget(column))
        self.column = column

    def prepare_value(self, value: Any) -> Any:
        """Return the canonical text of a stored value; what a person typed stays as it is."""
        if value is None or isinstance(value, str):
            return value
        return type_of(self.column).to_text(value)

    def clean(self, value: Any) -> Any:
        """Return the Python value, or None for no value.

        :raises ValidationError: the column cannot hold it; the message is the column type's.
        """
        raw = None if value in (None, "") else _lines(str(value))
        try:
            canonical = check_cell(raw, self.column, CANONICAL)
        except BadValue as error:
            raise ValidationError(error.rule, code=error.code) from error
        return None if canonical is None else type_of(self.column).to_python(canonical)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether a person changed the cell: an empty text and no value look the same to them."""
        return _lines(str(self.prepare_value(initial) or "")) != _lines(str(data or ""))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")  # browsers send CRLF, whatever the value had


# A keyboard that fits, but no check of the browser's: what a cell may hold, the column's grammar says alone.
_ATTRIBUTES = {
    "timestamp": {"placeholder": "2026-12-31T23:59:00Z"},
    "time": {"placeholder": "14:00:00"},
    "email": {"inputmode": "email", "placeholder": "name@example.org"},
    "url": {"inputmode": "url", "placeholder": "https://example.org"},
    "phone": {"inputmode": "tel", "placeholder": "+49 30 123456"},
    "uuid": {"placeholder": "123e4567-e89b-12d3-a456-426614174000"},
}
MOST_BOXES = 12  # choices: more are a list of their own


class _Several:
    """A widget of several choices that takes and gives the text of a cell."""

    def format_value(self, value: Any) -> list[str]:
        return parts_of(value) if isinstance(value, str) and value else []

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        given = data.getlist(name) if hasattr(data, "getlist") else data.get(name) or []
        return SEPARATOR.join([given] if isinstance(given, str) else filter(None, given))


class ChoiceBoxes(_Several, widgets.UnfoldAdminCheckboxSelectMultipleWidget):
    """Boxes to tick."""


class ChoiceList(_Several, widgets.UnfoldAdminSelectMultipleWidget):
    """A list to choose several of."""


def _widget(column: ColumnSpec) -> Any:
    if column.type == "boolean":
        return widgets.UnfoldAdminSelectWidget(choices=[("", "No value"), ("true", "Yes"), ("false", "No")])
    if column.type == "choice":
        choices = [(choice, choice) for choice in column.options.choices]
        return widgets.UnfoldAdminSelectWidget(choices=[("", "No value"), *choices])
    if column.type == "multi_choice":
        widget = ChoiceBoxes if len(column.options.choices) <= MOST_BOXES else ChoiceList
        return widget(choices=[(choice, choice) for choice in column.options.choices])
    if column.type in ("long_text", "json"):
        return widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5} if column.type == "json" else None)
    if column.type == "date":
        return widgets.UnfoldAdminSingleDateWidget(attrs={"placeholder": "2026-12-31"})
    return widgets.UnfoldAdminTextInputWidget(attrs=_ATTRIBUTES.get(column.type))


class RecordForm(forms.ModelForm):  # type: ignore[type-arg]
    """A record. What nobody touched keeps its very value."""

    instance: RowBase

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            # A one-line input would drop the line breaks of a value that has some.
            if isinstance(field.widget, forms.TextInput) and "\n" in str(self.initial.get(name) or ""):
                field.widget = widgets.UnfoldAdminTextareaWidget()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in set(cleaned) - set(self.changed_data):
            if not self.instance._state.adding:
                cleaned[name] = getattr(self.instance, name)
        return cleaned


class NewColumnForm(forms.ModelForm):  # type: ignore[type-arg]
    """One column of a dataset that is being defined."""

    type = forms.ChoiceField(
        choices=lambda: [(name, kind.title) for name, kind in TYPES.items()],
        widget=widgets.UnfoldAdminSelectWidget(),
        initial="text",
    )
    is_key = forms.BooleanField(required=False, label="key", widget=widgets.UnfoldBooleanWidget())
    precision = forms.IntegerField(
        required=False, label="digits", widget=widgets.UnfoldAdminIntegerFieldWidget(attrs={"min": 1})
    )
    scale = forms.IntegerField(
        required=False,
        label="after the point",
        widget=widgets.UnfoldAdminIntegerFieldWidget(attrs={"min": 0}),
    )
    choices = forms.CharField(
        required=False,
        label="choices, one per line",
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    region = forms.CharField(required=False, max_length=2, widget=widgets.UnfoldAdminTextInputWidget())

    class Meta:
        model = Column
        fields = ("label", "type", "is_required", "is_unique")

    def clean_label(self) -> str:
        return clean_label(self.cleaned_data["label"])

    def column(self) -> NewColumn:
        """Return what the row of the form says; the form must be valid."""
        data = self.cleaned_data
        options = ColumnOptions()
        if data["type"] == "decimal":
            options = ColumnOptions(precision=data["precision"], scale=data["scale"])
        if data["type"] == "phone":
            options = ColumnOptions(region=data["region"].strip().upper() or None)
        if data["type"] in ("choice", "multi_choice"):
            lines = (line.strip() for line in data["choices"].splitlines())
            options = ColumnOptions(choices=tuple(filter(None, lines)))
        return NewColumn(data["label"], data["type"], data["is_required"], data["is_unique"], options)


class NewColumnFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """The columns of a dataset that is being defined."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        try:
            checked_definition(title="any", columns=self.columns(), key=self.key())
        except InvalidDefinition as error:
            raise ValidationError(error.message) from error

    def filled(self) -> list[NewColumnForm]:
        """Return the rows a person filled in and did not strike out."""
        forms: list[Any] = self.forms
        return [form for form in forms if form.has_changed() and not form.cleaned_data.get("DELETE", False)]

    def columns(self) -> list[NewColumn]:
        """Return the columns, in order."""
        return [form.column() for form in self.filled()]

    def key(self) -> list[str]:
        """Return the labels of the key columns, in order."""
        return [form.cleaned_data["label"] for form in self.filled() if form.cleaned_data["is_key"]]
