r"""From a stretch of text to whole records that any reader of CSV reads alike.

What is not written plainly is rewritten: a lone `\r` that ends a record, an escaped quote, text behind a
closing quote. A quote that closes nowhere a cell ends breaks its own record at the end of its line, so no
other record is swallowed. Everything is decided within MAX_RECORD_BYTES of a record's beginning: the result
does not depend on how the text was cut, and every byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from importer.readers.grammar import Grammar
from importer.readers.mending import joined, mended

MAX_RECORD_BYTES = 1 << 20
MAX_CELLS = 16_384  # of one record; as many as a workbook's row has
MAX_ROWS = 14_336  # of one Split: what becomes of a row takes far more memory than its few bytes
DENSITY_BYTES = 65_536
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Broken(NamedTuple):
    """A record that broke at a quote: places in the text, and how many cells stand before that quote."""

    begin: int
    quote_at: int
    end: int
    cells: int


@dataclass(frozen=True, slots=True)
class Split:
    r"""The text from `begin` to `end` as `data`: `rows` whole records, each ended by `\n` or `\r\n`.

    `is_as_written`: the data are the text's own bytes. `broken` counts records from 0. A record that is `wide`,
    with more cells than one may have, stands alone and has no data. `large` says only that the record that begins
    here is larger than one may be.
    """

    begin: int
    end: int
    data: bytes = b""
    rows: int = 0
    broken: Mapping[int, Broken] = field(default_factory=dict)
    kind: Literal["read", "wide", "large"] = "read"
    is_as_written: bool = False


def split(
    text: bytes, grammar: Grammar, *, is_end: bool, limit: int = MAX_RECORD_BYTES, most: int = MAX_ROWS
) -> Iterator[Split]:
    r"""Yield the whole records that `text`, which begins with one, begins with: at most `most` of them at once.

    `is_end`: nothing follows it; it ends in a line end then. Otherwise a `\r` at its end waits for what follows.
    """
    if not is_end and text.endswith(b"\r"):
        text = text[:-1]
    splitter = _Splitter(text, grammar, is_end=is_end, limit=limit, most=most)
    return splitter.run()


def record_ends(text: bytes, grammar: Grammar, found: Split) -> Iterator[int]:
    """Yield where each record of what was found ends in the text."""
    at = found.begin
    for row in range(found.rows):
        broken = found.broken.get(row)
        at = broken.end if broken else grammar.first_end(text, at)
        yield at


def _has_lone_return(text: bytes) -> bool:
    r"""Return whether a `\r` without a `\n` stands in the text."""
    return b"\r" in text and text.count(b"\r") != text.count(b"\r\n")


class _Splitter:
    """One text on its way through `split`: line by line where it can be, record by record where it must be."""

    def __init__(self, text: bytes, grammar: Grammar, *, is_end: bool, limit: int, most: int) -> None:
        is_mixed = _has_lone_return(text)
        self.is_text_changed = False
        if is_mixed and not (grammar.quote and grammar.quote in text):
            parts = text.split(b"\r\n")
            text, is_mixed = b"\r\n".join(part.replace(b"\r", b"\n") for part in parts), False
            self.is_text_changed = True
        self.text = text
        self.grammar = grammar
        self.is_end = is_end
        self.limit = limit
        self.long = min(limit, MAX_CELLS)  # a smaller record fits
        self.most = most
        self.may_be_plain = grammar.is_plain_text and not is_mixed
        self.is_dense = self._is_dense()
        self.at = self.copied = self.rows = self.wide_end = 0
        self.stride = 1  # how many records are rewritten in one go
        self.parts: list[bytes] = []
        self.is_rewritten = False
        self.broken: dict[int, Broken] = {}

    def run(self) -> Iterator[Split]:
        while self.at < len(self.text):
            begin = self.copied = self.at
            self.rows, self.parts, self.broken, self.is_rewritten = 0, [], {}, False
            stopped = self._advance()
            if self.rows:
                self._copy_to(self.at)
                data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
                is_as_written = not (self.is_text_changed or self.is_rewritten)
                yield Split(begin, self.at, data, self.rows, self.broken, is_as_written=is_as_written)
            if stopped == "wide":
                yield Split(self.at, self.wide_end, rows=1, kind="wide")
                self.at, self.wide_end = self.wide_end, 0
            elif stopped == "large":
                yield Split(self.at, self.at, kind="large")
            if stopped in ("large", "unfinished"):
                return

    def _advance(self) -> Literal["full", "wide", "large", "unfinished"]:
        """Take records until there are as many as wanted, or one that cannot be taken."""
        while self.rows < self.most and self.at < len(self.text):
            if self._take():
                continue
            if self.wide_end:
                return "wide"
            is_unfinished = not self.is_end and len(self.text) - self.at <= self.limit
            return "unfinished" if is_unfinished else "large"
        return "full"

    def _take(self) -> bool:
        """Take what follows in the way that suits it; False when the record that follows cannot be taken."""
        begin = self.at
        if self.may_be_plain:
            self._take_plain()
        if self.at > begin or self.wide_end:
            return not self.wide_end
        if self._take_rewritten() or self.wide_end:
            return not self.wide_end
        if not self.is_end and len(self.text) - self.at <= self.limit:
            return False  # what follows decides
        return self._take_broken()

    def _is_dense(self) -> bool:
        """Return whether most records hold a quote: then looking for the next one gains nothing."""
        quote = self.grammar.quote
        return bool(quote) and self.text.count(quote, 0, DENSITY_BYTES) > self.text.count(
            b"\n", 0, DENSITY_BYTES
        )

    def _take_plain(self) -> None:
        """Take the plain records that follow; only those with a quote are looked at closely."""
        begin = self.at
        if self.is_dense:
            self._take_matching(self.grammar.plain, self.most - self.rows)
        else:
            self._take_lines_and_quoted()
        if self.at > begin:
            self.stride = 1

    def _take_lines_and_quoted(self) -> None:
        text, quote, plain = self.text, self.grammar.quote, self.grammar.plain
        while self.rows < self.most:
            found = text.find(quote, self.at) if quote else -1
            end = text.rfind(b"\n", self.at, found if found >= 0 else len(text)) + 1
            if end and not self._take_lines(end):
                return
            record = plain.match(text, self.at) if found >= 0 and self.rows < self.most else None
            if record is None or not self._fits(record.end()):
                return
            self.at = record.end()
            self.rows += 1

    def _take_lines(self, end: int) -> bool:
        """Take the lines up to `end`, which hold no quote: whether all of them could be taken."""
        text, begin = self.text, self.at
        stop = self._first_unfit(end) if end - begin > self.long else end
        lines = text.count(b"\n", begin, stop)
        if self.rows + lines > self.most:
            lines = self.most - self.rows
            stop, self.wide_end = _end_of_lines(text, begin, lines), 0
        self.at = stop
        self.rows += lines
        return stop == end

    def _first_unfit(self, end: int) -> int:
        """Return where the first line begins that is too large or too wide, or `end`."""
        text, block = self.text, max(1, self.long // 2)
        at = begin = self.at
        while at + block <= end:  # a long line holds a whole block, wherever it begins
            if text.find(b"\n", at, at + block) >= 0:
                at += block
                continue
            begin = text.rfind(b"\n", self.at, at) + 1 or self.at
            at = text.index(b"\n", at) + 1
            if not self._fits(at, begin):
                return begin
        return end

    def _fits(self, end: int, begin: int | None = None) -> bool:
        """Return whether a record is neither too large nor too wide."""
        begin = self.at if begin is None else begin
        if end - begin <= self.long:
            return True
        if end - begin > self.limit:
            return False
        if self._is_wide(begin, end):
            self.wide_end = end
        return not self.wide_end

    def _is_wide(self, begin: int, end: int) -> bool:
        if self.text.count(self.grammar.mark, begin, end) < MAX_CELLS:
            return False
        cells = self.grammar.cell.finditer(self.text, begin, end)
        return next(islice(cells, MAX_CELLS, None), None) is not None

    def _take_matching(self, pattern: re.Pattern[bytes], most: int) -> None:
        scanner = pattern.scanner(self.text, self.at)  # type: ignore[attr-defined]
        at, long, rows = self.at, self.long, 0
        for found in islice(iter(scanner.match, None), most):
            end = found.end()
            if end - at > long and not self._fits(end, at):
                break
            at = end
            rows += 1
        self.at = at
        self.rows += rows

    def _take_rewritten(self) -> bool:
        """Take complete records, written plainly; more of them the more there were in a row."""
        begin = self.at
        most = self.most - self.rows
        self._take_matching(self.grammar.record, min(self.stride, most) if self.may_be_plain else most)
        if self.at == begin:
            return False
        self.stride = min(self.stride * 2, self.most)
        self.is_rewritten = True
        self._copy_to(begin)
        self.parts.append(mended(self.text[begin : self.at], self.grammar))
        self.copied = self.at
        return True

    def _copy_to(self, end: int) -> None:
        if end > self.copied:
            self.parts.append(self.text[self.copied : end])
            self.copied = end

    def _take_broken(self) -> bool:
        """Break a record whose quote closes nowhere; False when it is no quote that makes it so large."""
        text, grammar, begin = self.text, self.grammar, self.at
        reach = begin + self.limit
        body = grammar.body.match(text, begin, reach)
        at = body.end() if body else begin
        if not grammar.quote or text[at : at + 1] != grammar.quote:
            return False
        line_end = _LINE_END.search(text, at, reach + 1)
        if not line_end or line_end.end() > reach:
            return False
        before = text[begin:at].rstrip(b" ") if grammar.skips_space else text[begin:at]
        cells = sum(1 for _ in grammar.cell.finditer(before))
        literal = text[at : line_end.start()].split(grammar.mark)
        if cells + len(literal) > MAX_CELLS:
            self.wide_end = line_end.end()
            return False
        self.is_rewritten = True
        self.broken[self.rows] = Broken(begin, at, line_end.end(), cells)
        mark = b"\n" if line_end[0] == b"\r" else line_end[0]
        self._copy_to(begin)
        self.parts += (mended(before, grammar), joined(literal, grammar), mark)
        self.at = self.copied = line_end.end()
        self.rows += 1
        return True


def _end_of_lines(text: bytes, at: int, lines: int) -> int:
    r"""Return where that many lines end that begin at `at` and end in `\n`."""
    while lines > 64:
        counted = text.count(b"\n", at, at + lines)  # so many bytes cannot hold more of them
        at, lines = at + lines, lines - counted
    for _ in range(lines):
        at = text.index(b"\n", at) + 1
    return at
