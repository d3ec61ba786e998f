"""Forms of a change: another type or other rules of a column, another key, and the decision."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from datasets.change_models import Change, OnFailure
from datasets.changing import why_not_emptiable
from datasets.columntypes import TYPES
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec

KEY_PLACES = 8
# Options whose names say too little; others are called by their names.
LABELS = {
    "precision": "digits in all",
    "scale": "digits after the point",
    "choices": "choices, one per line",
    "minimum": "smallest value",
    "maximum": "largest value",
    "max_length": "most characters",
}
# To what an option of the former type means nothing, and goes without a word.
APPLIES = {
    "precision": ("decimal",),
    "scale": ("decimal",),
    "choices": ("choice", "multi_choice"),
    "minimum": ("integer", "decimal", "date", "time", "timestamp"),
    "maximum": ("integer", "decimal", "date", "time", "timestamp"),
    "max_length": ("text", "long_text"),
}


class ColumnChangeForm(forms.Form):
    """What a column is to be. Every option there is has a field, so that a new one needs none here."""

    type = forms.ChoiceField(
        choices=lambda: [(name, kind.title) for name, kind in TYPES.items()],
        widget=widgets.UnfoldAdminSelectWidget(),
        help_text="Values convert as their text would be read from a file.",
    )
    is_required = forms.BooleanField(
        required=False, label="Required: every record must hold a value", widget=widgets.UnfoldBooleanWidget()
    )
    is_unique = forms.BooleanField(
        required=False, label="Unique: no two records hold the same", widget=widgets.UnfoldBooleanWidget()
    )

    def __init__(self, data: Any = None, *, column: ColumnSpec) -> None:
        self.column = column
        initial = {
            "type": column.type, "is_required": column.is_required, "is_unique": column.is_unique,
            **{f"option_{name}": _shown(getattr(column.options, name)) for name in _options()},
        }  # fmt: skip
        super().__init__(data, initial=initial)
        for name, annotation in _options().items():
            field: Any = _field(annotation, LABELS.get(name, name.replace("_", " ")).capitalize())
            field.applies = " ".join(APPLIES.get(name, ()))  # the page hides it for other types
            self.fields[f"option_{name}"] = field

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.has_changed():
            raise ValidationError("Nothing is different yet: choose another type or rule.")
        return cleaned

    def wanted(self) -> dict[str, Any]:
        """Return the arguments of `propose_change`; the form must be valid."""
        data = self.cleaned_data
        stated: dict[str, Any] = {}
        for name in _options():
            field = f"option_{name}"
            value = data.get(field)
            is_leftover = data["type"] != self.column.type and field not in self.changed_data
            if value in (None, "") or (is_leftover and data["type"] not in APPLIES.get(name, TYPES)):
                continue
            lines = str(value).splitlines() if name == "choices" else ()
            stated[name] = tuple(filter(None, map(str.strip, lines))) if name == "choices" else value
        return {
            "type": data["type"],
            "is_required": data["is_required"],
            "is_unique": data["is_unique"],
            "options": ColumnOptions(**stated),
        }


def _options() -> dict[str, str]:
    """Return the options a form can ask for, with their annotations."""
    simple = ("int | None", "str | None", "tuple[str, ...]")
    return {
        one.name: str(one.type)
        for one in fields(ColumnOptions)
        if str(one.type) in simple and one.default is not MISSING
    }


def _field(annotation: str, label: str) -> forms.Field:
    if annotation == "int | None":
        return forms.IntegerField(
            required=False, label=label, min_value=0, widget=widgets.UnfoldAdminIntegerFieldWidget()
        )
    if annotation == "str | None":
        return forms.CharField(required=False, label=label, widget=widgets.UnfoldAdminTextInputWidget())
    return forms.CharField(
        required=False, label=label, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4})
    )


def _shown(value: object) -> object:
    return "\n".join(value) if isinstance(value, tuple) else value


class KeyChangeForm(forms.Form):
    """The columns of the key, in its order."""

    def __init__(self, data: Any = None, *, spec: DatasetSpec) -> None:
        super().__init__(data)
        choices = [("", "none"), *((column.label, column.label) for column in spec.columns)]
        now = [column.label for column in spec.key_columns]
        for place in range(max(KEY_PLACES, len(now) + 2)):
            self.fields[f"part_{place}"] = forms.ChoiceField(
                required=False,
                choices=choices,
                label=f"Part {place + 1}",
                initial=now[place] if place < len(now) else "",
                widget=widgets.UnfoldAdminSelectWidget(),
            )

    def key(self) -> list[str]:
        """Return the labels of the key, in its order; the form must be valid."""
        return [label for name in self.fields if (label := self.cleaned_data[name])]


class DecisionForm(forms.Form):
    """What becomes of records that fail."""

    on_failure = forms.ChoiceField(
        label="Records that fail", widget=widgets.UnfoldAdminRadioSelectWidget(), choices=OnFailure.choices
    )

    def __init__(self, data: Any = None, *, change: Change) -> None:
        super().__init__(data, initial={"on_failure": OnFailure.STOP})
        if why_not_emptiable(change):
            field: Any = self.fields["on_failure"]
            field.choices = [OnFailure.choices[0]]
