"""Areas of a sheet whose cells are no values of the table: those under a merged cell, and total rows.

Pure: no Django.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from importer.issues import WorkbookRefused
from importer.readers.archive import READ_BYTES, damaged, open_part
from importer.readers.workbook import TotalRows

MAX_ROWS = 1_048_576
MAX_SHEET_COLUMNS = 16_384
MAX_AREAS = 200_000
MAX_WORK = 20_000_000
FEW = 16  # in one row: no matter how many rows
_MERGE = re.compile(
    rb"<(?:\w+:)?mergeCell\s[^>]*?ref=[\"']([A-Z]{1,3}[0-9]{1,7}):([A-Z]{1,3}[0-9]{1,7})[\"']"
)
_PLACE = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class Area:
    """Rows and columns from 0 or 1 as the sheet counts them: rows from 1, columns from 0. Ends are within."""

    top: int
    left: int
    bottom: int
    right: int
    is_merged: bool

    @property
    def cells(self) -> int:
        return (self.bottom - self.top + 1) * (self.right - self.left + 1)

    def covers(self, row: int, column: int) -> bool:
        """Whether a cell counts for nothing; the first one of a merged area does count."""
        if not (self.top <= row <= self.bottom and self.left <= column <= self.right):
            return False
        return not (self.is_merged and row == self.top and column == self.left)


class Areas:
    """All areas of a sheet, asked for row by row downwards."""

    def __init__(self, areas: Sequence[Area] = ()) -> None:
        if len(areas) > MAX_AREAS:
            raise _too_many()
        self.hidden_values = 0  # values under merged cells, which nobody sees
        self.merged = [area for area in areas if area.is_merged]
        self._waiting = sorted(areas, key=lambda area: -area.top)
        self._active: list[Area] = []
        self._work = 0

    def touch(self, row: int) -> bool:
        """Return whether any area reaches into a row; rows must be asked for in order."""
        while self._waiting and self._waiting[-1].top <= row:
            self._active.append(self._waiting.pop())
        if self._active:
            self._active = [area for area in self._active if area.bottom >= row]
            self._count_work()
        return bool(self._active)

    def reach(self, row: int) -> bool:
        """Return whether any area may reach into a row. No row is asked for by that, so later ones may be looked at."""
        is_begun = bool(self._waiting) and self._waiting[-1].top <= row
        return is_begun or any(area.bottom >= row for area in self._active)

    def hide(self, row: int, column: int) -> bool:
        """Return whether a cell with a value is left out, and count it when it stands under a merged one."""
        area = next((area for area in self._active if area.covers(row, column)), None)
        self._count_work()
        if area is not None and area.is_merged:
            self.hidden_values += 1
        return area is not None

    def _count_work(self) -> None:
        """Areas that lie over one another would make every row as slow as they are many."""
        if len(self._active) > FEW:
            self._work += len(self._active)
        if self._work > MAX_WORK:
            raise _too_many()


def _too_many() -> WorkbookRefused:
    return WorkbookRefused("The sheet has too many merged cells. Unmerge them, or upload the sheet as CSV.")


def read_merges(archive: zipfile.ZipFile, part: str) -> list[Area]:
    """Return the merged areas of a sheet. They stand behind its rows, so they are looked for beforehand."""
    found: list[Area] = []
    tail = b""
    with open_part(archive, part) as file:
        while piece := file.read(READ_BYTES):
            data = tail + piece
            cut = max(data.rfind(b">") + 1, len(data) - 1024)
            found += [area_of(f"{a.decode()}:{b.decode()}", True) for a, b in _MERGE.findall(data[:cut])]
            tail = data[cut:]
            if len(found) > MAX_AREAS:
                raise _too_many()
    return found


def total_areas(totals: Sequence[TotalRows]) -> list[Area]:
    """Return the areas of total rows."""
    areas = [(area_of(total.ref, False), total.rows) for total in totals]
    return [
        Area(max(area.top, area.bottom - rows + 1), area.left, area.bottom, area.right, is_merged=False)
        for area, rows in areas
    ]


def area_of(ref: str, is_merged: bool) -> Area:
    """Return the area of a reference such as `A1:C3`.

    :raises WorkbookRefused: it is none.
    """
    places = [_PLACE.fullmatch(place) for place in ref.split(":")]
    if len(places) not in (1, 2) or not all(places):
        raise damaged(f"{ref[:40]!r} is no area of a sheet")
    corners = [(int(place[2]), column_of(place[1])) for place in places if place]
    rows, columns = [row for row, _ in corners], [column for _, column in corners]
    return Area(min(rows), min(columns), max(rows), max(columns), is_merged)


def column_of(letters: str) -> int:
    """Return the column's position from 0: A is 0, XFD 16,383."""
    if not (letters.isascii() and letters.isalpha() and letters.isupper() and len(letters) <= 3):
        raise damaged(f"{letters[:20]!r} is no column")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    if column > MAX_SHEET_COLUMNS:
        raise damaged(f"column {letters} is beyond the last column of a sheet")
    return column - 1


def letters_of(column: int) -> str:
    """Return the letters of a column's position: 0 is A."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
