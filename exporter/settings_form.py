"""The form of export settings: a tenant's, or a dataset's own with the choice of its columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.http import QueryDict
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from datasets.models import Dataset
from datasets.spec import ColumnSpec
from exporter.form import ENCODINGS
from exporter.models import Content, Destination, Every, ExportSettings, Format, Mode
from exporter.naming import DEFAULT_PATTERN, TOKENS
from exporter.schedules import OF_A_ZONE, zones
from exporter.settings_rules import DEFAULTS, DELIMITED, DELIMITER_WORDS, WITH_MODES
from exporter.settings_service import mark_of, values_of

MEGABYTE = 1_000_000
# For which value of which other field a field means anything: the page hides it otherwise.
SHOWN_FOR = {
    "cron": ("every", ("CRON",)),
    "time_zone": ("every", OF_A_ZONE),
    "full_after": ("content", ("INCREMENTAL",)),
    "mode": ("format", WITH_MODES),
    "delimiter": ("format", DELIMITED),
    "null_word": ("format", DELIMITED),
    "encoding": ("format", DELIMITED),
}
# In two stacks beside each other, so that a field that comes and goes moves no other group to another place.
STACKS = (
    (
        ("When", ("every", "cron", "time_zone")),
        ("What", ("content", "full_after")),
        ("File name", ("pattern",)),
        ("Where to", ("destination",)),
    ),
    (
        ("How", ("format", "mode", "delimiter", "null_word", "encoding")),
        ("How long", ("keep_days", "keep_count", "keep_megabytes", "keep_daily", "keep_monthly")),
    ),
)


def _choice(label: str, choices: Any, help_text: str = "") -> forms.ChoiceField:
    # Without scripts every field is shown; one that a form leaves out is as a new tenant has it.
    return forms.ChoiceField(
        label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget, help_text=help_text
    )


def _text(label: str, most: int, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=label, max_length=most, required=False, widget=UnfoldAdminTextInputWidget, help_text=help_text,
        strip=True,
    )  # fmt: skip


def _number(label: str, help_text: str = "", *, most: int = 2_000_000_000) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, widget=UnfoldAdminIntegerFieldWidget, help_text=help_text, min_value=0,
        max_value=most,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A column of the dataset as the page shows it: whether, where and as what it is in the file."""

    pk: int
    name: str
    is_chosen: bool
    position: int
    label: str


