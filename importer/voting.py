"""Which delimiter, quote and escape a text is written with: each is tried, and the most even table wins.

Pure: no Django, no storage, no clock. Every step is linear in the sample, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from importer.choices import is_delimiter
from importer.header import common_width
from importer.readers.grammar import Grammar, Record, grammar_of
from importer.readers.splitting import MAX_ROWS, Split, split

SAMPLE_BYTES = 65_536  # what the vote reads, per delimiter
SAMPLE_RECORDS = 200
BEGINNING_BYTES = 131_072
PREAMBLE_RECORDS = 30
SEPARATOR_LINE_BYTES = 16
VOTED = (",", ";", "\t", "|")
_DECIMAL_COMMA = re.compile(rb"(?<=\d),(?=\d)")
_NUMBER = re.compile(r"[+-]?\d[\d.,:/-]*")


@dataclass(frozen=True)
class Table:
    """A text read in one way."""

    delimiter: str
    quote: str
    records: list[Record]
    broken: int = 0  # records with a quote that closes nowhere, if they were counted

    @cached_property
    def filled(self) -> list[Record]:
        return [record for record in self.records if not record.is_blank]

    @cached_property
    def width(self) -> int:
        """The width most records have."""
        return common_width(self.filled)

    @cached_property
    def lead(self) -> int:
        """How many records stand above the first one of that width."""
        return next((at for at, record in enumerate(self.filled) if len(record.cells) == self.width), 0)

    @cached_property
    def evenness(self) -> float:
        """The share of records of that width, from the first one on."""
        below = self.filled[self.lead :]
        return sum(len(record.cells) == self.width for record in below) / len(below) if below else 0.0


def sample(text: bytes) -> bytes:
    """Return the beginning of a text that the vote reads, cut behind a line."""
    if len(text) <= SAMPLE_BYTES:
        return text
    cut = max(text.rfind(mark, 0, SAMPLE_BYTES) for mark in (b"\n", b"\r"))
    return text[: cut + 1] or text[:SAMPLE_BYTES]


def separator_line(text: bytes) -> tuple[int, str | None]:
    """Return (1, delimiter) when the first line is a spreadsheet's `sep=;`, else (0, None)."""
    first = (text[:SEPARATOR_LINE_BYTES].splitlines() or [b""])[0].decode("latin-1")
    first = first.rstrip(",;") if first.count('"') else first
    if first[:1] == first[-1:] == '"':
        first = first[1:-1]
    if first[:4].lower() == "sep=" and len(first) == 5 and is_delimiter(first[4:]):
        return 1, first[4:]
    return 0, None


def quotes_in(text: bytes) -> tuple[str, ...]:
    """Return the quotes worth a try: a single one that stands nowhere in the sample is none."""
    return ("'", '"') if b"'" in sample(text) else ('"',)


def first_records(
    text: bytes, grammar: Grammar, *, is_end: bool, counts_broken: bool = False
) -> tuple[list[Record], int]:
    """Return the first records of a text as reading gives them, and how many are broken: in all of it if asked."""
    if is_end and text and not text.endswith((b"\n", b"\r")):
        text += b"\n"
    most = MAX_ROWS if counts_broken else SAMPLE_RECORDS
    # The beginning is enough as a rule, unless a quote that opens there closes far below.
    if len(text) > BEGINNING_BYTES:
        records, broken = _records(split(text[:BEGINNING_BYTES], grammar, is_end=False, most=most), grammar)
        if len(records) == SAMPLE_RECORDS:
            return records, broken
    return _records(split(text, grammar, is_end=is_end, most=most), grammar)


def _records(found: Iterator[Split], grammar: Grammar) -> tuple[list[Record], int]:
    records: list[Record] = []
    broken = 0
    plain = grammar_of(grammar.delimiter, grammar.quote.decode())
    for part in found:
        if part.kind != "read":
            break
        broken += len(part.broken)
        for begin, end in islice(plain.bounds(part.data), SAMPLE_RECORDS - len(records)):
            records.extend(plain.records(part.data[begin:end].decode("utf-8", "surrogatepass")))
        if part.rows == SAMPLE_RECORDS:
            break
    return records, broken


def read_as(
    text: bytes, delimiter: str, quote: str, escape: str = "", *, counts_broken: bool = False
) -> Table:
    """Return the sample read in one way."""
    grammar = grammar_of(delimiter, quote, escape)
    try:
        found = first_records(text, grammar, is_end=True, counts_broken=counts_broken)
    except UnicodeDecodeError:  # the file's own bytes, read as UTF-8
        text = text.decode("utf-8", "replace").encode()
        found = first_records(text, grammar, is_end=True, counts_broken=counts_broken)
    return Table(delimiter, quote, *found)


