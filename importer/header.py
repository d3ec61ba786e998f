"""Which record holds the labels, and whether any does.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from importer.readers.grammar import Record

PREAMBLE_RECORDS = 30  # how far down a header is looked for
_DATA = re.compile(
    r"[+-]?[\d.,'\s]*\d%?"  # numbers
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d.*)?"  # dates and times
    r"|\d{1,2}:\d{2}(:\d{2})?"
    r"|true|false|yes|no"
    r"|[^@\s]+@[^@\s]+\.[a-z]+|https?://\S+|[0-9a-f]{8}-[0-9a-f-]{27}",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(19|20)\d{2}")


@dataclass(frozen=True, slots=True)
class Header:
    """`row` counts records from 1; 0 means that the file has no header."""

    row: int
    doubts: tuple[str, ...] = ()


def find_header(records: Sequence[Record], *, after: int = 0, chosen: int | None = None) -> Header:
    """Return where the header is: the first record that is about as wide as most, unless it looks like data.

    `after` records are known to be none. A person's choice is taken as it is.
    """
    if chosen is not None:
        return Header(chosen)
    width = Counter(len(record.cells) for record in records if not record.is_blank).most_common(1)[0][0]
    row = _first_wide(records, after, width)
    above = [record for record in records[after : row - 1] if not record.is_blank]
    if above:
        return Header(row, (_above(row),))
    body = [record.cells for record in records[row:] if not record.is_blank]
    if looks_like_data(records[row - 1].cells, body):
        return Header(
            0,
            (
                f"Row {row} looks like data, so the columns are named by their position. "
                "Choose the header row if there is one.",
            ),
        )
    labels = len(records[row - 1].cells)
    # Delimiters behind the last cell, nothing after them, are forgiven and leave no doubt.
    if labels > width or (labels < width and any(cell for cells in body for cell in cells[labels:])):
        return Header(row, (f"The header row has {labels} labels, but most rows have {width} cells.",))
    return Header(row)


def _above(row: int) -> str:
    return f"Row {row} is taken as the header; what stands above it is left out. Choose another row if that is wrong."


def _first_wide(records: Sequence[Record], after: int, width: int) -> int:
    """Return the row of the first record that is no title above the table."""
    for row, record in enumerate(records[after : after + PREAMBLE_RECORDS], start=after + 1):
        if not record.is_blank and not _is_title(record.cells, width):
            return row
    filled = (row for row, record in enumerate(records[after:], start=after + 1) if not record.is_blank)
    return next(filled, 1)


def _is_title(cells: Sequence[str | None], width: int) -> bool:
    filled = sum(1 for cell in cells if cell and cell.strip())
    return width > 1 and (filled <= 1 or filled * 2 < width)


def looks_like_data(first: Sequence[str | None], body: Sequence[Sequence[str | None]]) -> bool:
    """Return whether the first record reads as one more row of the body rather than as its labels."""
    cells = [(cell.strip(), at) for at, cell in enumerate(first) if cell and cell.strip()]
    data = [(cell, at) for cell, at in cells if _DATA.fullmatch(cell)]
    if not data or all(_YEAR.fullmatch(cell) for cell, _ in data):
        return False
    if len(data) == len(cells):
        return True
    words = [(cell, at) for cell, at in cells if not _DATA.fullmatch(cell)]
    if any(_is_data_column(body, at) for _, at in words):
        return False
    repeats = any(cell in _column(body, at) for cell, at in words)
    return repeats or len(data) * 2 >= len(cells)


def _column(body: Sequence[Sequence[str | None]], at: int) -> list[str]:
    values = (row[at] for row in body if at < len(row))
    return [value.strip() for value in values if value and value.strip()]


def _is_data_column(body: Sequence[Sequence[str | None]], at: int) -> bool:
    values = _column(body, at)
    return bool(values) and all(_DATA.fullmatch(value) for value in values)


def make_labels(cells: Sequence[str | None]) -> tuple[str, ...]:
    """Return the labels as they are shown: blanks joined, `column 3` for an empty one.

    >>> make_labels(["id", None, " full\\nname "])
    ('id', 'column 2', 'full name')
    """
    cleaned = (" ".join((cell or "").replace("\x00", "").split()) for cell in cells)
    return tuple(label or f"column {position}" for position, label in enumerate(cleaned, start=1))
