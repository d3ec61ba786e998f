"""Made rows as a file: CSV or XLSX, written row by row. Pure."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.spec import DatasetSpec
from importer.generation_faults import HAZARDS, Row

if TYPE_CHECKING:
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

EXACT_DIGITS = 15  # of a number in a workbook
FIRST_YEAR = 1901  # what stands before is counted differently by different programs
BEGINS_LIKE_A_FORMULA = ("=", "#")


def write_csv(path: Path, rows: Iterator[Row]) -> Counter[str]:
    """Write the rows; return how many faults of each code were among them.

    The byte order mark says that it is UTF-8 even where a row has bytes that are not.
    """
    planted: Counter[str] = Counter()
    with path.open("w", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_cells(rows, planted))
    return planted


def _cells(rows: Iterator[Row], planted: Counter[str]) -> Iterator[tuple[str | None, ...]]:
    for row in rows:
        if row.fault:
            planted[row.fault] += 1
        yield row.cells


def write_xlsx(path: Path, spec: DatasetSpec, rows: Iterator[Row]) -> Counter[str]:
    """Write the rows into a sheet: numbers, days and times as such where a workbook keeps them exactly."""
    from openpyxl import Workbook  # slow import  # noqa: PLC0415

    planted: Counter[str] = Counter()
    book = Workbook(write_only=True)
    sheet: WriteOnlyWorksheet = book.create_sheet(spec.title[:31].translate(_NOT_IN_A_NAME) or "Sheet")
    forms = [FORMS.get(column.value_type, str) for column in spec.columns]
    sheet.append(_texts(sheet, next(rows).cells))
    for row in rows:
        if row.fault:
            planted[row.fault] += 1
        sheet.append(_values(sheet, row, forms))
    book.save(path)
    return planted


_NOT_IN_A_NAME = dict.fromkeys(map(ord, "[]:*?/\\'"), " ")


def _values(sheet: WriteOnlyWorksheet, row: Row, forms: Sequence[Callable[[str], Any]]) -> list[Any]:
    if row.fault:  # as it stands, or it might be mended on the way
        return _texts(sheet, row.cells)
    made = [None if cell is None else form(cell) for cell, form in zip(row.cells, forms, strict=True)]
    return [
        _text(sheet, value) if isinstance(value, str) and value[:1] in BEGINS_LIKE_A_FORMULA else value
        for value in made
    ]


def _texts(sheet: WriteOnlyWorksheet, cells: Sequence[str | None]) -> list[Any]:
    return [
        _text(sheet, cell) if cell and cell[0] in BEGINS_LIKE_A_FORMULA and cell not in HAZARDS else cell
        for cell in cells
    ]


def _text(sheet: WriteOnlyWorksheet, text: str) -> Any:
    """Return a cell that says the text, though it begins like a formula or an error."""
    from openpyxl.cell import WriteOnlyCell  # slow import  # noqa: PLC0415

    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell


def _number(text: str) -> int | float | str:
    if len(re.sub("[^0-9]", "", text).lstrip("0")) > EXACT_DIGITS:
        return text
    return float(text) if "." in text else int(text)


def _day(text: str) -> dt.date | str:
    day = dt.date.fromisoformat(text)
    return text if day.year < FIRST_YEAR else day


def _moment(text: str) -> dt.datetime | str:
    moment = dt.datetime.fromisoformat(text.removesuffix("Z"))
    return text if moment.year < FIRST_YEAR else moment


def _time(text: str) -> dt.time | str:
    time = dt.time.fromisoformat(text)
    return text if time.microsecond else time


FORMS: dict[str, Callable[[str], Any]] = {
    "integer": _number,
    "decimal": _number,
    "boolean": lambda text: text == "true",
    "date": _day,
    "time": _time,
    "timestamp": _moment,
}
