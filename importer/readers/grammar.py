r"""The grammar of delimited text, once: where a record ends and what its cells are.

It is the grammar of Python's `csv.reader`: a quote opens only at the start of a cell, a doubled quote is a
quote, text after a closing quote belongs to the cell, `\n`, `\r\n` and a lone `\r` outside quotes end a record.
Unlike it, an empty cell (None) and an empty text (`""`) stay apart, and every step is linear in its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one record, and on how many lines it stands."""

    cells: list[str | None]
    lines: int
    stray_quote: bool  # a quoted cell spans lines and goes on after its closing quote: a quote too many

    @property
    def is_blank(self) -> bool:
        """Whether nothing is in it: an empty line, or one that holds delimiters only."""
        return is_blank(self.cells)


def is_blank(cells: list[str | None]) -> bool:
    """Return whether a record holds nothing: every cell empty, or one cell of blanks."""
    return not any(cell is not None for cell in cells) or (len(cells) == 1 and not (cells[0] or "").strip())


class Grammar:
    """One delimiter and one quote (or none, ""), compiled. Both are single ASCII characters."""

    def __init__(self, delimiter: str, quote: str) -> None:
        d = re.escape(delimiter)
        self.delimiter = delimiter
        self.quote = quote.encode("ascii")
        if quote:
            self._compile(d, re.escape(quote))
        else:
            self._cell = re.compile(rf"()()([^{d}\r\n]*+)({d}|\r?\n)")
            self._body = re.compile(rb"[^\n]*+")
            self._plain = self._any = re.compile(rb"[^\n]*+\n")
            self._line_end = re.compile(rb"\r(?!\n)")
            self._flat = ""

    def _compile(self, d: str, q: str) -> None:
        quoted = rf"{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}"
        opening = rf"(?<![^{d}\n])"
        plain = rf"(?:[^{q}\n]*+{opening}{quoted}(?![^{d}\r\n]))*+[^{q}\n]*+\n"
        body = rf"(?:[^{q}\n]++|{opening}{quoted}[^{d}\n]*+|(?<=[^{d}\n]){q})*+"
        self._plain = re.compile(plain.encode())
        self._body = re.compile(body.encode())
        self._any = re.compile(rf"{body}\n".encode())
        self._line_end = re.compile(rf"(?<![^{d}\r\n]){quoted}?|\r(?!\n)".encode())
        inside = rf"[^{q}]*+(?:{q}{q}[^{q}]*+)*+"
        self._cell = re.compile(rf"(?:{q}({inside}){q}([^{d}\r\n]*+)|([^{d}\r\n]*+))({d}|\r?\n)")
        # In the syntax of Rust's regex: plain records, none with a line end inside quotes.
        self._flat = rf"\A(?:(?:{q}(?:[^{q}\n]|{q}{q})*{q}|[^{q}{d}\n]*)(?:{d}|\r?\n))*\z"

    def unify_line_ends(self, data: bytes) -> bytes:
        r"""Return `data`, which begins with a record, with `\n` for each lone `\r` that ends a record.

        The length stays the same; a `\r` inside quotes and `\r\n` stay as they are.
        """
        if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
            return data
        return self._line_end.sub(lambda found: b"\n" if found[0] == b"\r" else found[0], data)

    def complete(self, data: bytes) -> tuple[int, int, bool]:
        r"""Return where the last complete record of `data` ends, how many there are, whether all are plain.

        `data` begins with a record and went through `unify_line_ends`. A plain record has a quote only
        where a cell begins or ends: any reader of CSV reads it alike.
        """
        last = data.rfind(b"\n") + 1
        if not self.quote or self.quote not in data or self._is_flat(data[:last]):
            return last, data.count(b"\n"), True
        end, count = _advance(self._plain, data, 0)
        further, more = _advance(self._any, data, end)
        return further, count + more, not more

    def _is_flat(self, data: bytes) -> bool:
        """Return whether all records are surely plain and stand on one line each: the common case, fast."""
        import polars as pl  # slow import  # noqa: PLC0415

        try:
            text = data.decode()
        except UnicodeDecodeError:
            return False
        return bool(pl.Series([text]).str.contains(self._flat)[0])

    def first_end(self, data: bytes, start: int = 0) -> int:
        """Return where the record that begins at `start` ends, or -1 when it is not complete."""
        found = self._any.match(data, start)
        return found.end() if found else -1

    def bounds(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of every complete record."""
        ends = [0]
        while (end := self.first_end(data, ends[-1])) > 0:
            ends.append(end)
        yield from pairwise(ends)

    def open_quote(self, data: bytes) -> int:
        """Return where the quote stands that the unfinished record `data` never closes, or -1."""
        if not self.quote:
            return -1
        found = self._body.match(data)
        at = found.end() if found else 0
        return at if data[at : at + 1] == self.quote else -1

    def records(self, text: str) -> Iterator[Record]:
        """Yield every record of `text`, which holds complete records only."""
        cells: list[str | None] = []
        lines, stray = 0, False
        for found in self._cell.finditer(text):
            quoted, rest, bare, end = found.groups()
            if quoted is None or not self.quote:
                cells.append(bare or None)
            else:
                lines += _line_ends(quoted)
                stray = stray or (bool(rest) and "\n" in quoted)
                cells.append(self._unescape(quoted) + rest)
            if end != self.delimiter:
                yield Record(cells, lines + 1, stray)
                cells, lines, stray = [], 0, False

    def _unescape(self, quoted: str) -> str:
        quote = self.quote.decode()
        return quoted.replace(quote * 2, quote) if quote in quoted else quoted


def count_lines(data: bytes) -> int:
    r"""Return how many lines end in `data`: by `\n`, `\r\n` or a lone `\r`."""
    lines = data.count(b"\n")
    return lines + data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else lines


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _advance(pattern: re.Pattern[bytes], data: bytes, start: int) -> tuple[int, int]:
    """Return where an unbroken run of matches from `start` ends, and how many there are."""
    scanner = pattern.scanner(data, start)  # type: ignore[attr-defined]
    count, end = 0, start
    for found in iter(scanner.match, None):
        count += 1
        end = found.end()
    return end, count


@lru_cache(maxsize=64)
def grammar_of(delimiter: str, quote: str) -> Grammar:
    """Return the compiled grammar of a delimiter and a quote."""
    return Grammar(delimiter, quote)
