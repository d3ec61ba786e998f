"""Forms of datasets and of records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from datasets.check_lines import BadLine, checks_of, text_of
from datasets.checks import CODE, broken
from datasets.columntypes import TYPES, check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.models import Column, Dataset
from datasets.rows import RowBase
from datasets.rules import NewCheck, NewColumn, check_problems, clean_label
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions, ColumnSpec

CANONICAL = Reading()


class CellField(forms.Field):
    """One cell of a record: the same grammar and the same messages as a cell of a file."""

    def __init__(self, column: ColumnSpec) -> None:
        default = column.options.default
        initial = None if default is None else type_of(column).to_python(default)
        super().__init__(
            required=column.is_required, label=column.label, widget=_widget(column), initial=initial
        )
        self.column = column

    def take_default(self) -> None:
        """Let the cell be empty: a new record gets its column's default then."""
        self.required, self.column = False, replace(self.column, is_required=False)

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
            if self.instance._state.adding and isinstance(field, CellField) and field.column.options.default:
                field.take_default()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in set(cleaned) - set(self.changed_data):
            if not self.instance._state.adding:
                cleaned[name] = getattr(self.instance, name)
        if self.instance._state.adding:
            defaults = {
                one.name: one for one in self.instance.spec.columns if one.options.default is not None
            }
            for name in defaults.keys() & cleaned.keys():
                if cleaned[name] is None:
                    cleaned[name] = type_of(defaults[name]).to_python(defaults[name].options.default or "")
        self._add_broken_checks(cleaned)
        return cleaned

    def _add_broken_checks(self, cleaned: dict[str, Any]) -> None:
        """Tell of each check that the record would not meet, unless a column of it is wrong by itself."""
        spec = self.instance.spec
        values = {column.name: getattr(self.instance, column.name) for column in spec.columns} | cleaned
        wrong = {column.label for column in spec.columns if column.name in self.errors}
        for one in broken(spec, values):
            if not wrong.intersection(one.labels):
                self.add_error(None, ValidationError(one.rule, code=CODE))


class DatasetForm(forms.ModelForm):  # type: ignore[type-arg]
    """A dataset's title and its checks; the columns stand below it, in forms of their own."""

    check_lines = forms.CharField(
        required=False,
        label="Checks",
        strip=False,
        widget=widgets.UnfoldAdminTextareaWidget(
            attrs={
                "rows": 3,
                "placeholder": 'Dates in order: "Start date" <= "End date"  # The end comes first.',
            }
        ),
        help_text=(
            'One a line: a name, a colon, and what must hold in each record, with labels in "double quotes". After a #'
            " stands what to tell people. = <> < <= > >=, + - *, in ('a', 'b'), is empty, is not empty, length(…), and,"
            " or, not, if … then …. What has no value breaks no check."
        ),
    )

    class Meta:
        model = Dataset
        fields = ("title",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "check_lines" in self.fields:
            self.initial["check_lines"] = text_of(self.instance.spec())

    def clean_check_lines(self) -> str:
        text: str = self.cleaned_data["check_lines"]
        try:
            checks = checks_of(text)
        except BadLine as error:
            raise ValidationError(str(error)) from error
        # Those of a new dataset are read with its columns, by their forms.
        if self.instance.pk and (found := check_problems(checks, self.instance.spec().columns)):
            raise ValidationError(found)
        return text

    def checks(self) -> list[NewCheck]:
        """Return the checks; the form must be valid."""
        return checks_of(self.cleaned_data.get("check_lines", ""))


def _count(label: str) -> forms.IntegerField:
    widget = widgets.UnfoldAdminIntegerFieldWidget(attrs={"min": 0})
    return forms.IntegerField(required=False, min_value=0, label=label, widget=widget)


def _small(label: str, *, placeholder: str = "") -> forms.CharField:
    widget = widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder})
    return forms.CharField(required=False, label=label, widget=widget, strip=False)


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

    minimum = _small("smallest")
    maximum = _small("largest")
    min_length = _count("least characters")
    max_length = _count("most characters")
    pattern = _small("pattern", placeholder="[A-Z]{3}-[0-9]+")
    default = _small("default")

    class Meta:
        model = Column
        fields = ("label", "type", "is_required", "is_unique")

    def clean_label(self) -> str:
        return clean_label(self.cleaned_data["label"])

    def column(self) -> NewColumn:
        """Return what the row of the form says; the form must be valid."""
        data = self.cleaned_data
        is_decimal = data["type"] == "decimal"
        lines = data["choices"].splitlines() if data["type"] == "choice" else []
        options = ColumnOptions(
            precision=data["precision"] if is_decimal else None,
            scale=data["scale"] if is_decimal else None,
            choices=tuple(filter(None, (line.strip() for line in lines))),
            minimum=data["minimum"] or None,
            maximum=data["maximum"] or None,
            min_length=data["min_length"],
            max_length=data["max_length"],
            pattern=data["pattern"] or None,
            default=data["default"] or None,
        )
        return NewColumn(data["label"], data["type"], data["is_required"], data["is_unique"], options)


class NewColumnFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """The columns of a dataset that is being defined."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        try:
            checked_definition(title="any", columns=self.columns(), key=self.key(), checks=self.checks())
        except InvalidDefinition as error:
            raise ValidationError(error.message) from error

    def checks(self) -> list[NewCheck]:
        """Return the checks of the form above; none while its lines cannot be read, which it says itself."""
        try:
            return checks_of(str(self.data.get("check_lines", "")))
        except BadLine:
            return []

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
