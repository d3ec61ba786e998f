"""An empty workbook to fill in: a dataset's labels, each column formatted and checked by its type and rules. Pure.

It comes back as a file that needs no mapping and whose values are what was typed: text columns are formatted
as text, so that zeros in front stay, and so is whatever a spreadsheet could not hold exactly. A label or a
choice is always text, though it may begin like a formula.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datasets.columntypes import type_of
from datasets.columntypes.decimal import size_of
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.wording import rule_words

if TYPE_CHECKING:
    from openpyxl.worksheet.datavalidation import DataValidation
    from openpyxl.worksheet.worksheet import Worksheet

LAST_ROW = 1_048_576
EXACT_DIGITS = 15  # of a number in a spreadsheet
FIRST_DAY = dt.date(1900, 3, 1)  # what stands before is counted differently by different programs
DAY_ZERO = dt.date(1899, 12, 30)
MOST_INLINE = 255  # characters of a list that stands in the rule itself
MOST_PROMPT = 255
MOST_NAME = 31  # characters of a sheet's name
TEXT = "@"
AUTHOR = "Rowhouse"
KEY_FILL, REQUIRED_FILL, FREE_FILL = "FF1D4ED8", "FF334155", "FF94A3B8"

_NOT_IN_A_NAME = dict.fromkeys(map(ord, "[]:*?/\\'"), " ")
# What looks like an escape of a spreadsheet's own would be read as the character it stands for.
_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a spreadsheet checks while somebody types: a kind of its own, bounds, and how strict it is."""

    kind: str
    low: str | None = None
    high: str | None = None
    is_strict: bool = True


def template_workbook(spec: DatasetSpec) -> bytes:
    """Return the workbook as the bytes of an .xlsx file."""
    from openpyxl import Workbook  # slow import  # noqa: PLC0415

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = sheet_name(spec.title)
    lists = book.create_sheet("lists" if sheet.title.lower() != "lists" else "lists of choices")
    lists.sheet_state = "hidden"
    for at, column in enumerate(spec.columns, start=1):
        _head(sheet, at, column, is_key=column.name in spec.key)
        _body(sheet, lists, at, column)
    sheet.freeze_panes = "A2"
    sheet.row_dimensions[1].height = 24
    if lists.max_column == 1 and lists["A1"].value is None:
        book.remove(lists)
    book.properties.creator, book.properties.title = AUTHOR, spec.title
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def sheet_name(title: str) -> str:
    """Return a sheet's name made of a title.

    >>> sheet_name("Prices: 2026/27 [EUR]"), sheet_name("History"), sheet_name("''")
    ('Prices  2026 27  EUR', 'History records', 'Records')
    """
    name = title.translate(_NOT_IN_A_NAME).strip()[:MOST_NAME].strip()
    if name.lower() == "history":  # a name spreadsheets keep for themselves
        return f"{name} records"
    return name or "Records"


def note_of(column: ColumnSpec, *, is_key: bool) -> str:
    """Return what is to be known of a column, in words."""
    lines = [type_of(column).title + "."]
    if is_key:
        lines.append("Key: names one record; a row with a key that is there changes that record. Required.")
    words = rule_words(column)
    lines += [word[0].upper() + word[1:] + "." for word in words if not (is_key and word == "required")]
    if how := _HOW.get(column.type):
        lines.append(how)
    return "\n".join(lines)


_HOW = {
    "boolean": "Write true or false.",
    "date": "Write 2026-12-31.",
    "timestamp": "Write 2026-12-31 14:30:00; it is read as UTC.",
    "decimal": "No unit, and no sign between the thousands.",
}


def _head(sheet: Worksheet, at: int, column: ColumnSpec, *, is_key: bool) -> None:
    from openpyxl.comments import Comment  # slow import  # noqa: PLC0415
    from openpyxl.styles import Alignment, Font, PatternFill  # slow import  # noqa: PLC0415

    cell = sheet.cell(1, at)
    _write(cell, column.label)
    cell.font = Font(bold=True, color="FFFFFFFF")
    fill = KEY_FILL if is_key else REQUIRED_FILL if column.is_required else FREE_FILL
    cell.fill = PatternFill("solid", start_color=fill)
    cell.alignment = Alignment(vertical="center")
    note = note_of(column, is_key=is_key)
    cell.comment = Comment(_escaped(note), AUTHOR, height=30 + 20 * len(note.splitlines()), width=320)


def _body(sheet: Worksheet, lists: Worksheet, at: int, column: ColumnSpec) -> None:
    from openpyxl.styles import Alignment  # slow import  # noqa: PLC0415
    from openpyxl.utils import get_column_letter  # slow import  # noqa: PLC0415

    letter = get_column_letter(at)
    shape = sheet.column_dimensions[letter]
    shape.number_format = number_format(column)
    shape.width = _width(column)
    if column.type == "long_text":
        shape.alignment = Alignment(wrap_text=True, vertical="top")
    check = _list_check(lists, column) if column.type in ("choice", "boolean") else _check(column)
    if check is not None:
        check.sqref = f"{letter}2:{letter}{LAST_ROW}"
        sheet.add_data_validation(check)


