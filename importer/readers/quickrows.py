"""Plain rows of a sheet, read by one regular expression each: many times as fast as by expat.

Plain is what spreadsheet programs write for most rows: cells in order, with their place, numbers, texts and
results of formulas. Their values are looked at column by column, for those of a column are mostly of one kind.
Whatever else a row holds (errors, rich text, a value of doubt), the whole row is left to expat and `SheetReader`,
which say the same of every row this reader takes.

Pure: no Django.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from importer.readers.areas import MAX_ROWS, Areas, letters_of
from importer.readers.celltext import (
    MAX_CELL_BYTES,
    TEXT,
    cell_of,
    cell_of_xml,
    needs_work,
    number_text,
    serial_text,
    without_references,
)
from importer.readers.records import MAX_COLUMNS, Records

if TYPE_CHECKING:
    from importer.readers.texts import Texts
    from importer.readers.workbook import Workbook

KEPT_VALUES = 20_000
FIRST_AT_ONCE, MOST_AT_ONCE = 1, 512  # rows: more of them the longer none was met that is not plain
FAILURES, MOST_LEFT = 8, 32  # for every so many rows in vain one is left to expat untried, up to so many
WIDE, SPARSE_BYTES = 128, 8  # looking for each of many columns is slow where few are filled
_FORMULA = (
    rb'<f(?: [a-z0-9]+="[^"<&\x00-\x1f]*+")*+'
    rb"(?:/>|>(?:[^<&\x00-\x08\x0b-\x1f]++|&(?:amp|lt|gt|quot|apos);)*+</f>)"
)
_ROW = rb'<row r="([1-9][0-9]{0,6})"((?: (?!r=)[A-Za-z:.0-9]+="[^"<&\x00-\x1f]*+")*+) ?+>'
_CELL = (
    # Each once: a sheet with an attribute twice is damaged, and expat says so.
    rb'((?: s="[A-Za-z0-9]{1,10}")?+(?: t="[A-Za-z0-9]{1,10}")?+| t="[A-Za-z0-9]{1,10}" s="[A-Za-z0-9]{1,10}")'
    rb"(?: ?+/>|>(?:(?:" + _FORMULA + rb")?+<v>(?!<)(" + TEXT + rb")</v>|<v ?+/>"
    rb'|<is><t(?: xml:space="preserve")?+>(' + TEXT + rb")</t></is>)</c>)"
)
_ATTRIBUTES = re.compile(
    rb'(?: s="([0-9]{1,8})")?(?: t="([a-zA-Z]+)")?|(?: t="([a-zA-Z]+)")(?: s="([0-9]{1,8})")'
)
_TWICE = re.compile(rb' ([A-Za-z:.0-9]+)="[^"]*+"(?: [A-Za-z:.0-9]+="[^"]*+")*? \1="')
_HIDDEN = re.compile(rb' hidden="(?:1|true)"')
# At most 15 characters, none of them superfluous: number_text would return the same.
_NUMBER = rb"(?!-0(?![.0-9]))(?=[-.0-9]{1,15}(?![-.0-9]))-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*[1-9])?"
_PLAIN_NUMBER = re.compile(_NUMBER)
_PLAIN_NUMBERS = re.compile(rb"(?:" + _NUMBER + rb"\n)*+")
_BOOLEANS = {b"1": b"true", b"0": b"false"}
type Match = Callable[[bytes, int], re.Match[bytes] | None]
type Cells = Sequence[bytes | None]  # None: left to expat's reader


@dataclass(frozen=True, slots=True)
class Converter:
    """How the values of cells with the same attributes become cells of CSV."""

    of_values: Callable[[Sequence[bytes]], Cells]
    is_inline: bool = False  # these alone may have a text in place of a value
    may_be_empty: bool = True


class Converters(dict[bytes, Converter]):
    """The converter of each sort of attributes that was met."""

    def __init__(self, book: Workbook, texts: Texts) -> None:
        super().__init__()
        self._book, self._texts = book, texts

    def __missing__(self, attributes: bytes) -> Converter:
        found = _ATTRIBUTES.fullmatch(attributes)
        kind = "" if found is None else (found[2] or found[3] or b"n").decode()
        style = None if found is None else found[1] or found[4]
        if len(self) >= KEPT_VALUES:
            self.clear()
        self[attributes] = made = Converter(
            self._of(kind, style),
            is_inline=attributes.endswith(b't="inlineStr"'),
            may_be_empty=b't="e"' not in attributes,
        )
        return made

    def _of(self, kind: str, style: bytes | None) -> Callable[[Sequence[bytes]], Cells]:
        if kind == "n":
            at = -1 if style is None else int(style)
            shown = self._book.kinds[at] if 0 <= at < len(self._book.kinds) else ""
            return _Serials(shown, from_1904=self._book.from_1904).of_values if shown else _numbers
        return {"s": self._texts.cells, "str": _texts, "b": _booleans}.get(kind, _unknown)


class _Serials(dict[bytes, bytes | None]):
    """Days and times by the numbers they are counted with; some thousands of them are kept."""

    def __init__(self, kind: str, *, from_1904: bool) -> None:
        super().__init__()
        self._kind, self._from_1904 = kind, from_1904

    def __missing__(self, value: bytes) -> bytes | None:
        if len(self) >= KEPT_VALUES:
            self.clear()
        text = serial_text(value.decode(), self._kind, from_1904=self._from_1904)
        self[value] = made = None if text is None else text.encode()
        return made

    def of_values(self, values: Sequence[bytes]) -> Cells:
        return [self[value] for value in values]


class QuickRows:
    """Takes plain rows from the sheet's XML, as many as it can."""

    def __init__(self, book: Workbook, texts: Texts, records: Records, areas: Areas) -> None:
        self._records, self._areas = records, areas
        self._converters = Converters(book, texts)
        self._columns = 0
        self._match: Match | None = None
        self._is_hidden: dict[bytes, bool] = {}  # by the attributes of a row; of those that hold none twice
        self._at_once = FIRST_AT_ONCE
        self._failures = self._left = 0  # in a row; rows that are left to expat for that
        self.row = 0  # the last row that was taken or seen

    def take(self, data: bytes, at: int, stop: int) -> int:
        """Write whole rows from `at` on and return where the first one begins that is not plain."""
        if self._records.width > self._columns:
            self._columns = min(MAX_COLUMNS, max(16, 1 << (self._records.width - 1).bit_length()))
            self._match = None
        if self._left:
            self._left -= 1
            return at
        begin = at
        while at < stop and self._columns:
            rows = self._matching(data, at, stop)
            taken = self._take_rows(data, rows) if rows else 0
            if taken:
                at = rows[taken - 1].end()
            self._failures = 0 if taken else self._failures + 1
            if taken < len(rows) or not rows:
                # What is behind a row that is not plain must be looked at once more after it; and where none of many
                # is plain, looking is in vain.
                self._at_once = max(taken, 1)
                self._left = min(self._failures // FAILURES, MOST_LEFT)
                break
            self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
        self._records.formulas += data.count(b"<f", begin, at)
        return at

    def _matching(self, data: bytes, at: int, stop: int) -> list[re.Match[bytes]]:
        """Return the rows from `at` on that the pattern knows, some at once."""
        rows: list[re.Match[bytes]] = []
        while at < stop and len(rows) < self._at_once:
            if self._columns > WIDE and data.find(b"</row>", at) - at < SPARSE_BYTES * self._columns:
                break
            # Not before a row needs it: of many columns it takes as long as thousands of rows.
            if self._match is None:
                self._match = _pattern(self._columns)
            found = self._match(data, at)
            if found is None:
                break
            rows.append(found)
            at = found.end()
        return rows

    def _take_rows(self, data: bytes, rows: Sequence[re.Match[bytes]]) -> int:
        """Write rows up to the first that is not plain after all; return how many."""
        if len(self._is_hidden) >= KEPT_VALUES:
            self._is_hidden.clear()
        numbers, attributes, *columns = zip(*(found.groups() for found in rows), strict=True)
        sound = self._sound_rows(data, rows, numbers, attributes)
        cells = [
            self._column(*(part[:sound] for part in columns[first : first + 3]))
            for first in range(0, len(columns), 3)
        ]
        taken = min([sound, *(column.index(None) for column in cells if None in column)])
        if taken:
            self.row = int(numbers[taken - 1])
            self._records.write_rows(
                [int(number) for number in numbers[:taken]],
                [column[:taken] for column in cells],  # type: ignore[misc]
                [self._is_hidden[one] for one in attributes[:taken]],
            )
        return taken

    def _sound_rows(
        self,
        data: bytes,
        rows: Sequence[re.Match[bytes]],
        numbers: Sequence[bytes],
        attributes: Sequence[bytes],
    ) -> int:
        """Return how many of the first rows stand in order, touch no area, and hold no attribute twice."""
        sound, last = 0, self.row
        for number, own in zip(map(int, numbers), attributes, strict=True):
            is_known = own in self._is_hidden or self._knows(own)
            if not (is_known and last < number <= MAX_ROWS) or self._areas.reach(number):
                break
            sound, last = sound + 1, number
        if not sound:
            return 0
        end = rows[sound - 1].end()
        at = data.find(b"<f ", rows[0].start(), end)
        while at >= 0:
            if _TWICE.match(data, at + 2, end):
                return next(row for row, found in enumerate(rows) if at < found.end())
            at = data.find(b"<f ", at + 3, end)
        return sound

    def _knows(self, attributes: bytes) -> bool:
        """Look at the attributes of a row that were not met before: whether none stands there twice."""
        if _TWICE.search(attributes):
            return False
        self._is_hidden[attributes] = bool(_HIDDEN.search(attributes))
        return True

    def _column(
        self,
        attributes: Sequence[bytes | None],
        values: Sequence[bytes | None],
        texts: Sequence[bytes | None],
    ) -> Cells:
        """Return the cells of a column: b"" where a row has none, None where only expat's reader can tell."""
        kinds = set(attributes)
        kinds.discard(None)
        if not kinds:
            return [b""] * len(attributes)
        if len(kinds) == 1:
            (only,) = kinds
            converter = self._converters[only]  # type: ignore[index]
            own, others = (texts, values) if converter.is_inline else (values, texts)
            filled = [one for one in own if one is not None]
            # An empty text may be meant, or be none.
            if converter.may_be_empty and others.count(None) == len(others) and b"" not in filled:
                made = _texts(filled) if converter.is_inline else converter.of_values(filled)
                if len(filled) == len(own):
                    return made
                rest = iter(made)
                return [b"" if one is None else next(rest) for one in own]
        return [
            b"" if kind is None else self._cell(self._converters[kind], value, text)
            for kind, value, text in zip(attributes, values, texts, strict=True)
        ]

    def _cell(self, converter: Converter, value: bytes | None, text: bytes | None) -> bytes | None:
        if value is not None:
            return converter.of_values((value,))[0]
        if text is not None:
            return _inline(text) if converter.is_inline else None
        return b"" if converter.may_be_empty else None


def _pattern(columns: int) -> Match:
    """Compile the pattern of rows of so many columns."""
    cells = [
        rb'(?:<c r="' + letters_of(column).encode() + rb'\1"' + _CELL + rb")?+" for column in range(columns)
    ]
    return re.compile(_ROW + b"".join(cells) + rb"</row>[ \n]*+").match


def _numbers(values: Sequence[bytes]) -> Cells:
    together = b"\n".join(values) + b"\n"
    if together.count(b"\n") == len(values) and _PLAIN_NUMBERS.fullmatch(together):
        return values
    return [value if _PLAIN_NUMBER.fullmatch(value) else _number(value) for value in values]


def _number(value: bytes) -> bytes | None:
    text = number_text(value.decode()) if value.isascii() else None
    return None if text is None else text.encode()


def _booleans(values: Sequence[bytes]) -> Cells:
    return [_BOOLEANS.get(value) for value in values]


def _texts(values: Sequence[bytes]) -> Cells:
    together = b"\x00".join(values)  # which none of them holds
    plain = without_references(together) if len(together) <= MAX_CELL_BYTES else None
    if plain is None:
        return [cell_of_xml(value) if len(value) <= MAX_CELL_BYTES else None for value in values]
    if plain is not together:
        values = plain.split(b"\x00")
    if not needs_work(plain):
        return values
    return [cell_of(value.decode()) if needs_work(value) else value for value in values]


def _inline(text: bytes) -> bytes | None:
    return _texts((text,))[0] if text else None


def _unknown(values: Sequence[bytes]) -> Cells:
    return [None] * len(values)
