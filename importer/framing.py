r"""A chunk as a frame of cells: what polars reads of it at once, and which rows it could not tell right.

polars pads short rows and drops what is too much in long ones without a word. So every record gets a sentinel
cell at its end: a row is exactly as wide as the header when the sentinel is right behind its last column.
Line ends inside of cells are masked before and come back after: then each record is one line.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from importer.readers.grammar import Grammar

if TYPE_CHECKING:
    import polars as pl

    from importer.readers.csv import Chunk

SENTINEL = "\x01"
BOM = b"\xef\xbb\xbf"
LINE_FEED = "\x02"  # stands for the line feeds inside of cells
_BREAK = re.compile(rb"[\x02\r]")
_SENTINEL, MASKED = SENTINEL.encode(), LINE_FEED.encode()


@dataclass(slots=True)
class Framed:
    """A chunk's cells as columns `f0` and so on. Rows are counted from 0 within the chunk.

    `ragged` holds the cells of each row that is not as wide as the header; the frame's are wrong there.
    """

    cells: pl.DataFrame
    ragged: dict[int, list[str | None]]
    chunk: Chunk
    _long_rows: list[int] = field(default_factory=list)
    _further_lines: list[int] = field(default_factory=lambda: [0])  # of all long rows up to each

    def line_of(self, row: int) -> int:
        """Return the line of the file on which a row begins."""
        return self.chunk.line_of(row, self._further_lines[bisect_left(self._long_rows, row)])


class Framer:
    """Reads the chunks of one file."""

    def __init__(self, width: int, grammar: Grammar) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        self._width = width
        self._grammar = grammar
        self._names = [f"f{position}" for position in range(width)]
        self._schema = dict.fromkeys([*self._names, "_s", "_x"], pl.String())
        fits = (pl.col("_s") == SENTINEL) & pl.col("_x").is_null()
        ends_in_delimiter = (pl.col("_s").fill_null("") == "") & (pl.col("_x") == SENTINEL)
        self._fits = fits.fill_null(value=False) | ends_in_delimiter.fill_null(value=False)
        self._holds_break = pl.all().str.contains(LINE_FEED, literal=True).any()

    def read(self, chunk: Chunk) -> Framed | None:
        """Return the chunk's cells, or None when only its grammar can read them."""
        data = self._one_line_each(chunk)
        frame = None if data is None else self._read(data, chunk.rows)
        if data is None or frame is None:
            return None
        fits = frame.select(self._fits).to_series()
        texts = [] if fits.all() else data.split(b"\n")
        ragged = self._ragged(frame, texts, (~fits).arg_true().to_list())
        if ragged is None:
            return None
        framed = Framed(frame.select(self._names), ragged, chunk)
        if chunk.rows != chunk.lines:
            long = list(_long_rows(data))
            framed._long_rows = [row for row, _ in long]
            framed._further_lines = list(accumulate((further for _, further in long), initial=0))
            framed.cells = self._with_line_feeds(framed.cells, framed._long_rows)
        return framed

    def _one_line_each(self, chunk: Chunk) -> bytes | None:
        r"""Return the data with each record on one line, ended by `\n`."""
        data = chunk.data
        if _SENTINEL in data or MASKED in data:
            return None
        if chunk.rows != chunk.lines:
            data = masked(data, self._grammar.quote)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        return data if data.count(b"\n") == chunk.rows else None

    def _read(self, data: bytes, rows: int) -> pl.DataFrame | None:
        import polars as pl  # slow import  # noqa: PLC0415

        mark = f"{self._grammar.delimiter}{SENTINEL}\n".encode()
        if data.startswith(BOM):  # a text of a cell here: polars takes one away
            data = BOM + data
        try:
            frame = pl.read_csv(
                data.replace(b"\n", mark),
                has_header=False,
                schema=self._schema,
                separator=self._grammar.delimiter,
                quote_char=self._grammar.quote.decode() or None,
                truncate_ragged_lines=True,
                missing_columns="insert",
                extra_columns="ignore",
            )
        except pl.exceptions.PolarsError:
            return None
        return frame if frame.height == rows else None

    def _with_line_feeds(self, cells: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
        """Return the cells with the line feeds that were masked in these rows."""
        masked = cells[rows]
        holds = masked.select(self._holds_break).row(0)
        broken = [name for name, is_broken in zip(self._names, holds, strict=True) if is_broken]
        mended = [masked[name].str.replace_all(LINE_FEED, "\n", literal=True) for name in broken]
        return cells.with_columns(
            cells[name].scatter(rows, new) for name, new in zip(broken, mended, strict=True)
        )

    def _ragged(
        self, frame: pl.DataFrame, texts: Sequence[bytes], rows: Sequence[int]
    ) -> dict[int, list[str | None]] | None:
        """Return the cells of the rows that are not as wide as the header; None when they cannot be told.

        Rows that are too wide by empty cells only are none of them: the frame holds all that is theirs.
        """
        found: dict[int, list[str | None]] = {}
        for row, cells in zip(rows, frame[rows].rows(), strict=True):
            text = texts[row].decode().replace(LINE_FEED, "\n")
            read = next(self._grammar.records(text + "\n")).cells
            if len(read) == self._width:
                return None
            kept = without_surplus(read, self._width)
            if len(kept) != self._width:
                found[row] = kept
            elif kept != [cell and cell.replace(LINE_FEED, "\n") for cell in cells[: self._width]]:
                return None
        return found


def masked(data: bytes, quote: bytes) -> bytes:
    """Return records with MASKED for the line feeds inside of their cells, which have none of it."""
    if not quote:
        return data
    # Quotes stand only where cells begin and end, or doubled: every second part is inside of a cell.
    parts = data.split(quote)
    parts[1::2] = [part.replace(b"\n", MASKED) if b"\n" in part else part for part in parts[1::2]]
    return quote.join(parts)


def _long_rows(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each record, masked, that stands on several lines: its row, and how many lines there are more."""
    row = end = 0
    has_return = b"\r" in data
    while (mark := _first_break(data, end, has_return=has_return)) >= 0:
        row += data.count(b"\n", end, mark)
        begin, end = data.rfind(b"\n", 0, mark) + 1, data.find(b"\n", mark)
        text = data[begin:end]
        yield row, text.count(MASKED) + text.count(b"\r") - text.count(b"\r" + MASKED)


def _first_break(data: bytes, start: int, *, has_return: bool) -> int:
    if not has_return:  # then it is much faster
        return data.find(MASKED, start)
    found = _BREAK.search(data, start)
    return found.start() if found else -1


def without_surplus(cells: list[str | None], width: int) -> list[str | None]:
    """Return the cells without those beyond the header, if all of them are empty.

    >>> without_surplus(["1", None, None, ""], 2), without_surplus(["1", None, None, "x"], 2)
    (['1', None], ['1', None, None, 'x'])
    """
    return cells if any(cells[width:]) else cells[:width]


def is_blank(cells: Sequence[str | None], width: int) -> bool:
    """Return whether a row holds nothing: no cell does, or it is one cell of blanks where there are several columns."""
    if all(cell is None for cell in cells):
        return True
    return len(cells) == 1 and width > 1 and not (cells[0] or "").strip()
