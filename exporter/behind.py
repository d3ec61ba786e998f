"""Work that another thread does behind the one that reads the database, in order and with bounded memory.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Self


class Behind:
    """Hands blocks to `take` in a thread. Its first error stops it and is raised by the next `put`, or at the end.

    Compressing and sending let the reading go on meanwhile; at most `held` blocks wait.
    """

    def __init__(self, take: Callable[[bytes], object], name: str, held: int = 2) -> None:
        self._take = take
        self._blocks: Queue[bytes | None] = Queue(held)
        self._error: BaseException | None = None
        self._is_over = False
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def put(self, block: bytes) -> None:
        """Hand a block over; waits while too many are waiting already."""
        if self._error is not None:
            raise self._error
        self._blocks.put(block)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until every block is taken; after an error of the block's own what waits is let go.

        :raises BaseException: what stopped the thread, unless the block has an error of its own.
        """
        self._is_over = error is not None
        self._blocks.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            if self._error is None and not self._is_over:
                try:
                    self._take(block)
                except BaseException as error:  # noqa: BLE001 -- raised again in the thread that waits
                    self._error = error
