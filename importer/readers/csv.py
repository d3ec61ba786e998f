r"""Delimited text, streamed: chunks of whole records in UTF-8, with bounded memory, from any saved position.

Rows count records from 1 (header, what stands above it and blank lines too), lines count physical lines.
U+2028 and U+0085 are data. Bytes that are no text in the dialect's encoding stay visible as `\xe9` and mark
their row; no replacement character is ever written.
"""

from __future__ import annotations

from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from importer.issues import RecordTooLarge
from importer.readers.apostrophes import without_signs
from importer.readers.footer import footer_start
from importer.readers.grammar import Grammar, count_lines
from importer.readers.splitting import MAX_CELLS, MAX_RECORD_BYTES, Broken, Split, record_ends, split
from importer.readers.text import BadBytes, TextSource, escape_bad_bytes, is_utf8

if TYPE_CHECKING:
    from importer.dialect import Dialect

CHUNK_BYTES = 2 << 20
MAX_LINE_BYTES = 16 << 20  # a larger line is no row that is too large, but no table
REPEATED_RULE = "The row repeats the header. Leave it out, or let it be rejected."
SHOWN_CHARACTERS = 200
SHOWN_BYTES = 4 * SHOWN_CHARACTERS


@dataclass(frozen=True, slots=True)
class Position:
    """Between two records: the byte offset in the file, and the line and row of the record that follows."""

    offset: int = 0
    line: int = 1
    row: int = 1

    def to_dict(self) -> dict[str, int]:
        return {"offset": self.offset, "line": self.line, "row": self.row}

    @classmethod
    def from_dict(cls, saved: Mapping[str, int]) -> Self:
        return cls(offset=saved["offset"], line=saved["line"], row=saved["row"])

    def after(self, offset: int, lines: int, rows: int) -> Position:
        """Return the position that many bytes of the file, lines and rows further on."""
        return Position(self.offset + offset, self.line + lines, self.row + rows)


@dataclass(frozen=True, slots=True)
class Chunk:
    r"""Whole records, UTF-8, each ended by `\n` or `\r\n`, written so that any reader of CSV reads them alike.

    `bad_rows` are rejected whatever their cells hold: bytes that are no text, a quote that closes nowhere, a
    row larger than a row may be (its beginning stands for it), the header once more.
    """

    data: bytes
    first_line: int
    first_row: int
    rows: int  # records, blank ones too
    end: Position
    bad_rows: Mapping[int, BadBytes] = field(default_factory=dict)
    is_as_written: bool = False  # the data are the file's own bytes up to `end`

    @property
    def lines(self) -> int:
        """How many lines the records stand on."""
        return self.end.line - self.first_line

    def row_of(self, at: int) -> int:
        """Return the row of a record, counted from 0."""
        return self.first_row + at

    def at_of(self, row: int) -> int:
        """Return which record a row of the chunk is, counted from 0."""
        return row - self.first_row

    def line_of(self, at: int, further: int) -> int:
        """Return the line on which a record begins; those before it stand on `further` lines more than they are."""
        return self.first_line + at + further


class Mark(NamedTuple):
    """Where in a chunk a record begins, all counted from 0: which it is, on which line, at which byte of the data."""

    at: int
    line: int
    offset: int


@dataclass(frozen=True, slots=True)
class Excerpt(Chunk):
    """Some records of a chunk, with the row and the line of each."""

    row_numbers: Sequence[int] = ()
    line_numbers: Sequence[int] = ()

    @property
    def lines(self) -> int:
        return count_lines(self.data)

    def row_of(self, at: int) -> int:
        return self.row_numbers[at]

    def at_of(self, row: int) -> int:
        return bisect_left(self.row_numbers, row)

    def line_of(self, at: int, further: int) -> int:
        return self.line_numbers[at]


