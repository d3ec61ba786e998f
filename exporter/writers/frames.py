"""COPY's records as frames of texts, and the errors that name one of their cells. Pure: no Django."""

from __future__ import annotations

from abc import abstractmethod
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, ClassVar

from exporter.writers.base import FileWriter, NotWritable, copy_csv, record_words
from exporter.writers.records import Records

if TYPE_CHECKING:
    import polars as pl


class FrameWriter(FileWriter):
    """Collects records until there are enough for a frame; `rows` counts them."""

    block_bytes: ClassVar[int] = 4 * 1024 * 1024  # of text; a frame takes several times as much
    _records: Records
    _held: list[bytes]
    _held_bytes: int

    def begin(self) -> None:
        self.rows = 0
        self._records, self._held, self._held_bytes = Records(), [], 0

    def statement(self) -> str:
        return copy_csv(
            self.table.select(
                [
                    native_sql(column.sql, column.spec.value_type) or column.copy_sql
                    for column in self.table.columns
                ]
            )
        )

    def write(self, data: bytes) -> None:
        if records := self._records.take(data):
            self._held.append(records)
            self._held_bytes += len(records)
        if self._held_bytes >= self.block_bytes:
            self._take()

    def finish(self) -> None:
        if self._held:
            self._take()

    @abstractmethod
    def take(self, frame: pl.DataFrame, first: int) -> None:
        """Write a frame of texts, its columns named as in the database; `first` is its first record, from 1."""

    def _take(self) -> None:
        assert self.rows is not None
        frame = self._frame(b"".join(self._held))
        self._held, self._held_bytes = [], 0
        self.take(frame, self.rows + 1)
        self.rows += frame.height

    def _frame(self, records: bytes) -> pl.DataFrame:
        import polars as pl  # slow import  # noqa: PLC0415

        if records.startswith(BOM_UTF8):  # a text of the first cell: polars takes one away
            records = BOM_UTF8 + records
        schema = {column.spec.name: pl.String for column in self.table.columns}
        return pl.read_csv(records, has_header=False, schema=schema)

    def refuse(self, frame: pl.DataFrame, name: str, at: int, first: int, why: str) -> NotWritable:
        """Return the error that names a cell by the column's name and its row in the frame."""
        label = next(column.label for column in self.table.columns if column.spec.name == name)
        words = record_words(self.table, first + at, frame.row(at, named=True))
        return NotWritable(f"Column “{label}” of {words} {why}")


def native_sql(sql: str, kind: str) -> str | None:
    """Return an expression of PostgreSQL's own text where that is quicker made and read than the canonical one."""
    return f"({sql} AT TIME ZONE 'UTC')" if kind == "timestamp" else None


def days_of(texts: pl.Expr) -> pl.Expr:
    return texts.str.to_date("%Y-%m-%d")


def times_of(texts: pl.Expr) -> pl.Expr:
    return texts.str.to_time("%H:%M:%S%.f")


def moments_of(texts: pl.Expr) -> pl.Expr:
    return texts.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
