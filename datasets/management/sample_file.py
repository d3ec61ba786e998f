"""Rows of a CSV file to infer a definition from: plain reading, for a file people trust."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from core.errors import RowhouseError

DELIMITERS = ",;\t|"
_HEAD_CHARACTERS = 64 * 1024


class UnreadableSample(RowhouseError):
    """A file no definition can be inferred from."""

    code = "unreadable-file"
    status = 422


def read_sample(path: Path) -> tuple[list[str], Iterator[list[str | None]]]:
    """Return the labels of a CSV file's first row, and its other rows; an unquoted empty cell is None.

    :raises UnreadableSample: it is missing, empty, not UTF-8 or not CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.read(_HEAD_CHARACTERS)
    except OSError as error:
        raise UnreadableSample(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableSample(f"{path} is not UTF-8; save it as UTF-8 first.") from error
    if not head.strip():
        raise UnreadableSample(f"{path} is empty.")
    rows = _rows(path, delimiter_of(head))
    labels = [cell or "" for cell in next(rows)]
    return labels, ([*row[: len(labels)], *[None] * (len(labels) - len(row))] for row in rows)


def delimiter_of(head: str) -> str:
    """Return the delimiter that stands most often outside of quotes in the first line."""
    line = head.splitlines()[0]
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _rows(path: Path, delimiter: str) -> Iterator[list[str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NOTNULL, strict=True)
            for row in reader:
                if row:
                    yield list(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableSample(f"{path} cannot be read to its end: {error}.") from error
