"""The form of how a file is read."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from importer.choices import MAX_HEADER_ROWS
from importer.dialect import DELIMITERS, ENCODINGS
from importer.matching import OF_MAPPING
from importer.models import ImportJob
from importer.readers.footer import MAX_FOOTER_LINES

AS_DETECTED = ("", "as detected")
QUOTES = (AS_DETECTED, ('"', 'double: "'), ("'", "single: '"), ("none", "none"))
ESCAPES = (AS_DETECTED, ("none", 'doubled: ""'), ("\\", 'a backslash before it: \\"'))
SPACES = (AS_DETECTED, ("no", "are part of the cell"), ("yes", "are left out"))
SIGNS = (AS_DETECTED, ("yes", "is a sign, and left out"), ("no", "is part of the text"))
OF_CSV, OF_WORKBOOK = ("encoding", "delimiter", "quote", "escape", "skips_space"), ("sheet",)


def _number(label: str, least: int, most: int, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, min_value=least, max_value=most, help_text=help_text,
        widget=UnfoldAdminIntegerFieldWidget,
    )  # fmt: skip


def _select(label: str, choices: tuple[tuple[str, str], ...] = ()) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget)


class DialectForm(forms.Form):
    """How the file is read, where a person knows better than the guess."""

    encoding = _select("Encoding")
    delimiter = _select("Delimiter")
    quote = _select("Quote", QUOTES)
    escape = _select("A quote within quotes", ESCAPES)
    skips_space = _select("Spaces behind a delimiter", SPACES)
    sheet = _select("Sheet")
    header_row = _number("Header row", 0, 10_000, "0 means the file has no header. Empty: as detected.")
    header_rows = _number("Rows of the header", 1, MAX_HEADER_ROWS, "The last of them is the header row.")
    skip_footer = _number("Last lines to leave out", 0, MAX_FOOTER_LINES, "Notes or totals below the table.")

    drops_apostrophes = _select("An apostrophe before = + - @", SIGNS)

    def __init__(self, data: Any = None, *, job: ImportJob) -> None:
        initial = {**job.overrides}
        for name in ("skips_space", "drops_apostrophes"):
            if isinstance(initial.get(name), bool):
                initial[name] = "yes" if initial[name] else "no"
        super().__init__(data, initial=initial)
        self._offer("encoding", [AS_DETECTED, *ENCODINGS.items()])
        self._offer("delimiter", [AS_DETECTED, *DELIMITERS.items()])
        sheets = job.head.get("sheets", [])
        self._offer("sheet", [AS_DETECTED, *((sheet["name"], sheet["name"]) for sheet in sheets)])
        for name in OF_CSV if job.kind == "xlsx" else OF_WORKBOOK:
            del self.fields[name]
        self._others = {
            name: value
            for name, value in job.overrides.items()
            if name not in self.fields and name not in OF_MAPPING
        }

    def overrides(self) -> dict[str, Any]:
        """Return the overrides as `set_mapping` takes them; what the form does not offer stays."""
        return {**self._others, **self.cleaned_data}

    def is_said_anew(self) -> bool:
        """Whether a field was sent with another choice than the one that holds."""
        return any(self.add_prefix(name) in self.data for name in self.changed_data)

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        said = self.initial.get(name)  # at the command line, perhaps: no choice of ours
        if said and said not in dict(choices):
            choices = [*choices, (said, str(said))]
        field.choices = choices
