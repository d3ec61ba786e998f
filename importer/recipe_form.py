"""The form of one label: its column, and how its cells are changed and read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from importer import mapping
from importer.mapping import Match
from importer.models import Blank
from importer.recipe_texts import BadText, read_values, read_words, write_values, write_words
from importer.recipes import Recipe

if TYPE_CHECKING:
    from importer.mapping_forms import MappingForm

CASES = (("", "as it is"), ("upper", "UPPER"), ("lower", "lower"), ("title", "Title"))
DECIMAL_MARKS = ((".", "point: 1.5"), (",", "comma: 1,5"))
GROUP_MARKS = (
    ("", "none: 1500"), (",", "comma: 1,500"), (".", "point: 1.500"), (" ", "space: 1 500"), ("'", "apostrophe: 1'500"),
)  # fmt: skip
ALIKE = {"\u00a0": " ", "\u202f": " ", "\u2019": "'"}  # marks that are read as one another
DATE_ORDERS = (("YMD", "2026-12-31 only"), ("DMY", "31/12/2026"), ("MDY", "12/31/2026"))
BLANKS = (("", "as the dataset's import rules say"), *Blank.choices)
WORDS = ("null_words", "true_words", "false_words")
MARKS = ("decimal_mark", "group_mark", "date_order")
STEPS = ("split", "part", "separator", "trim", "case", "default", "blank")
JOINS = 2


def _text(label: str, help_text: str = "", **attrs: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs=attrs)
    return forms.CharField(label=label, required=False, strip=False, widget=widget, help_text=help_text)


def _select(label: str, choices: Sequence[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget)


def _recipe_fields() -> dict[str, forms.Field]:
    return {
        "split": _text("Split at", "A comma, a space, …"),
        "part": forms.IntegerField(
            label="Part", required=False, widget=UnfoldAdminIntegerFieldWidget,
            help_text="1 is the first, -1 the last.",
        ),
        "separator": _text("With between"),
        "trim": forms.BooleanField(
            label="Trim white space around", required=False, widget=UnfoldBooleanSwitchWidget
        ),
        "case": _select("Letters", CASES),
        "values": forms.CharField(
            label="Replace whole values", required=False, strip=False,
            widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            help_text="One to a line: ja => true. Nothing behind the arrow: an empty cell.",
        ),
        "default": _text("Empty cells become"),
        "blank": _select("A cell that stays empty", BLANKS),
        "decimal_mark": _select("Decimal mark", DECIMAL_MARKS),
        "group_mark": _select("Mark between thousands", GROUP_MARKS),
        "date_order": _select("Dates with / or .", DATE_ORDERS),
        "null_words": _text("Words for no value", "With commas between: n/a, -"),
        "true_words": _text("Words for true", "Besides true, yes, 1"),
        "false_words": _text("Words for false", "Besides false, no, 0"),
    }  # fmt: skip


class RowForm(forms.Form):
    """A form whose fields are told from those of the other rows by the row's number behind the name."""

    def __init__(self, at: str) -> None:
        self.at = at
        super().__init__()

    def add_prefix(self, field_name: str) -> str:
        return f"{field_name}_{self.at}"

    def field_of(self, name: str) -> str:
        """Return the field that a fault is shown at."""
        return name if name in self.fields else "column"

    def fill_in(self, data: Mapping[str, Any]) -> None:
        """Take what was sent of this row. What was not sent was not on the page, and stays as it is."""
        filled: dict[str, Any] = {}
        for name, field in self.fields.items():
            sent = self.add_prefix(name)
            if sent in data:
                filled[sent] = data[sent]
            elif not self.is_unticked(name, data):
                filled[sent] = field.prepare_value(self.initial.get(name, ""))
        self.data, self.is_bound = filled, True

    def is_unticked(self, name: str, data: Mapping[str, Any]) -> bool:
        """Return whether a field is a box that was on the page and came without its tick."""
        return False

    def again(self) -> list[forms.BoundField]:
        """Return the fields that another page of the mapping must send again to keep what was filled in."""
        return [self[name] for name in self.fields] if self.is_bound and self.has_changed() else []


