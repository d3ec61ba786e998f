"""A dataset out of stored files: a full one with the files of changes after it, folded into one plain CSV.

The files are loaded by COPY (`exporter.readback`) and folded in SQL: memory holds a block, whatever their size. Texts
stay texts; whoever reads the CSV judges them.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from django.db import connection, transaction

from core.errors import RowhouseError
from core.tenancy import as_owner
from datasets.columntypes import type_of
from datasets.erasure_models import not_erased_sql
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import quoted
from exporter.form import FileForm, form_columns
from exporter.increments import chain_of
from exporter.manifest import change_label
from exporter.models import Content, ExportFile, Mode
from exporter.readback import COUNTED, Field, ToCsv, load
from exporter.sql import FIXED_SETTINGS


class NotFoldable(RowhouseError):
    """A file cannot be read back into records, or one it goes on from cannot."""

    code = "not-foldable"


@dataclass(frozen=True, slots=True)
class Folded:
    """What was written: how many records, the columns in their order, and the labels of columns that are gone."""

    rows: int
    columns: tuple[ColumnSpec, ...]
    lost: tuple[str, ...] = ()


def require_readable(file: ExportFile) -> list[ExportFile]:
    """Return the files a dataset is folded of, a full one first.

    :raises NotFoldable: one of them is gone or faulty, or its columns cannot be told apart.
    """
    chain = chain_of(file)
    for one in chain:
        if one.deleted_at is not None or one.fault:
            what = "was removed after its time" if one.deleted_at else f"is {one.get_fault_display()}"
            raise NotFoldable(f"{one.file_name} {what}. Restore another file, or as of a time.")
        labels = [column[1] for column in one.form.get("columns", ())]
        if one.format == "jsonl" and len(set(labels)) < len(labels):
            raise NotFoldable(
                f"{one.file_name} has two columns of one label, which JSON cannot tell apart. Restore as of its time."
            )
    return chain


@transaction.atomic
@as_owner()
def fold(file: ExportFile, spec: DatasetSpec, out: IO[bytes], *, workbook: ToCsv | None = None) -> Folded:
    """Write the dataset as a file has it, as plain CSV under the labels of today's definition.

    Columns are known by their numbers: one that was renamed since is filled, one that is gone is left out.

    :param workbook: writes the sheet of a workbook as CSV; reading workbooks is not ours.
    :raises NotFoldable: a file of its chain cannot be read.
    :raises StorageChanged: a stored file is gone, or is not the one its row speaks of.
    """
    chain = require_readable(file)
    forms = [_form(one, spec) for one in chain]
    known = {column.pk: column for column in spec.columns}
    columns = tuple(known[one.column] for one in forms[-1].columns if one.column in known)
    lost = tuple(one.label for one in forms[-1].columns if one.column not in known)
    with connection.cursor() as cursor:
        for number, (one, form) in enumerate(zip(chain, forms, strict=True)):
            _load(cursor, one, form, number, spec, workbook)
        source = _folded_sql(chain, forms)
        out.write(_header(columns))
        cells = ", ".join(_cell(one, forms[-1]) for one in columns)
        cursor.copy_expert(f"COPY (SELECT {cells} FROM ({source}) f) TO STDOUT (FORMAT csv)", out)
        rows = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {', '.join(_scratch(number) for number in range(len(chain)))}")
    return Folded(rows, columns, lost)


@transaction.atomic
@as_owner()
def count_rows(file: ExportFile, spec: DatasetSpec | None) -> int | None:
    """Return how many rows a stored file holds, by reading it; None: it is a workbook, which is not read here.

    :raises StorageChanged: it is gone, or is not the one its row speaks of.
    """
    if file.format not in COUNTED or not (file.form or spec):
        return None
    with connection.cursor() as cursor:
        rows = _load(cursor, file, _form(file, spec), 0, spec, None)
        cursor.execute(f"DROP TABLE {_scratch(0)}")
    return rows


@transaction.atomic
def write_as_of(spec: DatasetSpec, at: datetime, out: IO[bytes]) -> Folded:
    """Write the dataset as it was at a time, as plain CSV under the labels of today's definition, from its history.

    A change counts from the beginning of the statement that made it.
    """
    cells = ", ".join(type_of(one).text_sql(quoted([one.name], "h.")) for one in spec.columns)
    with connection.cursor() as cursor:
        for setting in FIXED_SETTINGS:
            cursor.execute(setting)
        latest = cursor.mogrify(
            f"SELECT DISTINCT ON (id) * FROM {spec.history_table} WHERE history_date <= %s"
            " ORDER BY id, history_id DESC",
            [at],
        ).decode()
        known = not_erased_sql(spec.pk, "h.id")  # the versions of an erased record say nothing
        out.write(_header(spec.columns))
        cursor.copy_expert(
            f"COPY (SELECT {cells} FROM ({latest}) h WHERE h.history_type <> '-' AND {known}) TO STDOUT (FORMAT csv)",
            out,
        )
        return Folded(int(cursor.rowcount), spec.columns)


def _form(file: ExportFile, spec: DatasetSpec | None) -> FileForm:
    if file.form:
        return FileForm.from_json(file.form)
    # Of an earlier release: every column of the definition, which must be the one of today.
    if spec is None or file.dataset is None or file.definition_version != file.dataset.definition_version:
        raise NotFoldable(
            f"The columns of {file.file_name} are not known any more: the definition changed since it was written."
            " Download it and import it, or restore as of its time."
        )
    return FileForm(columns=form_columns(spec, ()))


def _header(columns: Sequence[ColumnSpec]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([column.label for column in columns])
    return line.getvalue().encode()


def _scratch(number: int) -> str:
    return f"folding_{os.getpid()}_{number}"


def _load(
    cursor: Any,
    file: ExportFile,
    form: FileForm,
    number: int,
    spec: DatasetSpec | None,
    workbook: ToCsv | None,
) -> int:
    """Load a file into a table of texts, which whoever asks drops in this transaction; returns how many rows.

    No temporary one: a tenant's roles make none.
    """
    kinds = {column.pk: column.value_type for column in spec.columns} if spec else {}
    fields = [Field(f"c{one.column}", one.label, kinds.get(one.column, "")) for one in form.columns]
    if file.content == Content.INCREMENTAL:
        fields.insert(0, Field("change_", change_label(form), "text"))
    table = _scratch(number)
    texts = ", ".join(f"{quoted([field.name])} text" for field in fields)
    cursor.execute(f"CREATE UNLOGGED TABLE {table} ({texts})")
    return load(cursor, file, form, table, fields, workbook)


def _folded_sql(chain: Sequence[ExportFile], forms: Sequence[FileForm]) -> str:
    """Return the SELECT of the records: those of the full file no later one speaks of, then what those say last."""
    names = quoted([f"c{column.column}" for column in forms[0].columns])
    full = f"SELECT {names} FROM {_scratch(0)} f"
    if len(chain) == 1:
        return full
    key = [f"c{pk}" for pk in chain[-1].key_columns]  # not today's, which may be another
    changes = " UNION ALL ".join(
        f"SELECT {number} AS number_, change_, {names} FROM {_scratch(number)}"
        for number in range(1, len(chain))
    )
    last = f"SELECT DISTINCT ON ({quoted(key)}) * FROM ({changes}) a ORDER BY {quoted(key)}, number_ DESC"
    same = " AND ".join(f"{quoted([name], 'l.')} = {quoted([name], 'f.')}" for name in key)
    return (
        f"WITH last_ AS MATERIALIZED ({last}) {full} WHERE NOT EXISTS (SELECT FROM last_ l WHERE {same})"
        f" UNION ALL SELECT {names} FROM last_ WHERE change_ <> 'deleted'"
    )


def _cell(column: ColumnSpec, form: FileForm) -> str:
    name = quoted([column.name], "f.")
    if form.mode == Mode.EXACT or form.format not in ("csv", "csv.gz"):
        return name
    # The sign of spreadsheets; no text of a number, day or truth begins with it.
    return f"CASE WHEN left({name}, 1) = '''' THEN substr({name}, 2) ELSE {name} END"
