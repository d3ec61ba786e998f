"""One dataset into one object: rows stream from the database to the storage, a few megabytes at a time."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from core import storage
from core.storage import Stored
from datasets.spec import DatasetSpec
from exporter.snapshot import Snapshot
from exporter.sql import copy_statement, header_row

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BUFFER_BYTES = 1024 * 1024
LOOK_SECONDS = 1.0


class Stopped(Exception):
    """The export was cancelled while a file was being written."""


@dataclass(frozen=True, slots=True)
class Written:
    """An object that holds `rows` records."""

    stored: Stored
    rows: int


class _Sink(io.RawIOBase):
    """Passes what COPY gives to the storage, and stops when asked to."""

    def __init__(self, writer: storage.Writer, is_cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._writer = writer
        self._is_cancelled = is_cancelled
        self._look_at = monotonic()
        self.is_closing = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        if self.is_closing:  # a buffer flushes what it still holds when it is thrown away
            return memoryview(data).nbytes
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + LOOK_SECONDS
            if self._is_cancelled():
                raise Stopped
        return self._writer.write(bytes(data))


def write_dataset(
    source: Snapshot,
    spec: DatasetSpec,
    path: str,
    *,
    is_cancelled: Callable[[], bool],
    changes: tuple[bytes, str] | None = None,
) -> Written:
    """Write every record the snapshot sees as CSV. The object appears whole or not at all.

    :param changes: header row and SELECT of what is written in place of every record.

    :raises Stopped: `is_cancelled` said so.
    """
    with storage.write(path) as writer, source.cursor() as cursor:
        sink = _Sink(writer, is_cancelled)
        # COPY hands over row by row; the buffer makes few large writes of them.
        buffered = io.BufferedWriter(sink, BUFFER_BYTES)
        try:
            header, statement = header_row(spec), copy_statement(spec)
            if changes is not None:
                header, statement = changes[0], f"COPY ({changes[1]}) TO STDOUT (FORMAT csv)"
            buffered.write(header)
            cursor.copy_expert(statement, buffered)
            buffered.flush()
        finally:
            sink.is_closing = True
        rows = cursor.rowcount
    return Written(writer.stored, rows)
