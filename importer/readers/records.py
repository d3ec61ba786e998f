"""The records of canonical CSV that a sheet's rows become, and what is counted on the way.

Pure: no Django.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from importer.header import find_header
from importer.issues import WorkbookRefused
from importer.readers.celltext import MAX_CELL_BYTES
from importer.readers.grammar import grammar_of

MAX_COLUMNS = 1_600  # PostgreSQL's own limit
MAX_CELLS = 25_000_000
MAX_HAZARDS = 100_000
HELD_ROWS = 200  # as many as the header is looked for in
HELD_BYTES = 4 * 1024 * 1024


class Records:
    """Writes rows from row 1 on; rows that hold nothing are empty lines.

    A sheet has no width, but CSV has: that of its header. So the first rows are held back until it is known
    which of them is the header (unless a person chose it). From there on each row is as wide as the widest
    so far: none is too narrow for the header, and a cell beyond the last label makes its row too wide, as in
    any CSV. Rows above the header are as wide as they are.
    """

    def __init__(self, out: BinaryIO, header_row: int | None = None) -> None:
        self.rows = self.width = self.formulas = self.hidden_rows = 0
        self.header_row = header_row  # 0 when there is none; None while it is not known
        self.widths: list[tuple[int, int]] = []  # (first row, how wide rows are written from there on)
        self.hazards: dict[tuple[int, int], str] = {}
        self.hidden_columns: list[tuple[int, int]] = []
        self._out = out
        self._cells = 0
        self._padded = 0
        self._held: list[tuple[int, list[bytes]]] = []
        self._held_bytes = 0

    def write(self, row: int, cells: list[bytes], *, is_hidden: bool = False) -> None:
        """Write one row; trailing cells that hold nothing do not count."""
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            return
        if len(cells) > self.width:
            self._grow(len(cells))
        self.hidden_rows += is_hidden
        if self.header_row is not None:
            self._put(row, cells)
            return
        self._held.append((row, cells))
        self._held_bytes += sum(map(len, cells))
        if len(self._held) >= HELD_ROWS or row > HELD_ROWS or self._held_bytes > HELD_BYTES:
            self.finish()

    def write_rows(
        self, rows: Sequence[int], columns: Sequence[Sequence[bytes]], are_hidden: Sequence[bool]
    ) -> None:
        """Write rows that are given by their columns, as `write` does of each."""
        width = len(columns)
        while width and not any(columns[width - 1]):
            width -= 1
        lines = list(zip(*columns[:width], strict=True))
        padded = self._padded
        is_plain = (
            self.header_row is not None
            and rows[0] >= self.header_row
            and width <= padded
            and not any(are_hidden)
        )
        if is_plain and width and rows[0] == self.rows + 1 and rows[-1] - rows[0] == len(rows) - 1:
            ending = b"," * (padded - width) + b"\n"
            records = [b",".join(line) + ending for line in lines]
            if (
                b"," * (padded - 1) + b"\n" not in records
                and max(map(len, records)) <= MAX_CELL_BYTES
                and self._cells + padded * len(rows) <= MAX_CELLS
            ):
                self._cells += padded * len(rows)
                self.rows = rows[-1]
                self._out.write(b"".join(records))
                return
        for row, line, is_hidden in zip(rows, lines or [()] * len(rows), are_hidden, strict=True):
            self.write(row, list(line), is_hidden=is_hidden)

    def finish(self) -> None:
        """Write what was held back."""
        if self.header_row is None:
            self.header_row = _header_row(self._held)
        held, self._held = self._held, []
        for row, cells in held:
            self._put(row, cells)

    def add_hazard(self, row: int, column: int, word: str) -> None:
        """Name a cell that shows a word but holds no value to trust."""
        if len(self.hazards) >= MAX_HAZARDS:
            raise WorkbookRefused(
                f"More than {MAX_HAZARDS:,} cells of the sheet hold errors or formulas without a result. "
                "Open the workbook, let it calculate, save it and upload it again."
            )
        self.hazards[row, column] = word

    def _grow(self, width: int) -> None:
        if width > MAX_COLUMNS:
            raise WorkbookRefused(
                f"The sheet is too large: column {width:,} holds a value; at most {MAX_COLUMNS:,} may."
            )
        self.width = width

    def _put(self, row: int, cells: list[bytes]) -> None:
        assert self.header_row is not None
        width = len(cells)
        padded = self._padded
        if row >= self.header_row and width > padded:
            padded = self._padded = width
            self.widths.append((row, width))
        self._cells += max(width, padded)
        if self._cells > MAX_CELLS:
            raise WorkbookRefused(f"The sheet has more than {MAX_CELLS:,} cells. Upload it as CSV instead.")
        if row - self.rows > 1:
            self._out.write(b"\n" * (row - self.rows - 1))
        self.rows = row
        record = b",".join(cells) + b"," * (padded - width) + b"\n"
        if len(record) > MAX_CELL_BYTES:
            raise WorkbookRefused(f"Row {row:,} of the sheet is larger than 1 MiB. Shorten its cells.")
        self._out.write(record)


def _header_row(held: list[tuple[int, list[bytes]]]) -> int:
    """Return the row the header is in, 0 for none, as it will be found in the CSV."""
    text, rows, width = [], 0, 0
    for row, cells in held[:HELD_ROWS]:
        if row > HELD_ROWS:
            break
        width = max(width, len(cells))
        text.append(b"\n" * (row - rows - 1) + b",".join(cells) + b"," * (width - len(cells)) + b"\n")
        rows = row
    records = list(grammar_of(",", '"').records(b"".join(text).decode()))
    return find_header(records).row if any(not record.is_blank for record in records) else 1


def widen(narrow: Path, out: Path, records: Records) -> None:
    """Copy the rows, with the delimiters that those above the first row of full width still lack."""
    grammar = grammar_of(",", '"')
    steps = [*records.widths[1:], (1 << 32, 0)]
    at, width, row, tail = 0, records.widths[0][1], 0, b""
    with narrow.open("rb") as source, out.open("wb") as target:
        while piece := source.read(1 << 20):
            data = tail + piece
            done = 0
            for begin, end in grammar.bounds(data):
                row += 1
                if row >= steps[at][0]:
                    width, at = steps[at][1], at + 1
                missing = records.width - width
                is_filled = missing and end - begin > 1
                target.write(data[begin : end - 1] + b"," * missing + b"\n" if is_filled else data[begin:end])
                done = end
            tail = data[done:]
