"""A whole file as labels and rows, read as an import would read it: to define a dataset by.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from importer import gate
from importer.choices import SHEET_CHOICES
from importer.dialect import Dialect, sniff_path
from importer.readers.csv import read_chunks
from importer.readers.grammar import grammar_of, is_blank
from importer.readers.xlsx import to_csv


@dataclass(frozen=True, slots=True)
class Table:
    """The labels of a file and its rows, each as wide as the labels; an empty cell is None.

    A column whose label is empty is left out. `bytes` is how much text they stand in, the labels' too.
    """

    labels: list[str]
    rows: Iterator[list[str | None]]
    bytes: int = 0


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a CSV file or the first sheet of a workbook that holds anything.

    :raises OSError: it cannot be opened.
    :raises Unreadable: it is empty, or is neither CSV nor a workbook.
    """
    with path.open("rb") as file:
        kind = gate.file_kind(file.read(gate.HEAD_BYTES), path.name)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "xlsx":
            out = Path(folder) / "sheet.csv"
            to_csv(path, None, out)
            sniffed = sniff_path(out, overrides=SHEET_CHOICES)
            path = out
        else:
            sniffed = sniff_path(path)
        invented = {f"column {number}" for number in range(1, len(sniffed.labels) + 1)}
        kept = [
            at
            for at, label in enumerate(sniffed.labels)
            if sniffed.dialect.header_row == 0 or label not in invented
        ]
        labels = [sniffed.labels[at] for at in kept]
        rows = _rows(path, sniffed.dialect, kept)
        yield Table(labels, rows, path.stat().st_size)


def _rows(path: Path, dialect: Dialect, kept: list[int]) -> Iterator[list[str | None]]:
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    for chunk in read_chunks(path, dialect):
        for record in grammar.records(chunk.data.decode()):
            if not is_blank(record.cells):
                cells = record.cells
                yield [cells[at] if at < len(cells) else None for at in kept]
