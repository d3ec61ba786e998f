"""Stored files into tables of texts, by COPY: as they were written (delimiter, encoding, word for no value), in blocks.

Each value is a text that the dataset's importer reads as what it was. Files of Parquet and workbooks are read at any
place of theirs, so they are copied to this machine first.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from core import storage
from core.storage import StorageChanged
from core.tenancy import as_owner
from datasets.columntypes.grammar import sql_literal
from datasets.columntypes.multi_choice import SEPARATOR
from datasets.sqltext import quoted
from exporter.destinations import store_of
from exporter.form import FileForm
from exporter.models import ExportFile

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 1024 * 1024
COUNTED = ("csv", "csv.gz", "jsonl", "parquet")  # formats that are read here without help
# No line of ours has these, so a line is one cell.
LINES = r"FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01', NULL E'\x03', ENCODING 'UTF8'"
PLAIN = "FORMAT csv, HEADER true, ENCODING 'UTF8'"

# Writes the sheet of a workbook as CSV, its header first.
type ToCsv = Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file: its name in the table, its label in the file, and what the dataset says it holds."""

    name: str
    label: str
    value_type: str


def load(
    cursor: Any, file: ExportFile, form: FileForm, table: str, fields: Sequence[Field], workbook: ToCsv | None
) -> int:
    """Load a file into a table of texts, one column for each field; returns how many rows.

    :param workbook: what reads workbooks.
    :raises StorageChanged: it is gone, or is not the one its row speaks of.
    """
    match file.format:
        case "jsonl":
            return _load_lines(cursor, file, table, fields)
        case "parquet":
            return _load_copy(cursor, file, table, parquet_to_csv)
        case "xlsx":
            assert workbook is not None, "no reader of workbooks was given"
            return _load_copy(cursor, file, table, workbook)
    marks = f"DELIMITER {sql_literal(form.delimiter)}, NULL {sql_literal(form.null_word)}"
    # Files for spreadsheets begin with a byte order mark.
    is_signed = form.is_for_spreadsheets and form.encoding == "utf-8"
    return _copied(cursor, file, table, f"{PLAIN}, {marks}", "utf-8-sig" if is_signed else form.encoding)


def _copied(cursor: Any, file: ExportFile, table: str, options: str, encoding: str) -> int:
    with store_of(file.destination).open_read(file.key) as stored:
        source = _Checked(stored)
        plain: BinaryIO = io.BufferedReader(source, BLOCK_BYTES)
        if file.format == "csv.gz":
            plain = gzip.GzipFile(fileobj=plain)  # type: ignore[assignment] # it reads as one
        cursor.copy_expert(f"COPY {table} FROM STDIN ({options})", _Recoded(plain, encoding))
        rows = int(cursor.rowcount)
        while plain.read(BLOCK_BYTES):
            pass
    if (source.bytes, source.sha256) != (file.bytes, file.sha256):
        raise StorageChanged(f"The stored file {file.file_name!r} is not the one that was exported.")
    return rows


@as_owner()
def _load_lines(cursor: Any, file: ExportFile, table: str, fields: Sequence[Field]) -> int:
    lines = f"{table}_lines"
    cursor.execute(f"CREATE UNLOGGED TABLE {lines} (line json)")
    rows = _copied(cursor, file, lines, LINES, "utf-8")
    names = quoted([field.name for field in fields])
    cells = ", ".join(map(_json_text, fields))
    cursor.execute(f"INSERT INTO {table} ({names}) SELECT {cells} FROM {lines}")
    cursor.execute(f"DROP TABLE {lines}")
    return rows


def _json_text(field: Field) -> str:
    """Return an expression of the text of a value in `line`."""
    label = sql_literal(field.label)
    if field.value_type == "json":
        return f"CASE WHEN json_typeof(line -> {label}) <> 'null' THEN (line -> {label})::text END"
    several = (
        f"array_to_string(ARRAY(SELECT json_array_elements_text(line -> {label})), {sql_literal(SEPARATOR)})"
    )
    return f"CASE json_typeof(line -> {label}) WHEN 'array' THEN {several} ELSE line ->> {label} END"


def _load_copy(cursor: Any, file: ExportFile, table: str, to_csv: ToCsv) -> int:
    local = storage.local_copy(file.key, file.sha256, store=store_of(file.destination))
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "records.csv"
            to_csv(local, out)
            with out.open("rb") as source:
                cursor.copy_expert(f"COPY {table} FROM STDIN ({PLAIN})", source)
            return int(cursor.rowcount)
    finally:
        storage.forget_local_copy(file.sha256)


def parquet_to_csv(path: Path, out: Path) -> None:
    """Write a Parquet file of ours as CSV: each value as the importer reads it, an empty text as `""`."""
    import polars as pl  # slow import  # noqa: PLC0415

    scanned = pl.scan_parquet(path)
    texts = [_text(pl, name, kind) for name, kind in scanned.collect_schema().items()]
    scanned.select(texts).sink_csv(out, quote_style="non_numeric", null_value="")


def _text(polars: Any, name: str, kind: pl.DataType) -> pl.Expr:
    column: pl.Expr = polars.col(name)
    match str(kind.base_type()):
        case "Datetime":
            return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        case "Time":
            return column.dt.strftime("%H:%M:%S%.6f")
        case "List":
            return column.list.join(SEPARATOR)
    return column.cast(polars.String)


class _Checked(io.RawIOBase):
    """Reads a stored object, and knows its size and sha256 at the end."""

    def __init__(self, stored: BinaryIO) -> None:
        super().__init__()
        self._stored = stored
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stored.read(len(view))
        view[: len(data)] = data
        self._digest.update(data)
        self.bytes += len(data)
        return len(data)


class _Recoded:
    """Reads a file in another encoding as UTF-8."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._is_plain = encoding == "utf-8"

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """Return some of the file, nothing at its end."""
        data = self._source.read(size)
        if self._is_plain:
            return data
        while data and not (text := self._decoder.decode(data)):
            data = self._source.read(size)
        return text.encode() if data else self._decoder.decode(b"", final=True).encode()