class LabelForm(RowForm):
    """One label, or a further column of one."""

    def __init__(self, *, at: int, match: Match, form: MappingForm, is_further: bool, is_doubt: bool) -> None:
        super().__init__(str(at))
        self.match, self.form, self.is_further, self.is_doubt = match, form, is_further, is_doubt
        self.columns = form.columns
        skip = "nothing: take it away" if is_further else "skip"
        self.fields["column"] = form.column_field(match.label, skip)
        self.fields["column"].widget.attrs["aria-label"] = f"Column for {match.label}"
        self.initial = {"column": match.column or ""}
        self._add_recipe()

    def _add_recipe(self) -> None:
        recipe, reading = self.match.recipe, self.match.reading
        names = self.form.names
        self.fields["more"] = forms.CharField(required=False, widget=forms.HiddenInput)
        joins = min(max(JOINS, len(recipe.joined) + 1), mapping.MOST_JOINED)
        for number in range(1, joins + 1):
            self.fields[f"join_{number}"] = _text("Then join" if number == 1 else "and", list="im-labels")
        self.fields |= _recipe_fields()
        if not self.is_further:
            self.fields["also"] = self.form.column_field("Also fill, with the next part", "no other column")
        self.initial = {
            **self.initial,
            "more": "1",
            **{name: getattr(recipe, name) for name in STEPS},
            **{name: getattr(reading, name) for name in MARKS},
            **{name: write_words(getattr(reading, name)) for name in WORDS},
            **{
                f"join_{n}": names[at]
                for n, at in enumerate(recipe.joined[:joins], start=1)
                if at < len(names)
            },
            "group_mark": ALIKE.get(reading.group_mark, reading.group_mark),
            "values": write_values(recipe.values),
            "default": recipe.default or "",
        }

    def is_unticked(self, name: str, data: Mapping[str, Any]) -> bool:
        return name == "trim" and (self.add_prefix("more") in data or not self.match.recipe.trim)

    def again(self) -> list[forms.BoundField]:
        if not self.is_bound or not (self.changed_data or self.is_doubt):
            return []
        names = {"column", *self.changed_data} - {"trim"}
        if set(self.changed_data) - {"column"}:
            names |= {"more", "trim"} if self.add_prefix("trim") in self.data else {"more"}
        return [self[name] for name in self.fields if name in names]

    @property
    def column(self) -> str | None:
        """The column the label goes to, as far as that can be told."""
        if not self.is_bound:
            return self.match.column
        found = None if self.errors.get("column") else self.cleaned_data.get("column")
        return found or None

    @property
    def is_changed(self) -> bool:
        """Whether anything is done to the label's cells: then its details stand open."""
        is_said = self.is_bound and bool(set(self.changed_data) - {"column"})
        return is_said or self.match.recipe != Recipe() or bool(self.errors)

    def field_of(self, name: str) -> str:
        return super().field_of("join_1" if name == "joined" else name)

    def clean(self) -> dict[str, Any]:
        for name, read in (("values", read_values), *((name, read_words) for name in WORDS)):
            if self.cleaned_data.get(name):
                try:
                    self.cleaned_data[name] = read(self.cleaned_data[name])
                except BadText as error:
                    self.add_error(name, str(error))
        positions = {name: at for at, name in enumerate(self.form.names)}
        for name in [name for name in self.fields if name.startswith("join_")]:
            if (label := self.cleaned_data.get(name)) and label not in positions:
                self.add_error(name, f"The file has no label “{label}”. Choose one of the list.")
            elif label:
                self.cleaned_data[name] = positions[label]
        return self.cleaned_data

    def made(self) -> Match:
        """Return the match as it was filled in."""
        if not self.is_bound:
            return self.match
        match, column = self.match, self.cleaned_data["column"] or None
        if column != match.column or (self.is_doubt and not self.is_further):
            match = mapping.rechosen(match, column, self.form.samples, self.columns)
        return self._with_recipe(match)

    def made_also(self) -> Match | None:
        """Return the match of the second column that this label shall fill, if one was chosen."""
        column = self.cleaned_data.get("also") if self.is_bound else None
        if not column:
            return None
        match = self.made()
        recipe = replace(match.recipe, part=match.recipe.part + 1 if match.recipe.split else 1)
        also = Match(match.position, match.label, column, "chosen", 100, recipe=recipe)
        return replace(also, reading=mapping.guessed_reading(also, self.form.samples, self.columns))

    def _with_recipe(self, match: Match) -> Match:
        changed, data = set(self.changed_data), self.cleaned_data
        steps: dict[str, Any] = {name: data[name] for name in STEPS if name in changed}
        if "part" in steps and steps["part"] is None:
            steps["part"] = 1
        if "default" in steps:
            steps["default"] = steps["default"] or None
        if "values" in changed:
            steps["values"] = tuple(data["values"])
        joins = [name for name in self.fields if name.startswith("join_")]
        if changed & set(joins):
            steps["joined"] = tuple(data[name] for name in joins if data[name] != "")
        read: dict[str, Any] = {name: data[name] for name in MARKS if name in changed}
        read |= {name: tuple(data[name] or ()) for name in WORDS if name in changed}
        if not steps and not read:
            return match
        match = replace(match, recipe=replace(match.recipe, **steps))
        if steps and match.column and not changed & set(MARKS):
            guessed = mapping.guessed_reading(match, self.form.samples, self.columns)
            if guessed != type(guessed)():
                read = {name: getattr(guessed, name) for name in MARKS} | read
        return replace(match, reading=replace(match.reading, **read))


class ConstantForm(RowForm):
    """A column that gets the same text in every row; without a match, the empty row for a further one."""

    def __init__(self, *, at: str, match: Match | None, form: MappingForm) -> None:
        super().__init__(at)
        self.match = match
        self.fields["column"] = form.column_field("Column", "no column")
        self.fields["constant"] = _text("Text in every row")
        if match is not None:
            self.initial = {"column": match.column or "", "constant": match.recipe.constant}

    def clean(self) -> dict[str, Any]:
        column, text = self.cleaned_data.get("column"), self.cleaned_data.get("constant")
        if text and not column:
            self.add_error("column", "Choose the column that this text goes to, or empty the text.")
        if column and not text:
            self.add_error("constant", "Say the text that every row gets, or choose no column.")
        return self.cleaned_data

    def made(self) -> Match | None:
        """Return the match as it was filled in; None where the row is empty."""
        if not self.is_bound:
            return self.match
        column, text = self.cleaned_data["column"], self.cleaned_data["constant"]
        if not column:
            return None
        if self.match is not None and (column, text) == (self.match.column, self.match.recipe.constant):
            return self.match
        old = self.match or Match(-1, "", column, "chosen", 100)
        return replace(old, column=column, reason="chosen", recipe=replace(old.recipe, constant=text))


def label_names(labels: Sequence[str]) -> list[str]:
    """Return the labels as a person can tell them apart: equal ones with their column's number.

    >>> label_names(["id", "name", "name"])
    ['id', 'name (column 2)', 'name (column 3)']
    """
    times = Counter(labels)
    return [
        f"{label} (column {at})" if times[label] > 1 else label for at, label in enumerate(labels, start=1)
    ]
