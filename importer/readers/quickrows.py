"""Plain rows of a sheet, read by one regular expression each: some ten times as fast as by expat.

Plain is what spreadsheet programs write for most rows: cells in order, with their place, numbers, texts and
results of formulas. Whatever else a row holds (errors, entities, rich text, a value of doubt), the whole row
is left to expat and `SheetReader`, which say the same of every row this reader takes.

Pure: no Django.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from importer.readers.areas import MAX_ROWS, Areas, letters_of
from importer.readers.celltext import MAX_CELL_BYTES, cell_of, needs_work, number_text, serial_text
from importer.readers.records import MAX_COLUMNS, Records

if TYPE_CHECKING:
    from importer.readers.texts import Texts
    from importer.readers.workbook import Workbook

KEPT_VALUES = 20_000
WIDE, SPARSE_BYTES = 128, 8  # looking for each of many columns is slow where few are filled
_TEXT = rb"[^<&\x00-\x08\x0b-\x1f]"
_FORMULA = (
    rb'<f(?: [a-z0-9]+="[^"<&\x00-\x1f]*+")*+'
    rb"(?:/>|>(?:[^<&\x00-\x08\x0b-\x1f]++|&(?:amp|lt|gt|quot|apos);)*+</f>)"
)
_ROW = rb'<row r="([1-9][0-9]{0,6})"((?: (?!r=)[A-Za-z:.0-9]+="[^"<&\x00-\x1f]*+")*+) ?+>'
_CELL = (
    # Each once: a sheet with an attribute twice is damaged, and expat says so.
    rb'((?: s="[A-Za-z0-9]{1,10}")?+(?: t="[A-Za-z0-9]{1,10}")?+| t="[A-Za-z0-9]{1,10}" s="[A-Za-z0-9]{1,10}")'
    rb"(?: ?+/>|>(?:(?:" + _FORMULA + rb")?+<v>(" + _TEXT + rb"++)</v>|<v ?+/>"
    rb'|<is><t(?: xml:space="preserve")?+>(' + _TEXT + rb"*+)</t></is>)</c>)"
)
_ATTRIBUTES = re.compile(
    rb'(?: s="([0-9]{1,8})")?(?: t="([a-zA-Z]+)")?|(?: t="([a-zA-Z]+)")(?: s="([0-9]{1,8})")'
)
_TWICE = re.compile(rb' ([A-Za-z:.0-9]+)="[^"]*+"(?: [A-Za-z:.0-9]+="[^"]*+")*? \1="')
_HIDDEN = re.compile(rb' hidden="(?:1|true)"')
# At most 15 digits, none of them superfluous: number_text would return the same.
_PLAIN_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*[1-9])?")
type Match = Callable[[bytes, int], re.Match[bytes] | None]
type Convert = Callable[[bytes], bytes | None]


class Converters(dict[bytes, "Convert | None"]):
    """How the value of a cell with these attributes becomes a cell of CSV; None where only expat's reader can.

    A converter returns None for a value it leaves to that reader too.
    """

    def __init__(self, book: Workbook, texts: Texts) -> None:
        super().__init__()
        self._book, self._texts = book, texts

    def __missing__(self, attributes: bytes) -> Convert | None:
        found = _ATTRIBUTES.fullmatch(attributes)
        if found is None:
            return None
        kind = (found[2] or found[3] or b"n").decode()
        self[attributes] = convert = self._of(kind, found[1] or found[4])
        return convert

    def _of(self, kind: str, style: bytes | None) -> Convert | None:
        if kind == "n":
            at = -1 if style is None else int(style)
            shown = self._book.kinds[at] if 0 <= at < len(self._book.kinds) else ""
            return self._serial(shown) if shown else _number
        return {"s": self._texts.cell, "str": _text, "b": _boolean}.get(kind)

    def _serial(self, kind: str) -> Convert:
        known: dict[bytes, bytes | None] = {}

        def convert(value: bytes) -> bytes | None:
            if value not in known:
                if len(known) >= KEPT_VALUES:
                    known.clear()
                text = serial_text(value.decode(), kind, from_1904=self._book.from_1904)
                known[value] = None if text is None else text.encode()
            return known[value]

        return convert


class QuickRows:
    """Takes plain rows from the sheet's XML, as many as it can."""

    def __init__(self, book: Workbook, texts: Texts, records: Records, areas: Areas) -> None:
        self._records, self._areas = records, areas
        self._converters = Converters(book, texts)
        self._columns = 0
        self._match: Match | None = None
        self._sound = {b""}  # attributes of rows that hold none twice
        self.row = 0  # the last row that was taken or seen

    def take(self, data: bytes, at: int, stop: int) -> int:
        """Write whole rows from `at` on and return where the first one begins that is not plain."""
        if self._records.width > self._columns:
            self._columns = min(MAX_COLUMNS, max(16, 1 << (self._records.width - 1).bit_length()))
            self._match = None
        begin, match, row_of = at, self._match, self._row
        while at < stop and self._columns:
            if self._columns > WIDE and data.find(b"</row>", at) - at < SPARSE_BYTES * self._columns:
                break
            # Not before a row needs it: of many columns it takes as long as thousands of rows.
            if match is None:
                match = self._match = _pattern(self._columns)
            found = match(data, at)
            if found is None or not row_of(found):
                break
            at = found.end()
        self._records.formulas += data.count(b"<f", begin, at)
        return at

    def _row(self, found: re.Match[bytes]) -> bool:
        groups = found.groups()
        row = int(groups[0])
        if not self.row < row <= MAX_ROWS or self._areas.touch(row) or self._is_damaged(found):
            return False
        line = [b""] * self._columns
        converters = self._converters
        values, texts = groups[3::3], groups[4::3]
        for at, attributes in enumerate(groups[2::3]):
            if attributes is None:
                continue
            value, text = values[at], texts[at]
            if value is not None:
                convert = converters[attributes]
                cell = convert(value) if convert is not None else None
            elif text is not None:  # an empty one may be meant
                cell = _text(text) if text and attributes.endswith(b't="inlineStr"') else None
            else:
                cell = None if b't="e"' in attributes else b""
            if cell is None:
                return False
            line[at] = cell
        self.row = row
        attributes = groups[1]
        self._records.write(row, line, is_hidden=b"hidden" in attributes and bool(_HIDDEN.search(attributes)))
        return True

    def _is_damaged(self, found: re.Match[bytes]) -> bool:
        """Return whether an attribute of the row or of a formula in it stands there twice."""
        attributes: bytes = found[2]
        if attributes not in self._sound:
            if _TWICE.search(attributes):
                return True
            if len(self._sound) < KEPT_VALUES:
                self._sound.add(attributes)
        begin, end = found.span()
        at = found.string.find(b"<f ", begin, end)
        while at >= 0:
            if _TWICE.match(found.string, at + 2, end):
                return True
            at = found.string.find(b"<f ", at + 3, end)
        return False


def _pattern(columns: int) -> Match:
    """Compile the pattern of rows of so many columns."""
    cells = [
        rb'(?:<c r="' + letters_of(column).encode() + rb'\1"' + _CELL + rb")?+" for column in range(columns)
    ]
    return re.compile(_ROW + b"".join(cells) + rb"</row>[ \n]*+").match


def _number(value: bytes) -> bytes | None:
    if len(value) <= 15 and _PLAIN_NUMBER.fullmatch(value) and value != b"-0":
        return value
    text = number_text(value.decode()) if value.isascii() else None
    return None if text is None else text.encode()


def _boolean(value: bytes) -> bytes | None:
    return {b"1": b"true", b"0": b"false"}.get(value)


def _text(value: bytes) -> bytes | None:
    if len(value) > MAX_CELL_BYTES:
        return None
    return cell_of(value.decode()) if needs_work(value) else value
