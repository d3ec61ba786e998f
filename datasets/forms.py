"""Forms of datasets and of records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from datasets import references
from datasets.check_lines import BadLine, checks_of
from datasets.check_lines import text_of as lines_of
from datasets.checks import CODE, broken
from datasets.columntypes import TYPES, check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.multi_choice import SEPARATOR, parts_of
from datasets.lookup import text_of
from datasets.models import Column, Dataset
from datasets.rows import RowBase
from datasets.rules import NewCheck, NewColumn, check_problems, clean_label
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec, Target

CANONICAL = Reading()
ITSELF = "."  # no slug


class CellField(forms.Field):
    """One cell of a record: the same grammar and the same messages as a cell of a file."""

    def __init__(self, column: ColumnSpec, keys: KeysWidget | None = None) -> None:
        """:param keys: what a reference is chosen with by those who may view what it points to; others type its key."""
        default = column.options.default
        super().__init__(
            required=column.is_required,
            label=column.label,
            widget=keys or _widget(column),
            initial=None if default is None else type_of(column).to_python(default),
        )
        self.column = column
        if column.options.target is not None and keys is None:
            self.help_text = (
                f"The {column.options.target.label} of a record of “{column.options.target.title}”."
            )

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
    if column.value_type == "date":
        return widgets.UnfoldAdminSingleDateWidget(attrs={"placeholder": "2026-12-31"})
    return widgets.UnfoldAdminTextInputWidget(attrs=_ATTRIBUTES.get(column.value_type))


class KeysWidget(widgets.UnfoldAdminAutocompleteWidget):
    """Chooses a record of another dataset; its options come page by page from `url`."""

    def __init__(self, target: DatasetSpec, url: str) -> None:
        super().__init__(attrs={"data-ajax--url": url, "data-minimum-input-length": "0"})
        self.target = target

    def optgroups(self, name: str, value: list[str], attrs: dict[str, Any] | None = None) -> Any:
        """Give the only option that is there from the beginning: what is chosen."""
        chosen = [one for one in value if one]
        self.choices = [(one, text_of(self.target, one)) for one in chosen] or [("", "")]
        return super().optgroups(name, value, attrs)


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
        self._check_references(cleaned)
        self._add_broken_checks(cleaned)
        return cleaned

    def _check_references(self, cleaned: dict[str, Any]) -> None:
        """Say of a changed reference that no record has its key. Its own new key is one a record may name."""
        spec = self.instance.spec
        for column, target in spec.references:
            value = cleaned.get(column.name)
            if value is None or column.name not in self.changed_data:
                continue
            is_own = target.dataset == spec.pk and value == cleaned.get(target.name)
            if not is_own and not references.exists(target, value):
                self.add_error(
                    column.name, ValidationError(references.missing_rule(target), code="foreign-key")
                )

    def _add_broken_checks(self, cleaned: dict[str, Any]) -> None:
        """Tell of each check that the record would not meet, unless a column of it is wrong by itself."""
        spec = self.instance.spec
        values = {column.name: getattr(self.instance, column.name) for column in spec.columns} | cleaned
        wrong = {column.label for column in spec.columns if column.name in self.errors}
        for one in broken(spec, values):
            if not wrong.intersection(one.labels):
                self.add_error(None, ValidationError(one.rule, code=CODE))


OUTDATED = "outdated"
MOST_DIGITS = 18  # of a version


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
            self.initial["check_lines"] = lines_of(self.instance.spec())

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

    @property
    def seen(self) -> int:
        """The version of the definition the page showed; without one no version fits."""
        given = str(self.data.get("seen", ""))
        return int(given) if given.isascii() and given.isdigit() and len(given) < MOST_DIGITS else 0

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        now = Dataset.objects.filter(pk=self.instance.pk).first() if self.instance.pk else None
        if now is not None and now.definition_version != self.seen:
            raise ValidationError(
                f"Somebody changed this definition since you opened it: it has version {now.definition_version},"
                f" its title is “{now.title}”. Nothing was saved. What you typed still stands below: look at"
                " “History”, then save it if it is still right.",
                code=OUTDATED,
            )
        return cleaned

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

    region = forms.CharField(required=False, max_length=2, widget=widgets.UnfoldAdminTextInputWidget())
    target = forms.ChoiceField(
        required=False,
        label="refers to",
        choices=lambda: _targets(),
        widget=widgets.UnfoldAdminSelectWidget(),
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Where the forms are rows of a table, its head says what they are: to eyes only.
        for name, field in self.fields.items():
            field.widget.attrs.setdefault("aria-label", str(field.label or name))

    def clean_label(self) -> str:
        return clean_label(self.cleaned_data["label"])

    def column(self) -> NewColumn:
        """Return what the row of the form says; the form must be valid."""
        data = self.cleaned_data
        kind = data["type"]
        if kind == "reference":
            chosen = data["target"]
            options = (
                ColumnOptions(target=Target("" if chosen == ITSELF else chosen))
                if chosen
                else ColumnOptions()
            )
            return NewColumn(data["label"], kind, data["is_required"], data["is_unique"], options)
        lines = data["choices"].splitlines() if kind in ("choice", "multi_choice") else []
        options = ColumnOptions(
            precision=data["precision"] if kind == "decimal" else None,
            scale=data["scale"] if kind == "decimal" else None,
            choices=tuple(filter(None, (line.strip() for line in lines))),
            region=data["region"].strip().upper() or None if kind == "phone" else None,
            minimum=data["minimum"] or None,
            maximum=data["maximum"] or None,
            min_length=data["min_length"],
            max_length=data["max_length"],
            pattern=data["pattern"] or None,
            default=data["default"] or None,
        )
        return NewColumn(data["label"], data["type"], data["is_required"], data["is_unique"], options)


def _targets() -> list[tuple[str, str]]:
    """Return the datasets a reference may point to: those with a key of one column, and the one being defined."""
    keyed = [(one.slug, one.title) for one in Dataset.objects.order_by("title", "pk") if len(one.key) == 1]
    return [("", "No dataset"), (ITSELF, "This dataset"), *keyed]


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
            columns = references.resolved(self.columns(), self.key())
            checked_definition(title="any", columns=columns, key=self.key(), checks=self.checks())
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
