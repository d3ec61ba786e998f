"""What can be planted into a good row so that the import rejects it, with the code it will say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from datasets.columntypes import BadValue, Reading, check_cell, type_of
from datasets.spec import ColumnSpec, DatasetSpec
from importer.generation_values import Ordinals, Values

EDGE_ROWS = 50  # a ragged row near either end of a file may be read as a title or a note
MOST_HAZARDS = 50_000  # a reader of workbooks takes twice as many
LONG_CHARACTERS = 10_000
BAD_BYTE = "\udcff"  # written with surrogateescape: the byte ff, which UTF-8 does not have

WRONG_WORDS = {
    "integer": ("ten", "12x", "1.5", "1e3", "99999999999999999999"),
    "decimal": ("ten", "12x", "1e3", "0x1F", "NaN"),
    "boolean": ("perhaps", "2", "tru"),
    "date": ("2026-02-30", "2026-13-01", "20260101", "tomorrow", "26-01-31"),
    "timestamp": ("2026-02-30T10:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31 10:61", "tomorrow"),
    "time": ("24:00", "10:61", "noon", "2:30 pm"),
    "choice": ("something else", "?"),
    "multi_choice": ("something else", "?"),
    "email": ("nobody", "a@b", "a b@example.org", "a@example..org"),
    "url": ("example.org", "ftp://example.org/", "https://exa mple.org", "javascript:alert(1)"),
    "phone": ("call me", "+49", "+1 555 0100 ext. 7", "+999 123456"),
    "uuid": ("123e4567", "123e4567-e89b-12d3-a456-42661417400g"),
    "json": ("{", "{'a': 1}", "NaN", '{"a": 1, "a": 2}'),
}
# What a cell of a workbook shows that holds no value: a formula never calculated, an error.
HAZARDS = ("=1/0", "=VLOOKUP(A1,B:C,2)", "#DIV/0!", "#N/A", "#REF!", "#VALUE!")

type Cells = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written. `fault` is the code the import will say of it; `at` the cell that is at fault."""

    cells: Cells
    fault: str = ""
    at: int = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is to be planted: the row's number, how many there are, and a good row written before."""

    number: int
    rows: int
    before: Cells | None

    @property
    def is_inner(self) -> bool:
        return EDGE_ROWS <= self.number < self.rows - EDGE_ROWS


type Kind = Callable[[Random, Cells, Place], Row | None]


class Faults:
    """The kinds of faults that a dataset and a kind of file allow."""

    def __init__(self, spec: DatasetSpec, values: Sequence[Values], *, is_workbook: bool) -> None:
        self._hazards = 0
        columns = list(enumerate(spec.columns))
        self._kinds: list[Kind] = []
        wrong = [
            (at, text, code)
            for at, column in columns
            for text in _wrong_texts(column, values[at])
            if (is_workbook is False or "\0" not in text) and (code := _code(text, column))
        ]
        for code in sorted({code for *_, code in wrong}):
            self._kinds.append(_replacing([entry for entry in wrong if entry[2] == code]))
        if missing := [
            (at, "primary-key" if column.name in spec.key else "missing-cell")
            for at, column in columns
            if column.name in spec.key or column.must_be_given
        ]:
            self._kinds.append(_emptying(missing))
        if key := [at for at, column in columns if column.name in spec.key]:
            self._kinds.append(_repeating(key, "primary-key"))
        self._kinds += [
            _repeating([at], "constraint-error")
            for at, column in columns
            if column.is_unique and column.name not in spec.key
        ]
        self._kinds.append(_too_wide)
        self._kinds += [self._hazard] if is_workbook else [_too_narrow, _with_a_bad_byte]

    def plant(self, rng: Random, cells: Cells, place: Place) -> Row:
        """Return the row with one fault of a kind that is possible there."""
        for kind in rng.sample(self._kinds, len(self._kinds)):
            if (row := kind(rng, cells, place)) is not None:
                return row
        return Row((*cells, "one too many"), "extra-cell", len(cells))

    def _hazard(self, rng: Random, cells: Cells, place: Place) -> Row | None:
        if self._hazards >= MOST_HAZARDS:
            return None
        self._hazards += 1
        at = rng.randrange(len(cells))
        return Row(_put(cells, at, rng.choice(HAZARDS)), "type-error", at)


def _wrong_texts(column: ColumnSpec, values: Values) -> Iterator[str]:
    yield from WRONG_WORDS.get(column.value_type, ())
    if isinstance(values, Ordinals):
        yield from values.outside()
    if not type_of(column).holds_text:
        return
    yield "a\0b"
    if column.options.pattern is not None or (column.options.min_length or 0) > 1:
        yield from ("~", "?!", "~" * 30)
    limit = column.options.max_length
    if limit is not None and limit < LONG_CHARACTERS:
        yield "long " * (limit // 5 + 1)


def _code(text: str, column: ColumnSpec) -> str:
    """Return what an import says of a text, "" if the column takes it."""
    try:
        check_cell(text, column, Reading())
    except BadValue as wrong:
        return wrong.code
    return ""


def _replacing(wrong: list[tuple[int, str, str]]) -> Kind:
    def kind(rng: Random, cells: Cells, place: Place) -> Row | None:
        at, text, code = rng.choice(wrong)
        return Row(_put(cells, at, text), code, at)

    return kind


def _emptying(required: list[tuple[int, str]]) -> Kind:
    def kind(rng: Random, cells: Cells, place: Place) -> Row | None:
        at, code = rng.choice(required)
        emptied = _put(cells, at, None)
        return Row(emptied, code, at) if any(emptied) else None  # an empty row is none

    return kind


def _repeating(positions: list[int], code: str) -> Kind:
    def kind(rng: Random, cells: Cells, place: Place) -> Row | None:
        if place.before is None or any(place.before[at] is None for at in positions):
            return None
        for at in positions:
            cells = _put(cells, at, place.before[at])
        return Row(cells, code)

    return kind


def _too_wide(rng: Random, cells: Cells, place: Place) -> Row | None:
    return Row((*cells, "one too many"), "extra-cell", len(cells)) if place.is_inner else None


def _too_narrow(rng: Random, cells: Cells, place: Place) -> Row | None:
    short = cells[:-1]
    return Row(short, "missing-cell", len(short)) if place.is_inner and any(short) else None


def _with_a_bad_byte(rng: Random, cells: Cells, place: Place) -> Row | None:
    at = rng.randrange(len(cells))
    return Row(_put(cells, at, (cells[at] or "") + BAD_BYTE), "encoding-error", at)


def _put(cells: Cells, at: int, text: str | None) -> Cells:
    return (*cells[:at], text, *cells[at + 1 :])
