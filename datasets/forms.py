"""Forms of datasets and of records."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from datasets.columntypes import TYPES, check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
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


_TIMESTAMP = {"placeholder": "2026-12-31T23:59:00Z"}


def _widget(column: ColumnSpec) -> Any:
    if column.type == "boolean":
        return widgets.UnfoldAdminSelectWidget(choices=[("", "No value"), ("true", "Yes"), ("false", "No")])
    if column.type == "choice":
        choices = [(choice, choice) for choice in column.options.choices]
        return widgets.UnfoldAdminSelectWidget(choices=[("", "No value"), *choices])
    if column.type == "long_text":
        return widgets.UnfoldAdminTextareaWidget()
    if column.type == "date":
        return widgets.UnfoldAdminSingleDateWidget(attrs={"placeholder": "2026-12-31"})
    return widgets.UnfoldAdminTextInputWidget(attrs=_TIMESTAMP if column.type == "timestamp" else None)


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
        if data["type"] == "choice":
            lines = (line.strip() for line in data["choices"].splitlines())
            options = ColumnOptions(choices=tuple(filter(None, lines)))
        return NewColumn(data["label"], data["type"], data["is_required"], data["is_unique"], options)


class AddColumnForm(NewColumnForm):
    """One column that is added to a dataset; outside of a formset nobody dresses the plain fields."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if type(field.widget) is forms.TextInput:
                field.widget = widgets.UnfoldAdminTextInputWidget(attrs=field.widget.attrs)
            elif type(field.widget) is forms.CheckboxInput:
                field.widget = widgets.UnfoldBooleanWidget()
            if field.label:
                field.label = field.label[:1].upper() + field.label[1:]


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
