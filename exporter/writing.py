"""One dataset into one object: rows stream from the database to the storage, a few megabytes at a time.

Three threads share the work: this one reads what COPY gives, one makes the file of it, one sends that to the
storage. So a slow storage does not hold up the database, and compressing takes a processor of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from core.storage import Store, Stored
from datasets.spec import DatasetSpec
from exporter.behind import Behind
from exporter.form import FileForm
from exporter.snapshot import Snapshot
from exporter.writers import WRITERS, FileWriter, Table, table_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BUFFER_BYTES = 1024 * 1024
LOOK_SECONDS = 1.0
MOST_WAITING = 4  # blocks of the file that wait for the storage


class Stopped(Exception):
    """The export was cancelled while a file was being written."""


class Incomplete(Exception):
    """The file does not hold as many records as the database gave."""


@dataclass(frozen=True, slots=True)
class Written:
    """An object that holds `rows` records, written in this form."""

    stored: Stored
    rows: int
    form: FileForm


class _Sink(io.RawIOBase):
    """Passes what COPY gives on in blocks, and stops when asked to."""

    def __init__(self, put: Callable[[bytes], object], is_cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._put = put
        self._is_cancelled = is_cancelled
        self._look_at = monotonic()
        self.is_closing = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        block = bytes(data)
        if self.is_closing:  # a buffer flushes what it still holds when it is thrown away
            return len(block)
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + LOOK_SECONDS
            if self._is_cancelled():
                raise Stopped
        self._put(block)
        return len(block)


def write_dataset(
    source: Snapshot,
    spec: DatasetSpec,
    path: str,
    *,
    form: FileForm,
    store: Store,
    is_cancelled: Callable[[], bool],
    table: Table | None = None,
) -> Written:
    """Write the records the snapshot sees in a form, every one unless a table of others is given.

    The object appears whole or not at all.

    :param changes: header row and SELECT of what is written in place of every record.

    :raises Stopped: `is_cancelled` said so.
    :raises NotWritable: a record holds what the form cannot say.
    """
    with store.write(path) as stored, Behind(stored.write, "send", MOST_WAITING) as sending:
        writer = WRITERS[form.format](table or table_of(spec, form), form, _blocks(sending.put))
        try:
            rows = _copied(source, writer, is_cancelled)
        except BaseException:
            writer.abort()
            raise
    return Written(stored.stored, rows, form)


def _copied(source: Snapshot, writer: FileWriter, is_cancelled: Callable[[], bool]) -> int:
    writer.begin()
    with source.cursor() as cursor:
        with Behind(writer.write, "write") as writing:
            sink = _Sink(writing.put, is_cancelled)
            # COPY hands over row by row; the buffer makes few large blocks of them.
            buffered = io.BufferedWriter(sink, BUFFER_BYTES)
            try:
                cursor.copy_expert(writer.statement(), buffered)
                buffered.flush()
            finally:
                sink.is_closing = True
        rows = int(cursor.rowcount)
    writer.finish()
    if writer.rows not in (None, rows):
        raise Incomplete(f"{writer.rows} of {rows} records were written")
    return rows


def _blocks(put: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Return what takes pieces of the file of any size; nothing is put for one of no size."""

    def out(data: bytes) -> None:
        if data:
            put(data)

    return out
