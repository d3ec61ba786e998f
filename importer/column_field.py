"""The field in which a person names a column: a list to choose from, or a text where the list would be long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from datasets.spec import ColumnSpec

# A page has two lists for each label: with more columns than this it would hold little else.
MOST_OPTIONS = 60
COLUMNS_LIST = "im-columns"


class ColumnField(forms.CharField):
    """A column by its label, which the browser completes from a list that stands once on the page.

    Its value is the physical name, as that of a list to choose from.
    """

    def __init__(self, columns: Sequence[ColumnSpec], **kwargs: Any) -> None:
        attrs = {"list": COLUMNS_LIST, "autocomplete": "off"}
        super().__init__(widget=UnfoldAdminTextInputWidget(attrs=attrs), **kwargs)
        self.columns = columns

    def to_python(self, value: Any) -> str:
        """Return the name of the column with this label; letters may be small or large where that is no doubt."""
        label = str(value or "").strip()
        if not label:
            return ""
        exact = [column.name for column in self.columns if column.label == label]
        like = [column.name for column in self.columns if column.label.casefold() == label.casefold()]
        for found in (exact, like):
            if len(found) == 1:
                return found[0]
        shown = label if len(label) <= 100 else f"{label[:99]}…"
        raise forms.ValidationError(
            f"The dataset has no column “{shown}”. Choose one of the list, or empty this."
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        if data == self.prepare_value(initial):  # most are as they were: no need to look for them
            return False
        return super().has_changed(initial, data)

    def prepare_value(self, value: Any) -> Any:
        return next((column.label for column in self.columns if column.name == value), value)


def column_field(
    label: str, empty: str, columns: Sequence[ColumnSpec], key: Sequence[str]
) -> forms.ChoiceField | ColumnField:
    """Return the field for a column; `empty` says what it means to choose none."""
    if len(columns) > MOST_OPTIONS:
        field = ColumnField(columns, label=label, required=False)
        field.widget.attrs["placeholder"] = empty
        return field
    choices = [("", empty), *((column.name, title(column, key)) for column in columns)]
    return forms.ChoiceField(label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget)


def title(column: ColumnSpec, key: Sequence[str]) -> str:
    """Return a column's name with what a mapping must know of it."""
    if column.name in key:
        return f"{column.label} (key)"
    return f"{column.label} (required)" if column.must_be_given else column.label
