"""The file of a list: exactly the records, the order and the columns somebody looks at, as CSV or as a workbook.

The file is made whole before its first byte is sent: a list that cannot be read ends with a sentence and not with
half a file. It lies on disk meanwhile; memory holds a few rows.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models.expressions import RawSQL
from psycopg2.errors import QueryCanceled

from accounts.models import User
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from datasets import access
from datasets.columntypes import type_of
from datasets.filtering import filtered, ordering
from datasets.liststate import ListState, holds_words
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.spec import ColumnSpec
from exporter.sql import FIXED_SETTINGS, header_of

if TYPE_CHECKING:
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

LIMIT_SECONDS = 300
MOST_WORKBOOK_RECORDS = 100_000
MOST_CELL_CHARACTERS = 32_767  # a workbook's own limit
EXACT_DIGITS = 15
FIRST_YEAR = 1901
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FORMATS = {
    "csv": "text/csv; charset=utf-8; header=present",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class NotExportable(RowhouseError):
    """The list cannot be written in this form."""

    code = "not-exportable"


class ExportTooSlow(RowhouseError):
    """The list could not be read within the time a download may take."""

    code = "export-too-slow"
    status = 503


@dataclass(frozen=True, slots=True)
class ViewFile:
    """A finished file, open at its beginning; who sends it closes it."""

    file: IO[bytes]
    name: str
    content_type: str
    rows: int


def exported_columns(state: ListState, columns: Sequence[ColumnSpec]) -> list[ColumnSpec]:
    """Return the columns of the file: the chosen ones in their order, or all of the dataset's."""
    by_name = {column.name: column for column in columns}
    return [by_name[name] for name in state.columns] if state.columns else list(columns)


@transaction.atomic
def export_view(
    *, dataset: Dataset, state: ListState, form: str, is_for_spreadsheets: bool, by: User
) -> ViewFile:
    """Write what a list shows into a file, and record that `by` took it.

    `is_for_spreadsheets` makes a CSV one that spreadsheet programs open well: a byte order mark, and an apostrophe
    before texts that begin like a formula, which then no longer are what is stored.

    :raises PermissionDenied: `by` may not export the dataset.
    :raises NotExportable: there is no such form, or the list does not fit into a workbook.
    :raises ExportTooSlow: it took longer than LIMIT_SECONDS.
    """
    access.require(by, "export", dataset)
    if form not in FORMATS:
        raise NotExportable("Choose CSV or XLSX.")
    seen = access.visible_columns(by, dataset)
    columns = exported_columns(state, seen)
    records = filtered(get_row_model(dataset).objects.all(), state, seen, now=clock())
    records = records.order_by(*ordering(state.sort))
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the answer closes it
    try:
        with connection.cursor() as cursor:
            for setting in (*FIXED_SETTINGS, f"SET LOCAL statement_timeout = '{LIMIT_SECONDS}s'"):
                cursor.execute(setting)
        if form == "csv":
            rows = _write_csv(file, records, columns, is_for_spreadsheets=is_for_spreadsheets)
        else:
            rows = _write_workbook(file, records, columns, dataset.title)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
    except OperationalError as error:
        file.close()
        if isinstance(error.__cause__, QueryCanceled):
            raise ExportTooSlow("This list took too long to read. Narrow it with a filter.") from error
        raise
    except BaseException:
        file.close()
        raise
    file.seek(0)
    record(
        "exporter.view.exported", actor=by, target=dataset, form=form, rows=rows, columns=len(columns),
        filters=len(state.conditions), is_for_spreadsheets=is_for_spreadsheets,
    )  # fmt: skip
    return ViewFile(file, f"{dataset.slug}_{clock():%Y%m%dT%H%M%SZ}.{form}", FORMATS[form], rows)


def _select(
    records: Any, columns: Sequence[ColumnSpec], wrap: Callable[[ColumnSpec, str], str]
) -> str | None:
    """Return the SELECT of canonical texts with its values put in by the driver; None: nothing can fit."""
    table = records.model._meta.db_table
    cells = {}
    for column in columns:
        text = wrap(column, type_of(column).text_sql(f'"{table}"."{column.name}"'))
        # Of generated names and our own expressions: nothing a person typed.
        cells[f"text_{column.name}"] = RawSQL(text.replace("%", "%%"), ())  # noqa: S611
    try:
        sql, parameters = records.annotate(**cells).values_list(*cells).query.sql_with_params()
    except EmptyResultSet:
        return None
    with connection.cursor() as cursor:
        made: bytes = cursor.mogrify(sql, parameters)
    return made.decode()


