"""Which record holds the labels, and whether any does.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from importer.mapping.labels import folded
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
    """`row` counts records from 1; 0 means that the file has no header. `rows` of them, `row` the last, make it."""

    row: int
    doubts: tuple[str, ...] = ()
    rows: int = 1


def find_header(
    records: Sequence[Record],
    *,
    after: int = 0,
    chosen: int | None = None,
    rows: int | None = None,
    known: Collection[str] = (),
) -> Header:
    """Return where the header is: the first record that is about as wide as most, unless it looks like data.

    `after` records are known to be none. A person's choice is taken as it is: `chosen` the row, `rows` how many
    rows make the labels. `known` are the labels of what the file goes into: a row of nothing else is the header,
    though its labels may look like data.
    """
    if chosen is not None:
        return Header(chosen, rows=rows or 1)
    if rows is not None:
        width = common_width(records)
        first = _first_wide(records, after, width)
        above = _grouped_from(records, after, first)
        return Header(min((above or first) + rows - 1, len(records)), rows=rows)
    width = common_width(records)
    row = _first_wide(records, after, width)
    if _are_known(records[row - 1].cells, known):
        is_below = any(not record.is_blank for record in records[after : row - 1])
        return Header(row, (_above(row),) if is_below else ())
    if grouped := _group_rows(records, after, row) or _completed_below(records, row):
        return grouped
    if any(not record.is_blank for record in records[after : row - 1]):
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
        return Header(row, (f"The header row has {labels} labels, but rows below it have {width} cells.",))
    return Header(row)


def _are_known(cells: Sequence[str | None], known: Collection[str]) -> bool:
    filled = [folded(cell) for cell in cells if cell and cell.strip()]
    return bool(filled) and set(map(folded, known)).issuperset(filled)


def common_width(records: Sequence[Record]) -> int:
    """Return the width most records have, the larger of equals; lines of text above a small table do not count."""
    widths = [len(record.cells) for record in records if not record.is_blank]
    width = _most_common(widths)
    if width != 1:
        return width
    first = next((at for at, wide in enumerate(widths) if wide > 1), len(widths))
    below = widths[first:]
    return _most_common(below) if sum(wide > 1 for wide in below) > max(1, len(below) * 0.8) else 1


def _most_common(widths: Sequence[int]) -> int:
    return max(Counter(widths).items(), key=lambda item: (item[1], item[0]), default=(0, 0))[0]


def _grouped_from(records: Sequence[Record], after: int, row: int) -> int | None:
    """Return the row above `row` if it stands right there with two cells or more: a row of groups, not a title."""
    if row - 1 <= after:
        return None
    cells = records[row - 2].cells
    return row - 1 if _filled(cells) > 1 else None


def _group_rows(records: Sequence[Record], after: int, row: int) -> Header | None:
    """Return a header of two rows if the labels repeat in one row and are told apart only by groups above it.

    `row` is what looks like the header: the labels, or the groups when most of those are filled.
    """
    for labels in (row, row + 1):
        if labels - 1 <= after or labels > len(records):
            continue
        group, label = records[labels - 2].cells, records[labels - 1].cells
        if len(group) > len(label) or any(not (cell and cell.strip()) for cell in label):
            continue
        below = [record.cells for record in records[labels:] if not record.is_blank]
        if any(_is_value(cell) for cell in label) or not below:
            continue
        if _filled(group) < 2 or not _repeats(label):
            continue
        if labels == row + 1 and not (_repeats(group) or any(cell is None for cell in group)):
            continue
        if not any(_is_data_column(below, at) for at in range(len(label))):
            continue
        if found := _two_rows(labels, group, label):
            return found
    return None


def _completed_below(records: Sequence[Record], row: int) -> Header | None:
    """Return a header of two rows if the lower one names just the parts of groups: merged cells become that.

    It has no cell below a label that needs none, and one below each group and each empty label to its right.
    """
    if row >= len(records) or not _filled(records[row - 1].cells):
        return None
    upper = [(cell or "").strip() for cell in records[row - 1].cells]
    lower = [(cell or "").strip() for cell in records[row].cells]
    if len(lower) > len(upper) or not upper[0] or "" not in upper or any(map(_is_value, lower)):
        return None
    lower += [""] * (len(upper) - len(lower))
    is_part = [not cell or following == "" for cell, following in zip(upper, [*upper[1:], "."], strict=True)]
    if [bool(cell) for cell in lower] != is_part or all(is_part):
        return None
    below = next((record.cells for record in records[row + 1 :] if not record.is_blank), [])
    if not any(cell for cell, part in zip(below, is_part, strict=False) if not part):
        return None  # nothing tells it from a row of the table
    return _two_rows(row + 1, upper, lower)


def _two_rows(row: int, group: Sequence[str | None], label: Sequence[str | None]) -> Header | None:
    joined = join_labels([group, label])
    if len(set(joined)) < len(joined):
        return None
    said = (
        f"Rows {row - 1} and {row} are taken as the header, their labels joined, such as "
        f"“{next((each for each in reversed(joined) if ' ' in each), joined[-1])}”. "
        "Choose one header row if that is wrong."
    )
    return Header(row, (said,), rows=2)


def _is_value(cell: str | None) -> bool:
    return bool(cell and _DATA.fullmatch(cell.strip()) and not _YEAR.fullmatch(cell.strip()))


def _repeats(cells: Sequence[str | None]) -> bool:
    filled = [cell.strip().casefold() for cell in cells if cell and cell.strip()]
    return len(set(filled)) < len(filled)


def join_labels(rows: Sequence[Sequence[str | None]]) -> list[str]:
    """Return the labels of a header of several rows: a group holds for the empty cells to its right.

    >>> join_labels([[None, "2024", None, "2025"], ["region", "Q1", "Q2", "Q1"]])
    ['region', '2024 Q1', '2024 Q2', '2025 Q1']
    """
    width = max(len(row) for row in rows)
    parts: list[list[str]] = [[] for _ in range(width)]
    for row in rows:
        held = ""
        for at in range(width):
            cell = " ".join(((row[at] if at < len(row) else None) or "").split())
            held = cell if cell or row is rows[-1] else held
            if held and parts[at][-1:] != [held]:
                parts[at].append(held)
    return [" ".join(part) for part in parts]


def _above(row: int) -> str:
    return f"Row {row} is taken as the header; what stands above it is left out. Choose another row if that is wrong."


def _first_wide(records: Sequence[Record], after: int, width: int) -> int:
    """Return the row of the first record that is no title above the table."""
    for row, record in enumerate(records[after : after + PREAMBLE_RECORDS], start=after + 1):
        if not record.is_blank and not _is_title(record.cells, width):
            return _fuller_below(records, row, width) or row
    filled = (row for row, record in enumerate(records[after:], start=after + 1) if not record.is_blank)
    return next(filled, 1)


def _fuller_below(records: Sequence[Record], row: int, width: int) -> int | None:
    """Return the row of labels below pairs such as `Report,Sales` that are nearly as wide as the table."""
    if _filled(records[row - 1].cells) >= width:
        return None
    for below, record in enumerate(records[row : row + PREAMBLE_RECORDS], start=row + 1):
        if record.is_blank or _filled(record.cells) < width:
            continue
        if (
            len(record.cells) > width
            or _repeats(record.cells)
            or any(_is_value(cell) for cell in record.cells)
        ):
            return None
        body = [further.cells for further in records[below:] if not further.is_blank]
        has_values = len(body) > 1 and any(_is_data_column(body, at) for at in range(width))
        return below if has_values else None
    return None


def _filled(cells: Sequence[str | None]) -> int:
    return sum(1 for cell in cells if cell and cell.strip())


def _is_title(cells: Sequence[str | None], width: int) -> bool:
    filled = _filled(cells)
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
    cleaned = (" ".join((cell or "").replace("\x00", "").replace("\ufeff", "").split()) for cell in cells)
    return tuple(label or f"column {position}" for position, label in enumerate(cleaned, start=1))