def number_format(column: ColumnSpec) -> str:
    """Return the format of a column's cells: text for all that a spreadsheet would not keep as it was typed."""
    if column.type == "integer" and _fits(column):
        return "0"
    if column.type == "decimal" and _fits(column):
        scale = size_of(column)[1]
        return "0." + "0" * scale if scale else "0"
    if column.type == "date" and _fits(column):
        return "yyyy-mm-dd"
    if column.type == "timestamp" and _fits(column):
        return "yyyy-mm-dd hh:mm:ss"
    return TEXT


def _fits(column: ColumnSpec) -> bool:
    """Return whether a spreadsheet holds every value the column may have, as its own kind of cell."""
    bounds = [bound for bound in (column.options.minimum, column.options.maximum) if bound is not None]
    if column.type in ("date", "timestamp"):
        return all(_day(bound) >= FIRST_DAY for bound in bounds)
    if column.type == "decimal":
        return size_of(column)[0] <= EXACT_DIGITS
    return all(len(bound.lstrip("-")) <= EXACT_DIGITS for bound in bounds)


def _day(canonical: str) -> dt.date:
    return dt.date.fromisoformat(canonical[:10])


def _width(column: ColumnSpec) -> float:
    least = {"long_text": 50, "text": 22, "timestamp": 20, "date": 12, "boolean": 9}.get(column.type, 14)
    if column.type == "choice":
        least = min(30, 4 + max((len(choice) for choice in column.options.choices), default=0))
    return float(max(least, min(40, len(column.label) + 4)))


def _list_check(lists: Worksheet, column: ColumnSpec) -> DataValidation:
    from openpyxl.utils import get_column_letter  # slow import  # noqa: PLC0415

    choices = column.options.choices if column.type == "choice" else ("true", "false")
    formula = '"' + ",".join(choices) + '"'
    if not _stands_inline(choices):
        at = lists.max_column + (lists.cell(1, lists.max_column).value is not None)
        for row, choice in enumerate(choices, start=1):
            cell = lists.cell(row, at)
            cell.number_format = TEXT
            _write(cell, choice)
        letter = get_column_letter(at)
        formula = f"'{lists.title}'!${letter}$1:${letter}${len(choices)}"
    return _validation("list", formula, None, column, message="Choose one of the list.")


def _stands_inline(choices: tuple[str, ...]) -> bool:
    text = ",".join(choices)
    is_plain = all(
        re.fullmatch(r"[\w][\w .+/()-]*", choice) and choice == choice.strip() for choice in choices
    )
    return is_plain and len(text.encode("utf-16-le")) // 2 <= MOST_INLINE and not _ESCAPE.search(text)


def _check(column: ColumnSpec) -> DataValidation | None:
    rule = _rule(column)
    if rule is None:
        return None
    what = "; ".join(rule_words(column)) or type_of(column).title
    return _validation(rule.kind, rule.low, rule.high, column, message=f"{what}.", is_strict=rule.is_strict)


def _rule(column: ColumnSpec) -> _Rule | None:
    options = column.options
    if column.type in ("text", "long_text"):
        return None if options.max_length is None else _Rule("textLength", high=str(options.max_length))
    if number_format(column) == TEXT:
        return None
    low, high = options.minimum, options.maximum
    if column.type in ("integer", "decimal"):
        most = str(10**EXACT_DIGITS - 1)
        is_bounded = low is not None or high is not None
        kind = "whole" if column.type == "integer" else "decimal"
        return _Rule(kind, _number(low) or f"-{most}", _number(high) or most, is_strict=is_bounded)
    if column.type in ("date", "timestamp"):
        # A timestamp's hours are checked when the file is read; here its day has to do.
        after = _serial(high) + (column.type == "timestamp") if high else None
        is_bounded = low is not None or high is not None
        return _Rule(
            "date", str(_serial(low) if low else 1), str(after) if after else None, is_strict=is_bounded
        )
    return None


def _number(canonical: str | None) -> str | None:
    return None if canonical is None else format(Decimal(canonical), "f")


def _serial(canonical: str) -> int:
    return (_day(canonical) - DAY_ZERO).days


def _validation(
    kind: Any,
    low: str | None,
    high: str | None,
    column: ColumnSpec,
    *,
    message: str,
    is_strict: bool = True,
) -> DataValidation:
    from openpyxl.worksheet.datavalidation import DataValidation  # slow import  # noqa: PLC0415

    made = DataValidation(type=kind, allow_blank=not column.is_required, showErrorMessage=True)
    if kind != "list":
        both = low is not None and high is not None
        made.operator = "between" if both else "greaterThanOrEqual" if low is not None else "lessThanOrEqual"
    made.formula1, made.formula2 = (low, high) if low is not None else (high, None)
    made.errorStyle = "stop" if is_strict else "warning"
    made.errorTitle = "Not a value of this column"
    made.error = _escaped(message)[:MOST_PROMPT]
    return made


def _write(cell: Any, text: str) -> None:
    """Write a text that stays one, whatever it begins with."""
    cell.value = _escaped(text)
    cell.data_type = "s"
    cell.quotePrefix = True


def _escaped(text: str) -> str:
    return _ESCAPE.sub("_x005F_", text)
