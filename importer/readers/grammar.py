r"""The grammar of delimited text, once: where a record ends and what its cells are.

It is the grammar of Python's `csv.reader`: a quote opens only at the start of a cell, a doubled quote is a
quote, text after a closing quote belongs to the cell, `\n`, `\r\n` and a lone `\r` outside quotes end a record.
Unlike it, an empty cell (None) and an empty text (`""`) stay apart, a quote that closes nowhere a cell ends
breaks its own record only, and every step is linear in its input.
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

    @property
    def is_blank(self) -> bool:
        """Whether nothing is in it: an empty line, or one that holds delimiters only."""
        return is_blank(self.cells)


def is_blank(cells: list[str | None]) -> bool:
    """Return whether a record holds nothing: every cell empty, or one cell of blanks."""
    return not any(cell is not None for cell in cells) or (len(cells) == 1 and not (cells[0] or "").strip())


class Grammar:
    r"""How a delimiter and a quote (or none, "") part a text, compiled. Both are single ASCII characters.

    With `escape` a character that follows it is meant as it stands when it is the quote, the delimiter or the
    escape itself. With `skips_space` blanks after a delimiter are no part of the cell.

    Patterns over the file's bytes: `record`, ended by any line end; `body`, the cells before the one that does
    not end well; `cell` with its end; `plain`, a record ended by `\n` with quotes only where cells begin and end.
    """

    def __init__(self, delimiter: str, quote: str, escape: str = "", *, skips_space: bool = False) -> None:
        self.delimiter = delimiter
        self.mark = delimiter.encode("ascii")
        self.quote = quote.encode("ascii")
        self.escape = escape.encode("ascii")
        self.skips_space = skips_space and delimiter != " "
        self.is_plain_text = not (escape or skips_space)  # its records need no rewriting
        d, q, e = (re.escape(mark) for mark in (delimiter, quote, escape))
        space = r" *+" if self.skips_space else ""
        bare = rf"(?:[^{d}\r\n{e}]++|{e}[^\r\n]|{e})*+" if escape else rf"[^{d}\r\n]*+"
        if quote:
            inside, flat = _inside(q, e, ""), _inside(q, e, r"\r\n")
            blanks = "".join(blank for blank in " \t" if blank != delimiter)
            well = rf"{q}{inside}{q}[{blanks}]*+(?=[{d}\r\n])"
            loose = rf"{q}{flat}{q}[^{d}\r\n]*+"
            complete = rf"{space}(?:{well}|{loose}|(?!{q}){bare})"
            quoted = rf"{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}"
            plain = rf"(?:[^{q}\n]*+(?<![^{d}\n]){quoted}(?![^{d}\r\n]))*+[^{q}\n]*+\n"
            read = rf"(?:{q}([^{q}]*+(?:{q}{q}[^{q}]*+)*+){q}([^{d}\r\n]*+)|([^{d}\r\n]*+))({d}|\r?\n)"
            parts = rf"{q}(?P<quoted>{inside}){q}(?P<rest>[^{d}\r\n]*+)|(?P<bare>{bare})"
            as_written = rf"{q}[^{q}{e}]*+(?:{q}{q}[^{q}{e}]*+)*+{q}|[^{d}{q}{e}\r\n]*+"
        else:
            complete, plain = rf"{space}{bare}", r"[^\n]*+\n"
            read = rf"()()([^{d}\r\n]*+)({d}|\r?\n)"
            parts = rf"(?P<quoted>(?!))?(?P<rest>)(?P<bare>{bare})"
            as_written = rf"[^{d}\r\n]*+"
        self._read = re.compile(read)
        self.plain = re.compile(plain.encode())
        self.record = re.compile(rf"{complete}(?:{d}{complete})*+(?:\r\n|\n|\r)".encode())
        self.body = re.compile(rf"(?:{complete}{d})*+{space}".encode())
        cell = rf"{space}(?:{parts})(?P<end>{d}|\r?\n|\r)"
        self.cell = re.compile(cell.encode())
        # As many cells as are written plainly, and one that is not: all there is in complete records.
        no_space = r"(?! )" if self.skips_space else ""
        kept = rf"(?:{no_space}(?:{as_written})(?:{d}|\r?\n))*+"
        self.kept = re.compile(rf"(?P<kept>{kept})(?:{cell})?".encode())

    def first_end(self, data: bytes, start: int = 0) -> int:
        """Return where the record that begins at `start` ends, or -1 when it is not complete."""
        found = self.record.match(data, start)
        return found.end() if found else -1

    def bounds(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of every complete record."""
        ends = [0]
        while (end := self.first_end(data, ends[-1])) > 0:
            ends.append(end)
        yield from pairwise(ends)

    def records(self, text: str) -> Iterator[Record]:
        r"""Yield every record of `text`: complete records, as a chunk holds them (no escapes, no lone `\r` at ends)."""
        cells: list[str | None] = []
        lines = 0
        for found in self._read.finditer(text):
            quoted, rest, bare, end = found.groups()
            if quoted is None or not self.quote:
                cells.append(bare or None)
            else:
                lines += _line_ends(quoted)
                cells.append(self._unescape(quoted) + rest)
            if end != self.delimiter:
                yield Record(cells, lines + 1)
                cells, lines = [], 0

    def _unescape(self, quoted: str) -> str:
        quote = self.quote.decode()
        return quoted.replace(quote * 2, quote) if quote in quoted else quoted


def _inside(q: str, e: str, without: str) -> str:
    """Return the pattern of what stands between quotes."""
    if e:
        any_character = rf"[^{without}]" if without else r"[\s\S]"
        return rf"(?:[^{q}{e}{without}]++|{q}{q}|{e}{any_character})*+"
    return rf"[^{q}{without}]*+(?:{q}{q}[^{q}{without}]*+)*+"


def count_lines(data: bytes) -> int:
    r"""Return how many lines end in `data`: by `\n`, `\r\n` or a lone `\r`."""
    lines = data.count(b"\n")
    return lines + data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else lines


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


@lru_cache(maxsize=64)
def grammar_of(delimiter: str, quote: str, escape: str = "", *, skips_space: bool = False) -> Grammar:
    """Return the compiled grammar of a delimiter and a quote; a chunk's records need no more than these."""
    return Grammar(delimiter, quote, escape, skips_space=skips_space)
