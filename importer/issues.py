"""What can be wrong with a file: issues of its rows (data), and files that cannot be read at all (exceptions).

Pure: no Django, no storage, no clock. The codes of issues are those of Frictionless where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import RowhouseError

CODES = (
    "type-error",
    "constraint-error",
    "missing-cell",
    "extra-cell",
    "primary-key",
    "foreign-key",
    "row-constraint",
    "encoding-error",
    "missing-label",
    "duplicate-label",
    "unterminated-quote",
    "cell-too-large",
    "repeated-header",
    "column-not-permitted",
)
WARNINGS = ("space-around", "replacement-character", "still-referenced")
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with one row.

    `row` counts as a spreadsheet does: every record from 1, with the header, what stands above it and
    blank lines. `line` is the line of the file; a cell of several lines makes the two differ. Both are 0
    in an issue of the whole file. `column` is the label, `rule` a sentence: what is allowed, what to do.
    `severity` is "error", which rejects the row, or "warning", which only tells.
    """

    code: str
    row: int
    line: int
    column: str
    value: str
    rule: str
    severity: str = "error"  # or "warning", which rejects nothing


def visible(text: str) -> str:
    r"""Return `text` as PostgreSQL can hold it: a NUL becomes the four characters `\x00`."""
    return text.replace("\x00", "\\x00") if "\x00" in text else text


def visible_cells(cells: Sequence[str | None]) -> list[str | None]:
    """Return the cells of a row as the database can keep them."""
    return [visible(cell) if cell else cell for cell in cells]


def shown(text: str | None) -> str:
    """Return a value as an issue shows it: no NUL, at most 200 characters."""
    if text is None:
        return ""
    short = visible(text[: SHOWN_CHARACTERS + 1])
    return short if len(short) <= SHOWN_CHARACTERS else short[: SHOWN_CHARACTERS - 1] + "…"


class Unreadable(RowhouseError):
    """The file as a whole cannot be read; the message says why and what to do."""

    code = "unreadable"
    status = 422


class EmptyFile(Unreadable):
    """The file holds nothing."""

    code = "empty-file"


class WrongKind(Unreadable):
    """The content is of a kind we do not read."""

    code = "wrong-file-kind"


class NotTabular(Unreadable):
    """There is text, but no table in it that a dataset could hold."""

    code = "not-tabular"


class EncodingDoubtful(Unreadable):
    """Nobody can tell the encoding from the bytes; a person must."""

    code = "encoding-doubtful"


class BadOverride(Unreadable):
    """A setting chosen by a person does not exist or does not fit the file."""

    code = "bad-override"


class RecordTooLarge(Unreadable):
    """One record is larger than what is kept in memory at a time."""

    code = "record-too-large"


class WorkbookRefused(Unreadable):
    """The workbook is damaged, hostile or larger than its limits."""

    code = "workbook-refused"
