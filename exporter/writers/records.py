"""Whole records out of the pieces COPY gives. Pure: no Django."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


class Records:
    """Holds back the beginning of a record until its end has come."""

    def __init__(self) -> None:
        self._tail = b""

    def take(self, data: bytes) -> bytes:
        """Return the whole records there are now. A line end within quotes ends none."""
        data = self._tail + data
        end = data.rfind(b"\n")
        quotes = data.count(b'"', 0, end + 1)
        while quotes & 1:
            earlier = data.rfind(b"\n", 0, end)
            quotes -= data.count(b'"', earlier + 1, end + 1)
            end = earlier
        self._tail = data[end + 1 :]
        return data[: end + 1]

    def rest(self) -> bytes:
        """Return what has no end: nothing, but for a COPY that broke off."""
        return self._tail


def cells_of(records: bytes, delimiter: str = ",") -> Iterator[list[str | None]]:
    """Yield the cells of whole records; None is an empty cell without quotes."""
    text = io.StringIO(records.decode(), newline="")
    for row in csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NOTNULL):
        yield list(row)