def read_chunks(
    path: Path, dialect: Dialect, *, start: Position | None = None, size: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """Yield the records below the header, about `size` bytes and no more than MAX_ROWS at a time.

    `start` is the `end` of a chunk read before; without it reading begins below the header row. Memory is
    bounded by `size` and MAX_RECORD_BYTES.

    :raises RecordTooLarge: a line is larger than MAX_LINE_BYTES.
    """
    header = b"" if start is None else _header_of(path, dialect)
    skip = dialect.header_row if start is None else 0
    for chunk in _all_chunks(path, dialect, start, size):
        kept = chunk
        if skip:
            skipped = min(skip, chunk.rows)
            skip -= skipped
            kept, header = _without_first(chunk, dialect.plain_grammar, skipped)
        if kept.rows:
            yield _with_repeated(kept, header, dialect.plain_grammar)


def _all_chunks(path: Path, dialect: Dialect, start: Position | None, size: int) -> Iterator[Chunk]:
    """Yield all records from `start` on, the header too."""
    with path.open("rb") as file:
        stop = footer_start(file, dialect.encoding, dialect.skip_footer) if dialect.skip_footer else None
        source = TextSource(file, dialect.encoding, start.offset if start else 0, stop)
        at = replace(start or Position(), offset=source.offset)
        chunks = _Reader(source, dialect.grammar, dialect.plain_grammar, at).chunks(size)
        yield from (_unsigned(chunk, dialect) for chunk in chunks) if dialect.drops_apostrophes else chunks


def _unsigned(chunk: Chunk, dialect: Dialect) -> Chunk:
    """Return the chunk with each cell as it was before it got the sign that it is no formula."""
    data = without_signs(chunk.data, dialect.delimiter, dialect.quote)
    return chunk if data is chunk.data else replace(chunk, data=data, is_as_written=False)


def _header_of(path: Path, dialect: Dialect) -> bytes:
    """Return the header's record."""
    skip, header = dialect.header_row, b""
    chunks = _all_chunks(path, dialect, None, CHUNK_BYTES // 16)
    while skip and (chunk := next(chunks, None)):
        skipped = min(skip, chunk.rows)
        skip -= skipped
        _, header = _without_first(chunk, dialect.plain_grammar, skipped)
    return header


def _with_repeated(chunk: Chunk, header: bytes, grammar: Grammar) -> Chunk:
    """Return the chunk with the rows marked that repeat the header: files written one behind the other have them."""
    labels = header.rstrip(b"\r\n")
    if not labels or labels not in chunk.data:
        return chunk
    if sum(1 for cell in next(grammar.records(header.decode())).cells if cell and cell.strip()) < 2:
        return chunk
    repeated = {
        row: BadBytes(0, "", "repeated-header", REPEATED_RULE)
        for row, (begin, end) in enumerate(grammar.bounds(chunk.data), start=chunk.first_row)
        if chunk.data[begin:end].rstrip(b"\r\n").removeprefix(BOM_UTF8) == labels
    }
    return replace(chunk, bad_rows=repeated | dict(chunk.bad_rows)) if repeated else chunk


class _Reader:
    """A text on its way to chunks. `at` is where the record stands that follows."""

    def __init__(self, source: TextSource, grammar: Grammar, plain: Grammar, at: Position) -> None:
        self.source = source
        self.grammar = grammar
        self.plain = plain
        self.at = at

    def chunks(self, size: int) -> Iterator[Chunk]:
        tail = b""
        while not self.source.is_at_end or tail:
            text = self._read_more(tail, max(size, len(tail)))  # at least twice as much: linear in all
            tail = b""
            used = 0
            for found in split(text, self.grammar, is_end=self.source.is_at_end, limit=MAX_RECORD_BYTES):
                used = found.end
                if found.kind == "read":
                    yield self._chunk(text, found)
                elif found.kind == "wide":
                    yield self._wide(text[found.begin : found.end])
                else:
                    chunk, tail = self._large(text[found.begin :])
                    used = len(text)
                    yield chunk
            tail = tail or text[used:]

    def _read_more(self, tail: bytes, size: int) -> bytes:
        r"""Return `tail` and about `size` bytes more; the last record of the file gets the `\n` it may lack."""
        data = tail + self.source.read(size)
        if self.source.is_at_end and data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        return data

    def _chunk(self, text: bytes, found: Split) -> Chunk:
        written = text[found.begin : found.end]
        lines = count_lines(written)
        begin, self.at = self.at, self.at.after(self.source.raw_length(written), lines, found.rows)
        data = found.data
        is_as_written = self.source.is_utf8 and found.is_as_written
        bad_rows: dict[int, BadBytes] = {}
        if not is_utf8(data):
            data, bad_rows = self._mark_bad_rows(text, found, begin)
            is_as_written = False
        if found.broken:
            where = _Where(self.source, text, found.begin, begin)
            for number, broken in found.broken.items():
                bad_rows[begin.row + number] = self._broken(text, broken, where)
        return Chunk(data, begin.line, begin.row, found.rows, self.at, bad_rows, is_as_written)

    def _mark_bad_rows(self, text: bytes, found: Split, at: Position) -> tuple[bytes, dict[int, BadBytes]]:
        """Return the data with every bad byte escaped, and where the first one of each such row stands."""
        records: list[bytes] = []
        bad_rows: dict[int, BadBytes] = {}
        where = _Where(self.source, text, found.begin, at)
        begin = found.begin
        bounds = zip(self.plain.bounds(found.data), record_ends(text, self.grammar, found), strict=True)
        for number, ((first, last), end) in enumerate(bounds):
            record = found.data[first:last]
            if not record.isascii():
                record, _, word = escape_bad_bytes(record)
                if word:
                    _, bad_at, word = escape_bad_bytes(text[begin:end])
                    bad_rows[at.row + number] = BadBytes(where.of(begin + bad_at)[0], word)
            records.append(record)
            begin = end
        return b"".join(records), bad_rows

    def _broken(self, text: bytes, broken: Broken, where: _Where) -> BadBytes:
        """Return what is wrong with a record that broke at a quote."""
        offset, line = where.of(broken.quote_at)
        cell = text[broken.quote_at : broken.end].rstrip(b"\r\n").split(self.grammar.mark, 1)[0]
        return BadBytes(
            offset=offset,
            word=escape_bad_bytes(cell)[0].decode(),
            code="unterminated-quote",
            rule=f"The quote that opens on line {line} closes nowhere that a cell ends, so the row was read up to "
            "the end of that line. Close the quote, or double it if it is part of the text.",
            position=broken.cells,
        )

    def _wide(self, text: bytes) -> Chunk:
        rule = f"The row has more than {MAX_CELLS:,} cells. Only its beginning is shown here."
        return self._unread(text, self.source.raw_length(text), count_lines(text), rule)

    def _large(self, tail: bytes) -> tuple[Chunk, bytes]:
        """Return a chunk for the record that begins `tail`, and what follows its last line."""
        size = length = lines = 0
        shown = b""
        part, start = tail, MAX_RECORD_BYTES - 1
        while (end := _line_end(part, start, is_end=self.source.is_at_end)) < 0:
            if size > MAX_LINE_BYTES:
                raise RecordTooLarge(
                    f"Row {self.at.row}, which begins on line {self.at.line}, is larger than "
                    f"{MAX_LINE_BYTES >> 20} MiB. Check the delimiter and the line ends, or shorten its cells."
                )
            shown = (shown + part[:SHOWN_BYTES])[:SHOWN_BYTES]
            held = part[-1:] if part.endswith(b"\r") else b""  # its \n may come next
            part = part.removesuffix(b"\r")
            size, length, lines = (
                size + len(part),
                length + self.source.raw_length(part),
                lines + count_lines(part),
            )
            part, start = self._read_more(held, CHUNK_BYTES) or b"\n", 0  # the last line may lack its end
        line = part[:end]
        rule = (
            f"The row is {size + end:,} bytes large; the limit is {MAX_RECORD_BYTES:,}. Shorten its cells. "
            "Only its beginning is shown here."
        )
        length += self.source.raw_length(line)
        shown += line[:SHOWN_BYTES]
        return self._unread(shown, length, lines + count_lines(line), rule), part[end:]

    def _unread(self, text: bytes, length: int, lines: int, rule: str) -> Chunk:
        """Return a chunk of one row in which the beginning of its text stands for it."""
        shown = text[:SHOWN_BYTES].decode("utf-8", "backslashreplace")[:SHOWN_CHARACTERS]
        shown = " ".join(shown.replace(self.grammar.delimiter, " ").split()) or "…"
        quote = self.grammar.quote.decode()
        inner = "\n" * (lines - 1)  # its cells may span lines: they count
        cell = f"{quote}{shown.replace(quote, quote * 2)}{inner}{quote}\n" if quote else f"{shown}\n"
        begin, self.at = self.at, self.at.after(length, lines, 1)
        bad_rows = {begin.row: BadBytes(begin.offset, "", "cell-too-large", rule)}
        return Chunk(cell.encode(), begin.line, begin.row, 1, self.at, bad_rows=bad_rows)


def _line_end(text: bytes, start: int, *, is_end: bool) -> int:
    r"""Return where the first line ends that does so behind `start`, or -1; a `\r` at the end may go on."""
    feed, lone = text.find(b"\n", start), text.find(b"\r", start)
    if lone < 0 or 0 <= feed < lone:
        return feed + 1 or -1
    if lone + 1 == len(text) and not is_end:
        return -1
    return lone + 2 if feed == lone + 1 else lone + 1


class _Where:
    """Offsets and lines of places in a text that are asked for in order: what lies between is counted once."""

    def __init__(self, source: TextSource, text: bytes, place: int, at: Position) -> None:
        self._source, self._text = source, text
        self._place, self._offset, self._line = place, at.offset, at.line

    def of(self, place: int) -> tuple[int, int]:
        """Return (offset in the file, line) of a place that is not before the one asked for last."""
        between = self._text[self._place : place]
        self._offset += self._source.raw_length(between)
        self._line += count_lines(between)
        self._place = place
        return self._offset, self._line


def _without_first(chunk: Chunk, grammar: Grammar, count: int) -> tuple[Chunk, bytes]:
    """Return the chunk without its first `count` records (the header, what stands above it), and the last of those."""
    begin = cut = 0
    for _ in range(count):
        begin, cut = cut, grammar.first_end(chunk.data, cut)
    first_row = chunk.first_row + count
    kept = replace(
        chunk,
        data=chunk.data[cut:],
        first_line=chunk.first_line + count_lines(chunk.data[:cut]),
        first_row=first_row,
        rows=chunk.rows - count,
        bad_rows={row: bad for row, bad in chunk.bad_rows.items() if row >= first_row},
    )
    return kept, chunk.data[begin:cut]
