"""CSV: each value in its type's canonical text, which the importer reads back unchanged.

NULL is an empty cell (or the form's word), an empty text is `""`. RFC 4180 but for the line end, which is LF as
PostgreSQL writes it: CR LF would be a second form of the same file. Pure: no Django.
"""

from __future__ import annotations

import codecs
import csv
import io

from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.escaping import escaped, escaped_sql
from exporter.form import FileForm
from exporter.writers.base import (
    SHOWN_CHARACTERS,
    FileWriter,
    NotWritable,
    Out,
    Table,
    copy_csv,
    record_words,
)
from exporter.writers.records import Records, cells_of

UTF8, SIGNED_UTF8 = "utf-8", "utf-8-sig"
# What stands at the file's beginning, and the codec of what follows.
_BOMS = {SIGNED_UTF8: (codecs.BOM_UTF8, UTF8), "utf-16": (codecs.BOM_UTF16_LE, "utf-16-le")}


class CsvWriter(FileWriter):
    """Writes a plain file; other encodings than UTF-8 are made block by block."""

    content_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, table: Table, form: FileForm, out: Out) -> None:
        super().__init__(table, form, out)
        encoding = SIGNED_UTF8 if form.is_for_spreadsheets and form.encoding == UTF8 else form.encoding
        self._mark, self._codec = _BOMS.get(encoding, (b"", encoding))
        self._records = Records()
        self._written = 0

    def statement(self) -> str:
        options = ""
        if self.form.delimiter != ",":
            options += f", DELIMITER {sql_literal(self.form.delimiter)}"
        if self.form.null_word:
            options += f", NULL {sql_literal(self.form.null_word)}"
            # Or an empty text would be an empty cell, which is no value in most programs.
            texts = [
                f'"{column.spec.name}"' for column in self.table.columns if type_of(column.spec).holds_text
            ]
            options += f", FORCE_QUOTE ({', '.join(texts)})" if texts else ""
        return copy_csv(self.table.select([self._cell(at) for at in range(len(self.table.columns))]), options)

    def begin(self) -> None:
        labels = [column.label for column in self.table.columns]
        if self.form.is_for_spreadsheets:
            labels = [escaped(label) for label in labels]
        # COPY's own header would cut labels at 63 bytes.
        line = io.StringIO()
        csv.writer(line, delimiter=self.form.delimiter, lineterminator="\n").writerow(labels)
        try:
            self.out(self._mark + line.getvalue().encode(self._codec))
        except UnicodeEncodeError as error:
            label = next(label for label in labels if error.object[error.start] in label)
            raise self._refusal(f"The label “{label}”", error) from None

    def write(self, data: bytes) -> None:
        if self._codec == UTF8:
            self.out(data)
        elif records := self._records.take(data):
            self.out(self._encoded(records))

    def _cell(self, at: int) -> str:
        column = self.table.columns[at]
        text = column.text_sql
        if self.form.is_for_spreadsheets:
            text = escaped_sql(column.spec, text)
        return f'{text} AS "{column.spec.name}"' if self.form.null_word else text

    def _encoded(self, records: bytes) -> bytes:
        try:
            made = records.decode().encode(self._codec)
        except UnicodeEncodeError:
            raise self._first_refusal(records) from None
        self._written += (
            sum(1 for _ in cells_of(records, self.form.delimiter))
            if b'"' in records
            else records.count(b"\n")
        )
        return made

    def _first_refusal(self, records: bytes) -> NotWritable:
        """Return what cannot be written, with its record and column."""
        for number, cells in enumerate(cells_of(records, self.form.delimiter), start=self._written + 1):
            for column, cell in zip(self.table.columns, cells, strict=True):
                try:
                    (cell or "").encode(self._codec)
                except UnicodeEncodeError as error:
                    names = [one.spec.name for one in self.table.columns]
                    words = record_words(self.table, number, dict(zip(names, cells, strict=True)))
                    return self._refusal(f"Column “{column.label}” of {words}", error)
        raise AssertionError("the records can be written")

    def _refusal(self, where: str, error: UnicodeEncodeError) -> NotWritable:
        character = error.object[error.start]
        text = error.object[max(0, error.start - SHOWN_CHARACTERS // 2) : error.start + SHOWN_CHARACTERS // 2]
        return NotWritable(
            f"{where} holds “{character}” (U+{ord(character):04X}, in “{text}”), which does not exist in the encoding"
            f" {self.form.encoding}. Nothing was stored. Export as utf-8, or change the text."
        )
