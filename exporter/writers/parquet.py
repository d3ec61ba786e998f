"""Parquet: a column of its type each, compressed with zstd, in row groups of bounded memory.

| column | type there |
| integer | int64 |
| decimal of at most 38 digits | decimal(precision, scale) |
| boolean, date, time | boolean, date, time of nanoseconds |
| timestamp | timestamp of microseconds in UTC |
| multi_choice | list of strings |
| any other | string: texts, JSON, decimals of more digits |

Pure: no Django.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from queue import Queue
from typing import IO, TYPE_CHECKING, Any, cast

from datasets.columntypes.decimal import MOST_DIGITS, size_of
from datasets.columntypes.multi_choice import SEPARATOR
from exporter.form import FileForm
from exporter.writers.base import Column, Out, Table
from exporter.writers.frames import FrameWriter, days_of, moments_of, times_of

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import ReadableBuffer

MOST_GROUP_ROWS = 100_000
LEVEL = 3


class ParquetWriter(FrameWriter):
    """Feeds polars' writer, which asks for frames from a thread of its own."""

    content_type = "application/vnd.apache.parquet"

    def __init__(self, table: Table, form: FileForm, out: Out) -> None:
        super().__init__(table, form, out)
        self._frames: Queue[pl.DataFrame | None] = Queue(1)
        self._sink = _Sink(out)
        self._error: BaseException | None = None
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name="parquet", daemon=True)

    def begin(self) -> None:
        super().begin()
        self._thread.start()

    def take(self, frame: pl.DataFrame, first: int) -> None:
        self._put(frame.select(typed(column).alias(column.label) for column in self.table.columns))

    def finish(self) -> None:
        super().finish()
        self._put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        if self._thread.is_alive():
            self._is_given_up = self._sink.is_given_up = True
            self._put(None)
            self._thread.join()

    def _put(self, frame: pl.DataFrame | None) -> None:
        if self._error is not None and not self._is_given_up:
            raise self._error
        self._frames.put(frame)

    def _run(self) -> None:
        import polars as pl  # slow import  # noqa: PLC0415
        from polars.io.plugins import register_io_source  # slow import  # noqa: PLC0415

        schema = {column.label: type_of_column(column) for column in self.table.columns}

        def given(
            with_columns: list[str] | None, predicate: Any, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            while (frame := self._frames.get()) is not None:
                yield frame

        try:
            register_io_source(given, schema=pl.Schema(schema)).sink_parquet(
                cast("IO[bytes]", self._sink),
                compression="zstd", compression_level=LEVEL, row_group_size=MOST_GROUP_ROWS,
                maintain_order=True,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 -- told to the thread that waits for the file
            self._error = self._sink.error or error
            while self._frames.get() is not None:
                pass


class _Sink(io.RawIOBase):
    """What polars writes to; it keeps the error that polars would only tell the words of."""

    def __init__(self, out: Out) -> None:
        super().__init__()
        self._out = out
        self.error: BaseException | None = None
        self.is_given_up = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        if self.is_given_up:
            return size
        try:
            self._out(bytes(data))
        except BaseException as error:
            self.error = error
            raise
        return size


def type_of_column(column: Column) -> Any:
    """Return polars' type of a column's values."""
    import polars as pl  # slow import  # noqa: PLC0415

    match column.spec.value_type:
        case "integer":
            return pl.Int64()
        case "decimal" if size_of(column.spec)[0] <= MOST_DIGITS:
            return pl.Decimal(*size_of(column.spec))
        case "boolean":
            return pl.Boolean()
        case "date":
            return pl.Date()
        case "time":
            return pl.Time()
        case "timestamp":
            return pl.Datetime("us", "UTC")
        case "multi_choice":
            return pl.List(pl.String())
        case _:
            return pl.String()


def typed(column: Column) -> pl.Expr:
    """Return the values of a column of texts; a text that is none raises."""
    import polars as pl  # slow import  # noqa: PLC0415

    texts = pl.col(column.spec.name)
    match column.spec.value_type:
        case "boolean":
            return texts == "true"
        case "date":
            return days_of(texts)
        case "time":
            return times_of(texts)
        case "timestamp":
            return moments_of(texts).dt.replace_time_zone("UTC")
        case "multi_choice":
            return texts.str.split(SEPARATOR)
        case _:
            kind = type_of_column(column)
            return texts if kind == pl.String() else texts.cast(kind)
