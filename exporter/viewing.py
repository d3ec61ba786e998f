"""The file of a list: exactly the records, the order and the columns somebody looks at, as CSV or as a workbook.

The file is made whole before its first byte is sent: a list that cannot be read ends with a sentence and not with
half a file. It lies on disk meanwhile; memory holds a few rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models.expressions import RawSQL
from psycopg2.errors import QueryCanceled

from accounts.models import User
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from datasets import access, differing
from datasets.asof import records_as_of, require_known, spec_of_then
from datasets.differing import Between
from datasets.filtering import filtered, ordering
from datasets.liststate import ListState
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.spec import ColumnSpec
from exporter.form import EXACT, SPREADSHEET, FileForm, FormColumn
from exporter.sql import FIXED_SETTINGS
from exporter.writers import WRITERS, FileWriter, Table, content_type
from exporter.writers.base import Column

LIMIT_SECONDS = 300
FORMATS = ("csv", "xlsx")


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


def columns_of_list(dataset: Dataset, by: User, at: datetime | None) -> tuple[ColumnSpec, ...]:
    """Return the columns that a list has for a person, as of a moment where there is one."""
    if at is None:
        return access.visible_columns(by, dataset)
    return spec_of_then(dataset, access.seen_by(by, dataset).spec, at)[0].columns


@transaction.atomic
def export_view(
    *,
    dataset: Dataset,
    state: ListState,
    form: str,
    is_for_spreadsheets: bool,
    by: User,
    at: datetime | None = None,
) -> ViewFile:
    """Write what a list shows into a file, and record that `by` took it.

    `at` is the moment as of which the list is, None for the records as they are. `is_for_spreadsheets` makes a CSV
    one that spreadsheet programs open well: a byte order mark, and an apostrophe before texts that begin like a
    formula, which an import takes away again.

    :raises PermissionDenied: `by` may not export the dataset.
    :raises NotExportable: there is no such form.
    :raises NotWritable: the list does not fit into a workbook.
    :raises ExportTooSlow: it took longer than LIMIT_SECONDS.
    :raises MomentUnknown: history does not tell of the moment.
    """
    access.require(by, "export", dataset)
    if form not in FORMATS:
        raise NotExportable("Choose CSV or XLSX.")
    seen = columns_of_list(dataset, by, at)
    columns = exported_columns(state, seen)
    if at is None:
        records = get_row_model(dataset).objects.all()
    else:
        require_known(dataset, at)
        records = records_as_of(dataset.spec(), at, all_of_them=True)
    records = filtered(records, state, seen, now=clock()).order_by(*ordering(state.sort))
    name = records.model._meta.db_table
    table = _List(
        dataset.title, tuple(Column(one.label, one, name) for one in columns), "", "", records=records
    )
    written = FileForm(
        tuple(FormColumn(one.pk, one.label) for one in columns),
        form,
        SPREADSHEET if is_for_spreadsheets else EXACT,
    )
    file, rows = _made(table, written)
    as_of = {} if at is None else {"at": at.isoformat()}
    record(
        "exporter.view.exported", actor=by, target=dataset, form=form, rows=rows, columns=len(columns),
        filters=len(state.conditions), is_for_spreadsheets=is_for_spreadsheets, **as_of,
    )  # fmt: skip
    taken = f"{clock():%Y%m%dT%H%M%SZ}" if at is None else f"as-of_{at:%Y%m%dT%H%M%SZ}"
    return ViewFile(file, f"{dataset.slug}_{taken}.{form}", content_type(form), rows)


@transaction.atomic
def export_differences(
    *,
    dataset: Dataset,
    since: datetime,
    until: datetime,
    kinds: Sequence[str],
    columns: Sequence[str],
    form: str,
    is_for_spreadsheets: bool,
    by: User,
) -> ViewFile:
    """Write what differs between two moments into a file, a line for each cell, and record that `by` took it.

    `kinds` and `columns` (physical names) narrow it as they do on the page.

    :raises PermissionDenied: `by` may not export the dataset.
    :raises NotExportable: there is no such form.
    :raises NotWritable: the lines do not fit into a workbook.
    :raises ExportTooSlow: it took longer than LIMIT_SECONDS.
    :raises MomentUnknown: history does not tell of one of the moments.
    """
    access.require(by, "export", dataset)
    if form not in FORMATS:
        raise NotExportable("Choose CSV or XLSX.")
    require_known(dataset, since, until)
    seen = spec_of_then(dataset, access.seen_by(by, dataset).spec, until)[0]
    lines = Between(seen, since, until).lines_sql(kinds=kinds, columns=columns)
    specs = [
        ColumnSpec(at, label, "integer" if at == 1 else "text")
        for at, label in enumerate(differing.LABELS, start=1)
    ]
    table = Table(
        dataset.title, tuple(Column(one.label, one) for one in specs), f"({lines}) AS r", 'r."c1", r."at"'
    )
    written = FileForm(
        tuple(FormColumn(one.pk, one.label) for one in specs),
        form,
        SPREADSHEET if is_for_spreadsheets else EXACT,
    )
    file, rows = _made(table, written)
    record(
        "exporter.differences.exported", actor=by, target=dataset, form=form, rows=rows,
        since=since.isoformat(), until=until.isoformat(), is_for_spreadsheets=is_for_spreadsheets,
    )  # fmt: skip
    name = f"{dataset.slug}_{since:%Y%m%dT%H%M%SZ}_{until:%Y%m%dT%H%M%SZ}.{form}"
    return ViewFile(file, name, content_type(form), rows)


def _made(table: Table, form: FileForm) -> tuple[IO[bytes], int]:
    """Return the file of a table, open at its beginning, and how many rows it has.

    :raises NotWritable: it does not fit into a workbook.
    :raises ExportTooSlow: it took longer than LIMIT_SECONDS.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the answer closes it
    try:
        with connection.cursor() as cursor:
            for setting in (*FIXED_SETTINGS, f"SET LOCAL statement_timeout = '{LIMIT_SECONDS}s'"):
                cursor.execute(setting)
        rows = _write(file, table, form)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
    except OperationalError as error:
        file.close()
        if isinstance(error.__cause__, QueryCanceled):
            raise ExportTooSlow(
                "This took too long to read. Narrow it with a filter, or to less time."
            ) from error
        raise
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file, rows


@dataclass(frozen=True, slots=True)
class _List(Table):
    """The rows of a list: its own query reads them."""

    records: Any = None

    def select(self, cells: list[str]) -> str:
        """Return the SELECT of these expressions with the list's values put in by the driver.

        :raises EmptyResultSet: nothing can fit.
        """
        # Of generated names and our own expressions: nothing a person typed.
        made = {f"text_{at}": RawSQL(cell.replace("%", "%%"), ()) for at, cell in enumerate(cells)}  # noqa: S611
        sql, parameters = self.records.annotate(**made).values_list(*made).query.sql_with_params()
        with connection.cursor() as cursor:
            text: bytes = cursor.mogrify(sql, parameters)
        return text.decode()


def _write(file: IO[bytes], table: Table, form: FileForm) -> int:
    """Write the list; returns how many records it has."""
    writer = WRITERS[form.format](table, form, file.write)
    try:
        writer.begin()
        rows = 0
        with connection.cursor() as cursor, suppress(EmptyResultSet):
            cursor.copy_expert(writer.statement(), _Feed(writer))
            rows = int(cursor.rowcount)
        writer.finish()
    except BaseException:
        writer.abort()
        raise
    return rows


@dataclass(frozen=True, slots=True)
class _Feed:
    writer: FileWriter

    def write(self, data: bytes) -> int:
        self.writer.write(data)
        return len(data)
