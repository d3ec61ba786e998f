"""What a person chose about how a file is written.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from importer.issues import BadOverride
from importer.readers.footer import MAX_FOOTER_LINES

# The choices by their names; None and "" mean that it is not chosen.
NAMES = (
    "encoding", "delimiter", "quote", "escape", "skips_space", "header_row", "header_rows", "skip_footer", "sheet",
    "drops_apostrophes",
)  # fmt: skip
# A workbook's sheet is written by ourselves: nothing about it is to be found out.
SHEET_CHOICES: dict[str, object] = {
    "encoding": "utf-8", "delimiter": ",", "quote": '"', "escape": "none", "skips_space": False,
}  # fmt: skip
MAX_HEADER_ROWS = 10
_WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
_FORBIDDEN = "\"'\r\n\x00\x01\\"


@dataclass(frozen=True, slots=True)
class Choices:
    """`quote` and `escape` are "" for none; None is a choice not made."""

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    skips_space: bool | None = None
    header_row: object = None
    header_rows: int | None = None
    skip_footer: int | None = None
    sheet: str | None = None
    drops_apostrophes: bool | None = None

    @classmethod
    def of(cls, overrides: Mapping[str, object] | None) -> Self:
        """Return the choices in `overrides`; other names in it are none.

        :raises BadOverride: a choice does not exist.
        """
        chosen = {
            name: value
            for name, value in (overrides or {}).items()
            if name in NAMES and value not in (None, "")
        }
        made = cls(
            encoding=str(chosen["encoding"]) if "encoding" in chosen else None,
            delimiter=_delimiter(str(chosen["delimiter"])) if "delimiter" in chosen else None,
            quote=_quote(str(chosen["quote"])) if "quote" in chosen else None,
            escape=_escape(str(chosen["escape"])) if "escape" in chosen else None,
            skips_space=_yes_or_no(chosen["skips_space"]) if "skips_space" in chosen else None,
            header_row=chosen.get("header_row"),
            header_rows=_number(chosen, "header_rows", "The header's rows", 1, MAX_HEADER_ROWS),
            skip_footer=_number(chosen, "skip_footer", "The footer's lines", 0, MAX_FOOTER_LINES),
            sheet=str(chosen["sheet"]) if "sheet" in chosen else None,
            drops_apostrophes=(
                _yes_or_no(chosen["drops_apostrophes"]) if "drops_apostrophes" in chosen else None
            ),
        )
        if made.quote == "" and made.escape:
            raise BadOverride("An escape needs a quote: a file without quotes has none. Choose one of them.")
        if made.drops_apostrophes and made.quote == "'":
            raise BadOverride(
                "An apostrophe is the quote of this file and cannot be a sign before formulas too."
            )
        if made.delimiter and made.delimiter == made.quote:
            raise BadOverride("The delimiter and the quote cannot be the same character. Choose another one.")
        return made

    def header_row_of(self, rows: int) -> int | None:
        """Return the chosen header row of a file whose beginning has so many rows.

        :raises BadOverride: there is no such row.
        """
        if self.header_row is None:
            return None
        try:
            row = int(str(self.header_row))
        except ValueError:
            row = -1
        if not 0 <= row <= rows:
            raise BadOverride(f"The header row must be a number from 0 (no header) to {rows}.")
        return row


def is_delimiter(text: str) -> bool:
    """Return whether a text can part cells: one ASCII character that is no letter, digit, quote or line end."""
    return len(text) == 1 and text.isascii() and not text.isalnum() and text not in _FORBIDDEN


def _delimiter(text: str) -> str:
    delimiter = _WORDS.get(text.lower(), text)
    if not is_delimiter(delimiter):
        raise BadOverride(
            f"{text!r} cannot be the delimiter. Choose a comma, semicolon, tab, vertical bar or another mark."
        )
    return delimiter


def _quote(text: str) -> str:
    if text.lower() == "none":
        return ""
    if text not in ('"', "'"):
        raise BadOverride(f"{text!r} cannot be the quote. Choose \", ' or none.")
    return text


def _escape(text: str) -> str:
    if text.lower() == "none":
        return ""
    if text != "\\":
        raise BadOverride(f"{text!r} cannot be the escape. Choose \\ or none.")
    return text


def _yes_or_no(value: object) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1")


def _number(chosen: Mapping[str, object], name: str, words: str, least: int, most: int) -> int | None:
    if name not in chosen:
        return None
    try:
        number = int(str(chosen[name]))
    except ValueError:
        number = -1
    if not least <= number <= most:
        raise BadOverride(f"{words} must be a number from {least} to {most}.")
    return number