class SettingsForm(forms.Form):
    """All settings but the columns, and for a dataset these too."""

    every = _choice("How often", Every.choices)
    cron = _text("Cron times", 100, "Minute, hour, day, month, weekday: 0 2 * * 1-5 is 02:00 on weekdays.")
    time_zone = _choice("Time zone", (), "Of days, weeks and cron times.")
    content = _choice("Records", Content.choices)
    full_after = _number(
        "Every record again after", "So many files of changes, then one with every record.", most=10_000
    )
    format = _choice("Format", Format.choices)
    mode = _choice(
        "Cells", Mode.choices,
        "Exact is for programs. For spreadsheets, a text that looks like a formula gets an apostrophe, which an"
        " import takes off again.",
    )  # fmt: skip
    delimiter = _choice("Delimiter", DELIMITER_WORDS.items())
    null_word = _text(
        "Word for no value", 20, "Empty: no value is an empty cell, and an empty text is two quotes."
    )
    encoding = _choice("Encoding", ENCODINGS.items())
    pattern = _text(
        "Pattern", 300,
        f"Empty: {DEFAULT_PATTERN}. It may hold {', '.join(f'{{{one}}}' for one in TOKENS)}.",
    )  # fmt: skip
    destination = forms.ModelChoiceField(
        label="Destination", queryset=Destination.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label="This platform's storage",
        help_text="Buckets of your own are entered under Export destinations.",
        error_messages={"invalid_choice": "This destination is not there any more. Choose another."},
    )  # fmt: skip
    keep_days = _number(
        "Days", "Files older than this are removed. Empty: as the platform is set; 0: no limit."
    )
    keep_count = _number(
        "Files", "Of each dataset, the newest so many. Empty: as the platform is set; 0: no limit."
    )
    keep_megabytes = _number("Megabytes", "Of each dataset, the newest up to so many. Empty or 0: no limit.")
    keep_daily = _number(
        "One per day, for", "So many days the last file of each stays, whatever the limits say."
    )
    keep_monthly = _number("One per month, for", "So many months the last file of each stays.")
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, dataset: Dataset | None, shown: ExportSettings | None, **kwargs: Any
    ) -> None:
        """Show settings; `shown` may be the tenant's for a dataset that has none of its own yet."""
        self.dataset = dataset
        self.columns_faults: list[str] = []
        self.columns: tuple[ColumnSpec, ...] = dataset.spec().columns if dataset else ()
        self.values = values_of(shown)
        of_row = (
            shown if shown is not None and shown.dataset_id == (dataset.pk if dataset else None) else None
        )
        initial = {
            **self.values,
            "keep_megabytes": _megabytes(self.values["keep_bytes"]),
            "seen": mark_of(of_row),
        }
        kwargs["initial"] = initial
        super().__init__(*args, **kwargs)
        zone, to = self.fields["time_zone"], self.fields["destination"]
        assert isinstance(zone, forms.ChoiceField) and isinstance(to, forms.ModelChoiceField)
        zone.choices = [(one, one) for one in zones()]
        to.queryset = Destination.objects.all()
        for name, (other, values) in SHOWN_FOR.items():
            self.fields[name].widget.attrs |= {"data-of": other, "data-for": " ".join(values)}

    def stacks(self) -> list[list[tuple[str, list[forms.BoundField]]]]:
        """Return the fields in their groups, and these in their stacks."""
        return [[(title, [self[name] for name in names]) for title, names in groups] for groups in STACKS]

    def lines(self) -> list[ColumnLine]:
        """Return every column of the dataset: those of the file in its order, then the others."""
        chosen = self._sent() if self.is_bound else self._stored()
        places = {one["column"]: (number, one["label"]) for number, one in enumerate(chosen, 1)}
        lines = [
            ColumnLine(one.pk, one.label, one.pk in places, *places.get(one.pk, (len(places) + number, "")))
            for number, one in enumerate(self.columns, 1)
        ]
        return sorted(lines, key=lambda line: (not line.is_chosen, line.position))

    def has_own_columns(self) -> bool:
        """Return whether columns are chosen, rather than all as the definition has them."""
        if self.is_bound:
            return self.data.get("columns_are") == "own"
        return bool(self.values["columns"])

    def wanted(self) -> dict[str, Any]:
        """Return the settings as the service takes them, of a form that is valid."""
        given = {name: self.cleaned_data.get(name) for name in DEFAULTS if name in self.fields}
        values = {name: value for name, value in given.items() if value not in (None, "")}
        size, kept = self.cleaned_data.get("keep_megabytes"), self.values["keep_bytes"]
        if size == _megabytes(kept):
            values["keep_bytes"] = kept  # to the byte, as a command has set it
        else:
            values["keep_bytes"] = None if size is None else size * MEGABYTE
        values["columns"] = self._sent() if self.has_own_columns() else []
        return values

    def _stored(self) -> list[dict[str, Any]]:
        stored = self.values["columns"] or [{"column": one.pk, "label": ""} for one in self.columns]
        return [{"column": one["column"], "label": one.get("label", "")} for one in stored]

    def _sent(self) -> list[dict[str, Any]]:
        """Return the columns ticked on the page, in the order of their numbers."""
        found = []
        for at, pk in enumerate(_whole(cast("QueryDict", self.data).getlist("column"))):
            number = str(self.data.get(f"position_{pk}", ""))
            place = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 0
            found.append((place, at, pk))
        return [
            {"column": pk, "label": str(self.data.get(f"label_{pk}", "")).strip()}
            for _, _, pk in sorted(found)
        ]

    def show_faults(self, faults: dict[str, str]) -> None:
        """Put the sentences of a refusal beside their fields."""
        for name, said in faults.items():
            if name == "columns":
                self.columns_faults.append(said)
                continue
            field = "keep_megabytes" if name == "keep_bytes" else name
            self.add_error(field if field in self.fields else None, said)


def _megabytes(size: int | None) -> int | None:
    return None if size is None else -(-size // MEGABYTE)


def _whole(texts: Iterable[str]) -> list[int]:
    return [int(one) for one in texts if one.isascii() and one.isdigit() and len(one) <= 18]