def _loose_cells(text: bytes, delimiter: str, quote: str, escape: str = "") -> int:
    """Return how many cells have text behind their closing quote, or an escape before it."""
    mark, parting = re.escape(quote), re.escape(delimiter)
    inside = (
        rf"(?:[^{mark}\\\r\n]++|{mark}{mark}|\\.)*+" if escape else rf"(?:[^{mark}\r\n]++|{mark}{mark})*+"
    )
    cell = rf"(?<![^{parting}\r\n]){mark}{inside}{mark}(?! *[{parting}\r\n]| *\Z)"
    return len(re.findall(cell.encode(), text))


def vote(text: bytes, quote: str) -> str:
    """Return the delimiter that makes the most even table; a comma when none makes any."""
    text = sample(text)
    tables = [table for each in VOTED if (table := read_as(text, each, quote)).width > 1]
    if not tables:
        return " " if _is_parted_by_spaces(read_as(text, " ", quote)) else ","
    is_decimal = _has_decimal_commas(text)

    def score(table: Table) -> tuple[float, int, bool, int]:
        is_rarely = not (table.delimiter == "," and is_decimal)
        return round(table.evenness, 1), -min(table.lead, PREAMBLE_RECORDS), is_rarely, table.width

    return max(tables, key=score).delimiter


def _has_decimal_commas(text: bytes) -> bool:
    commas = text.count(b",")
    return bool(commas) and len(_DECIMAL_COMMA.findall(text)) >= commas * 0.8


def _is_parted_by_spaces(table: Table) -> bool:
    """Return whether every record has as many words, and a column of numbers stands below a label."""
    if table.width < 2 or table.lead or table.evenness < 1 or len(table.filled) < 3:
        return False
    first, *body = (record.cells for record in table.filled)
    if any(cell is None for cells in (first, *body) for cell in cells):
        return False
    columns = zip(*body, strict=True)
    return any(all(_NUMBER.fullmatch(cell or "") for cell in column) for column in columns)


def find_quote(text: bytes, delimiter: str) -> str:
    """Return the quote: double as a rule, single or none where the double one tells nothing and they do."""
    text = sample(text)
    if _quoted_cells(text, delimiter, '"'):
        return '"'
    double = read_as(text, delimiter, '"', counts_broken=True)
    single = _quoted_cells(text, delimiter, "'")
    if single:
        table = read_as(text, delimiter, "'", counts_broken=True)
        cells = sum(1 for record in table.filled for cell in record.cells if cell)
        is_evener = (table.evenness, table.width) != (double.evenness, double.width) and table.evenness == 1.0
        if not table.broken and (single * 2 >= cells or (is_evener and table.evenness >= double.evenness)):
            return "'"
    if double.broken > (0 if delimiter == "\t" else 2):
        table = read_as(text, delimiter, "")
        if table.evenness == 1.0:
            return ""
    return '"'


def _quoted_cells(text: bytes, delimiter: str, quote: str) -> int:
    """Return how many cells begin and end with a quote and hold something."""
    mark, parting = re.escape(quote), re.escape(delimiter)
    inside = rf"(?:[^{mark}]++|{mark}{mark})*+"
    cell = rf"(?<![^{parting}\r\n]) *{mark}{inside}{mark}(?=[{parting}\r\n]|\Z)"
    return len(re.findall(cell.encode(), text))


def find_escape(text: bytes, delimiter: str, quote: str) -> str:
    r"""Return a backslash when quotes within quoted cells are written `\"` and only then read rightly."""
    if not quote or b"\\" + quote.encode() not in text:
        return ""
    at = text.find(b"\\" + quote.encode())
    if at > SAMPLE_BYTES // 2:
        text = text[text.rfind(b"\n", 0, at) + 1 :]
    text = sample(text)
    doubled, escaped = (read_as(text, delimiter, quote, escape, counts_broken=True) for escape in ("", "\\"))
    faults = (
        doubled.broken + _loose_cells(text, delimiter, quote),
        escaped.broken + _loose_cells(text, delimiter, quote, "\\"),
    )
    return "\\" if faults[1] < faults[0] and escaped.evenness >= doubled.evenness else ""


def finds_space(text: bytes, delimiter: str, quote: str) -> bool:
    """Return whether a blank follows every delimiter, or a quote follows blanks: it is no part of the cell then."""
    if delimiter == " ":
        return False
    text = sample(text)
    marks, parting = re.escape(quote or '"'), re.escape(delimiter)
    if quote:
        inside = rf"(?:[^{marks}\r\n]++|{marks}{marks})*+"
        behind = rf"{parting} +{marks}{inside}{marks} *(?=[{parting}\r\n]|\Z)"
        if re.search(behind.encode(), text) and not re.search(
            rf"{parting}{marks}{inside}{marks}(?=[{parting}\r\n]|\Z)".encode(), text
        ):
            return True
    table = read_as(text, delimiter, quote)
    cells = [cell for record in table.filled for cell in record.cells[1:] if cell]
    return (
        len(table.filled) > 1
        and len(cells) > 2
        and all(cell.startswith(" ") and cell.strip() for cell in cells)
    )