def _write_csv(
    file: IO[bytes], records: Any, columns: Sequence[ColumnSpec], *, is_for_spreadsheets: bool
) -> int:
    if is_for_spreadsheets:
        file.write(BYTE_ORDER_MARK)
    file.write(header_of(columns))
    select = _select(records, columns, _harmless if is_for_spreadsheets else _as_it_is)
    if select is None:
        return 0
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT csv)", file)
        return int(cursor.rowcount)


def _as_it_is(column: ColumnSpec, text: str) -> str:
    return text


def _harmless(column: ColumnSpec, text: str) -> str:
    """Return the text with an apostrophe before what a spreadsheet program would take for a formula."""
    if not (holds_words(column) or column.type == "choice"):
        return text
    return f"CASE WHEN left({text}, 1) IN ('=', '+', '-', '@', E'\\t', E'\\r') THEN '''' || {text} ELSE {text} END"


def _write_workbook(file: IO[bytes], records: Any, columns: Sequence[ColumnSpec], title: str) -> int:
    from openpyxl import Workbook  # slow import  # noqa: PLC0415

    book = Workbook(write_only=True)
    sheet: WriteOnlyWorksheet = book.create_sheet(title[:31].translate(_NOT_IN_A_NAME) or "Sheet")
    sheet.append([_cell(sheet, column.label) for column in columns])
    forms = [_FORMS.get(column.type) for column in columns]
    rows = 0
    try:
        for rows, row in enumerate(_texts(records, columns), start=1):
            if rows > MOST_WORKBOOK_RECORDS:
                raise NotExportable(
                    f"A workbook holds at most {MOST_WORKBOOK_RECORDS:,} records here. Narrow the list, or take CSV."
                )
            sheet.append([_value(sheet, text, form) for text, form in zip(row, forms, strict=True)])
    except BaseException:
        with Path(os.devnull).open("wb") as nowhere:
            book.save(nowhere)  # or what was written so far would stay among the temporary files
        raise
    book.save(file)
    return rows


def _texts(records: Any, columns: Sequence[ColumnSpec]) -> Iterator[tuple[str | None, ...]]:
    select = _select(records, columns, _as_it_is)
    if select is None:
        return
    with connection.chunked_cursor() as cursor:
        cursor.execute(select)
        while found := cursor.fetchmany(1_000):
            yield from found


def _value(sheet: WriteOnlyWorksheet, text: str | None, form: Callable[[str], Any] | None) -> Any:
    if text is None:
        return None
    value = form(text) if form else text
    return _cell(sheet, value) if isinstance(value, str) else value


def _cell(sheet: WriteOnlyWorksheet, text: str) -> Any:
    """Return a cell that says the text, though it may begin like a formula or an error.

    :raises NotExportable: no cell of a workbook can hold it.
    """
    from openpyxl.cell import WriteOnlyCell  # slow import  # noqa: PLC0415
    from openpyxl.utils.exceptions import IllegalCharacterError  # slow import  # noqa: PLC0415

    if len(text) > MOST_CELL_CHARACTERS:
        raise NotExportable(
            f"“{text[:40]}…” is longer than a cell of a workbook can be: {MOST_CELL_CHARACTERS:,} characters."
            " Take CSV."
        )
    try:
        cell = WriteOnlyCell(sheet, text)
    except IllegalCharacterError:
        raise NotExportable("A text holds a control character, which no workbook can. Take CSV.") from None
    cell.data_type = "s"
    return cell


_NOT_IN_A_NAME = dict.fromkeys(map(ord, "[]:*?/\\'"), " ")


def _number(text: str) -> int | float | str:
    if len(re.sub("[^0-9]", "", text).lstrip("0")) > EXACT_DIGITS:
        return text  # a workbook would round it
    return float(text) if "." in text else int(text)


def _day(text: str) -> dt.date | str:
    day = dt.date.fromisoformat(text)
    return text if day.year < FIRST_YEAR else day


def _moment(text: str) -> dt.datetime | str:
    moment = dt.datetime.fromisoformat(text.removesuffix("Z"))
    return text if moment.year < FIRST_YEAR else moment


_FORMS: dict[str, Callable[[str], Any]] = {
    "integer": _number,
    "decimal": _number,
    "boolean": lambda text: text == "true",
    "date": _day,
    "timestamp": _moment,
}
