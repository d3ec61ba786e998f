"""Propose a dataset's columns and key from all rows of a file, in one pass and bounded memory.

Pure. A column gets the plainest type that fits every value it holds; what one value contradicts is text,
and `evidence` names that value. What a person must decide (choices, bounds, NOT NULL outside the key) is not
inferred: a rule taken from one file would turn away the next honest one.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field, replace
from itertools import batched, combinations
from typing import TYPE_CHECKING

from datasets.columntypes import TYPES
from datasets.columntypes.grammar import stripped
from datasets.spec import ColumnOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAINEST_FIRST = (
    "boolean", "integer", "decimal", "date", "time", "timestamp", "uuid", "email", "url", "text",
)  # fmt: skip
NAMES = ("text", "uuid", "email", "url")  # what may name a record, whatever its label says
BATCH_ROWS = 2_000
MAX_TRACKED_VALUES = 2_000_000  # hashes held to find repeats, over all columns: about 170 MB at the very most
MAX_FINGERPRINT_ROWS = 1_000_000
KEY_CANDIDATES = 8  # leading columns that may be part of a key of several
SPARE_DIGITS = 3  # before the decimal mark, for larger numbers in later files
SPARE_DECIMALS = 2  # where the values of a column do not all have the same number of decimals
MAX_DIGITS = 38
SHOWN_CHARACTERS = 40

_IDENTIFIERS = frozenset(
    ("id", "ident", "identifier", "code", "key", "symbol", "uuid", "guid", "sku", "isin", "iban", "ean")
    + ("gtin", "slug", "iso", "number", "no", "nr")
)
_PARTS = frozenset(("year", "date", "month", "day", "week", "quarter", "period", "country"))


@dataclass(frozen=True, slots=True)
class Inferred:
    """One proposed column.

    `is_required` is proposed for key columns only, `is_unique` never: `has_empty` and `is_distinct` say
    what this file held (distinct: no value twice, as far as followed). `fingerprints` are 64-bit hashes of
    the leading columns' cells, for `suggest_key`.
    """

    label: str
    type: str
    options: ColumnOptions
    is_required: bool
    is_unique: bool
    evidence: str
    has_empty: bool = False
    is_distinct: bool = False
    # The types that do not fit, each with the row and the value that first said so; (type, row, value).
    against: tuple[tuple[str, int, str], ...] = ()
    fingerprints: array[int] | None = field(default=None, repr=False, compare=False)


def infer(
    labels: Sequence[str], rows: Iterable[Sequence[str | None]], *, first_row: int = 2
) -> list[Inferred]:
    """Return a column for each label, in order, from all rows; the columns of the suggested key are required.

    Cells beyond the labels are ignored and missing ones are empty. `first_row` is the number a person sees
    beside the first row, 2 below a header.
    """
    columns = [
        _Column(label, array("Q") if position < KEY_CANDIDATES else None)
        for position, label in enumerate(labels)
    ]
    row = first_row
    for batch in batched(rows, BATCH_ROWS):
        for position, column in enumerate(columns):
            column.take([cells[position] if position < len(cells) else None for cells in batch], row)
        row += len(batch)
        _keep_within_budget(columns)
    proposed = [column.conclude() for column in columns]
    key = suggest_key(proposed)
    return [replace(column, is_required=True) if column.label in key else column for column in proposed]


def suggest_key(columns: Sequence[Inferred]) -> tuple[str, ...]:
    """Return the labels of the likeliest key: one identifier, else up to three leading columns, else none.

    Every column of a key is without empty cells, and no row repeats it as far as the rows were followed.
    """
    able = [column for column in columns if _may_identify(column)]
    alone = next((column for column in able if column.is_distinct and _looks_identifying(column)), None)
    if alone is None and able and able[0].is_distinct and able[0] is columns[0]:
        alone = able[0]
    if alone is not None:
        return (alone.label,)
    # A column that is distinct by itself, an amount for instance, would make any group distinct.
    leading = [column for column in columns[:KEY_CANDIDATES] if column in able and not column.is_distinct]
    for size in (2, 3):
        for group in sorted(combinations(leading, size), key=_unlikeliness):
            if _is_distinct_together(group):
                return tuple(column.label for column in group)
    by_name = next((column for column in able if column.is_distinct and column.type in NAMES), None)
    return (by_name.label,) if by_name else ()


def _may_identify(column: Inferred) -> bool:
    return not column.has_empty and column.type in (
        "integer", "text", "date", "timestamp", "uuid", "email", "url",
    )  # fmt: skip


def _words(label: str) -> set[str]:
    """Return the lower-case words of a label.

    >>> sorted(_words("SUCode")), sorted(_words("su_code"))
    (['code', 'su'], ['code', 'su'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", label)}


def _looks_identifying(column: Inferred) -> bool:
    return bool(_words(column.label) & _IDENTIFIERS) or column.label.lower().endswith("id")


def _unlikeliness(group: tuple[Inferred, ...]) -> int:
    return -sum(2 if _looks_identifying(column) else bool(_words(column.label) & _PARTS) for column in group)


def _is_distinct_together(group: tuple[Inferred, ...]) -> bool:
    prints = [column.fingerprints for column in group if column.fingerprints is not None]
    if len(prints) < len(group):
        return False
    seen: set[int] = set()
    for cells in zip(*prints, strict=True):
        together = hash(cells)
        if together in seen:
            return False
        seen.add(together)
    return True


class _Column:
    """What is known of one column so far."""

    def __init__(self, label: str, fingerprints: array[int] | None) -> None:
        self.label = label
        self.fingerprints = fingerprints
        self.fitting = [*PLAINEST_FIRST]
        self.against: dict[str, tuple[int, str]] = {}  # type -> row and value that first did not fit
        self.values = 0
        self.first_empty: int | None = None
        self.seen: set[int] | None = set()
        self.first_repeat: tuple[int, str] | None = None
        self.followed_to: int | None = None  # the last row compared, when the memory was needed elsewhere
        self.whole_digits = 1
        self.decimals: set[int] = set()
        self.last_row = 0

    def take(self, cells: list[str | None], first_row: int) -> None:
        """Learn from the cells of consecutive rows."""
        values = [stripped(cell) if cell else "" for cell in cells]
        empty = values.count("")
        self.values += len(values) - empty
        self.last_row = first_row + len(values) - 1
        if empty and self.first_empty is None:
            self.first_empty = first_row + values.index("")
        self._narrow(values, first_row)
        self._follow(values, first_row)

    def _narrow(self, values: list[str], first_row: int) -> None:
        """Drop the types that some value does not fit, and measure the decimals."""
        distinct = list({value for value in values if value})
        for name in [*self.fitting]:
            kind = TYPES[name]
            if not kind.guess(distinct):
                at = next(at for at, value in enumerate(values) if value and not kind.guess([value]))
                self.against[name] = (first_row + at, values[at])
                self.fitting.remove(name)
        if "decimal" in self.fitting:
            for value in distinct:
                whole, _, fraction = value.lstrip("-").partition(".")
                self.whole_digits = max(self.whole_digits, len(whole))
                self.decimals.add(len(fraction))

    def _follow(self, values: list[str], first_row: int) -> None:
        """Look for a value that was there before, and keep the fingerprints."""
        hashes = [hash(value) for value in values]
        if self.fingerprints is not None and len(self.fingerprints) < MAX_FINGERPRINT_ROWS:
            self.fingerprints.extend(value & 0xFFFF_FFFF_FFFF_FFFF for value in hashes)
        if self.seen is None:
            return
        for at, value in enumerate(values):
            if not value:
                continue
            if hashes[at] in self.seen:
                self.first_repeat = (first_row + at, value)
                self.seen = None
                return
            self.seen.add(hashes[at])

    def stop_following(self) -> None:
        """Give the memory back; no repeat was found so far."""
        self.seen, self.followed_to = None, self.last_row

    def conclude(self) -> Inferred:
        """Return the proposed column."""
        name = "text" if not self.values else self.fitting[0] if self.fitting else "long_text"
        return Inferred(
            label=self.label,
            type=name,
            options=self._size() if name == "decimal" else ColumnOptions(),
            is_required=False,
            is_unique=False,
            evidence=self._evidence(name),
            has_empty=self.first_empty is not None or not self.values,
            is_distinct=self.first_repeat is None and self.values > 0,
            against=tuple((kind, row, _cut(value)) for kind, (row, value) in self.against.items()),
            fingerprints=self.fingerprints,
        )

    def _size(self) -> ColumnOptions:
        most = max(self.decimals)
        scale = most if len(self.decimals) == 1 else most + SPARE_DECIMALS
        return ColumnOptions(precision=min(MAX_DIGITS, self.whole_digits + SPARE_DIGITS + scale), scale=scale)

    def _evidence(self, name: str) -> str:
        if not self.values:
            return "Every row is empty, so text."
        parts = [self._why(name)]
        if self.first_empty is None:
            parts.append("no row is empty")
        else:
            parts.append(f"row {self.first_empty} is empty")
        if self.first_repeat is not None:
            row, value = self.first_repeat
            parts.append(f"row {row} repeats {_shown(value)}")
        elif self.followed_to is not None:
            parts.append(f"no value twice down to row {self.followed_to}")
        else:
            parts.append("no value twice")
        sentence = "; ".join(parts) + "."
        return sentence[0].upper() + sentence[1:]

    def _why(self, name: str) -> str:
        if name == "long_text":
            return (
                f"row {self.against['text'][0]} holds several lines or more than 200 characters, so long_text"
            )
        if name == "decimal" and "integer" in self.against:
            row, value = self.against["integer"]
            return f"row {row} holds {_shown(value)}, so decimal, with at most {max(self.decimals)} decimals"
        if name == "text":
            row, value = max(self.against.values(), key=lambda found: found[0])  # what a type fitted longest
            return f"row {row} holds {_shown(value)}, so text"
        return f"every value ({self.values:,}) fits, so {name}"


def _keep_within_budget(columns: list[_Column]) -> None:
    """Stop looking for repeats from the last column on while too many values are held."""
    held = sum(len(column.seen) for column in columns if column.seen is not None)
    for column in reversed(columns):
        if held <= MAX_TRACKED_VALUES:
            return
        if column.seen is not None and len(column.seen) > BATCH_ROWS:
            held -= len(column.seen)
            column.stop_following()


def _shown(value: str) -> str:
    return f"'{_cut(value)}'"


def _cut(value: str) -> str:
    return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
