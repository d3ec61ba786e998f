r"""Delimited text, streamed: chunks of whole records in UTF-8, with bounded memory, from any saved position.

Rows count records from 1 (header, what stands above it and blank lines too), lines count physical lines.
U+2028 and U+0085 are data. Bytes that are no text in the dialect's encoding stay visible as `\xe9` and mark
their row; no replacement character is ever written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from importer.issues import RecordTooLarge, UnterminatedQuote
from importer.readers.grammar import Grammar, count_lines, grammar_of
from importer.readers.text import BadBytes, TextSource, escape_bad_bytes

if TYPE_CHECKING:
    from importer.dialect import Dialect

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 20


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


@dataclass(frozen=True, slots=True)
class Chunk:
    r"""Whole records, UTF-8, each ended by `\n` or `\r\n`."""

    data: bytes
    first_line: int
    first_row: int
    rows: int  # records, blank ones too
    end: Position
    is_plain: bool  # quotes stand only where cells begin and end
    bad_rows: Mapping[int, BadBytes] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """How many lines the records stand on."""
        return self.end.line - self.first_line


def read_chunks(
    path: Path, dialect: Dialect, *, start: Position | None = None, size: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """Yield the records below the header, about `size` bytes at a time.

    `start` is the `end` of a chunk read before; without it reading begins below the header row. Memory is
    bounded by `size` + MAX_RECORD_BYTES.

    :raises UnterminatedQuote: a quote is still open after 1 MiB or at the end of the file.
    :raises RecordTooLarge: a record without an open quote is larger than 1 MiB.
    """
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    skip = dialect.header_row if start is None else 0
    with path.open("rb") as file:
        source = TextSource(file, dialect.encoding, start.offset if start else 0)
        at = replace(start or Position(), offset=source.offset)
        for batch in _whole_records(source, grammar, at, size):
            chunk = _chunk(source, grammar, batch, at)
            at = chunk.end
            if skip:
                skipped = min(skip, batch.rows)
                skip -= skipped
                chunk = _without_first(chunk, grammar, skipped)
            if chunk.rows:
                yield chunk


class _Batch(NamedTuple):
    data: bytes
    rows: int
    lines: int
    is_plain: bool


def _whole_records(source: TextSource, grammar: Grammar, at: Position, size: int) -> Iterator[_Batch]:
    """Yield whole records: cut between two of them, never within one."""
    tail, row, line = b"", at.row, at.line
    while not source.is_at_end or tail:
        begun = len(tail)
        data = grammar.unify_line_ends(_read_more(source, tail, size))
        end, rows, is_plain = grammar.complete(data)
        if begun and (first := grammar.first_end(data)) > MAX_RECORD_BYTES:
            raise _too_large(grammar, data[:first], row, line)
        if end:
            batch = _Batch(data[:end], rows, count_lines(data[:end]), is_plain)
            row, line = row + rows, line + batch.lines
            yield batch
        tail = data[end:]
        if tail and (source.is_at_end or len(tail) > MAX_RECORD_BYTES):
            raise _too_large(grammar, tail, row, line)


def _read_more(source: TextSource, tail: bytes, size: int) -> bytes:
    r"""Return `tail` and about `size` bytes more; the last record of the file gets the `\n` it may lack."""
    data = tail + source.read(size)
    while data.endswith(b"\r") and not source.is_at_end:  # its \n may come next
        data += source.read(1)
    if source.is_at_end and data and not data.endswith((b"\n", b"\r")):
        data += b"\n"
    return data


def _too_large(grammar: Grammar, record: bytes, row: int, line: int) -> Exception:
    at = grammar.open_quote(record)
    if at >= 0:
        opens = line + count_lines(record[:at])
        return UnterminatedQuote(
            f"The quote that opens on line {opens} (row {row}) is never closed, so all that follows would become "
            "one cell. Close or double that quote and upload the file again."
        )
    limit = MAX_RECORD_BYTES // (1 << 20)
    return RecordTooLarge(
        f"Row {row}, which begins on line {line}, is larger than {limit} MiB. "
        "Check the delimiter and the line ends, or shorten its cells."
    )


def _chunk(source: TextSource, grammar: Grammar, batch: _Batch, at: Position) -> Chunk:
    data = batch.data
    bad_rows: dict[int, BadBytes] = {}
    end = Position(
        offset=at.offset + source.raw_length(data), line=at.line + batch.lines, row=at.row + batch.rows
    )
    try:
        data.decode()
    except UnicodeDecodeError:
        data, bad_rows = _mark_bad_rows(source, grammar, data, at)
    return Chunk(data, at.line, at.row, batch.rows, end, batch.is_plain, bad_rows)


def _mark_bad_rows(
    source: TextSource, grammar: Grammar, data: bytes, at: Position
) -> tuple[bytes, dict[int, BadBytes]]:
    """Return the data with every bad byte escaped, and where the first one of each such row stands."""
    records: list[bytes] = []
    bad_rows: dict[int, BadBytes] = {}
    for row, (begin, end) in enumerate(grammar.bounds(data), start=at.row):
        record, bad_at, word = escape_bad_bytes(data[begin:end])
        if word:
            bad_rows[row] = BadBytes(at.offset + source.raw_length(data[: begin + bad_at]), word)
        records.append(record)
    return b"".join(records), bad_rows


def _without_first(chunk: Chunk, grammar: Grammar, count: int) -> Chunk:
    """Return the chunk without its first `count` records: the header and what stands above it."""
    cut = 0
    for _ in range(count):
        cut = grammar.first_end(chunk.data, cut)
    first_row = chunk.first_row + count
    return replace(
        chunk,
        data=chunk.data[cut:],
        first_line=chunk.first_line + count_lines(chunk.data[:cut]),
        first_row=first_row,
        rows=chunk.rows - count,
        bad_rows={row: bad for row, bad in chunk.bad_rows.items() if row >= first_row},
    )
