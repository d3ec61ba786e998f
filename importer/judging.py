"""One cell against its column: `check_cell` plus what only an import knows (keys, a workbook's hazards).

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from datasets.columntypes import BadValue, check_cell, type_of
from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec, DatasetSpec

MAX_INDEXED_BYTES = 2_000  # PostgreSQL refuses an index entry of more than 2,704 bytes
CACHED_VALUES = 20_000
CACHED_LENGTH = 200


class Wrong(NamedTuple):
    """Why a cell is refused. Not the exception itself, which would keep its whole stack alive."""

    code: str
    rule: str


@dataclass(slots=True)
class ColumnJudge:
    """One mapped column: where its cells stand, and what is true of each.

    Results are kept, for a word that occurs once in a column tends to occur often.
    """

    column: ColumnSpec
    position: int
    label: str
    reading: Reading
    is_key: bool
    _kept: dict[str | None, str | Wrong | None] = field(default_factory=dict)

    @property
    def limits_bytes(self) -> bool:
        """Whether its values go into a unique index and may be too long for one."""
        return (self.is_key or self.column.is_unique) and type_of(self.column).holds_text

    def judge(self, raw: str | None) -> str | Wrong | None:
        """Return the canonical text, None for no value, or what is wrong."""
        try:
            return self._kept[raw]
        except KeyError:
            pass
        verdict = self._look(raw)
        if raw is None or len(raw) <= CACHED_LENGTH:
            if len(self._kept) >= CACHED_VALUES:
                self._kept.clear()
            self._kept[raw] = verdict
        return verdict

    def _look(self, raw: str | None) -> str | Wrong | None:
        try:
            value = check_cell(raw, self.column, self.reading)
        except BadValue as wrong:
            if self.is_key and wrong.code == "missing-cell":
                return self._no_key()
            return Wrong(wrong.code, wrong.rule)
        if value is None:
            return self._no_key() if self.is_key else None
        if self.limits_bytes and len(value.encode()) > MAX_INDEXED_BYTES:
            size = len(value.encode())
            return Wrong(
                "constraint-error",
                f"A key or unique value holds at most {MAX_INDEXED_BYTES:,} bytes; these are {size:,}. Shorten it.",
            )
        return value

    def _no_key(self) -> Wrong:
        return Wrong("primary-key", "This column is part of the key and needs a value in every row.")


def make_judges(spec: DatasetSpec, positions: dict[str, tuple[int, str, Reading]]) -> tuple[ColumnJudge, ...]:
    """Return a judge for each mapped column, in the dataset's order.

    `positions` maps a physical column to its (position in the file, label, reading).
    """
    return tuple(
        ColumnJudge(column, *positions[column.name], is_key=column.name in spec.key)
        for column in spec.columns
        if column.name in positions
    )


def hazard(word: str) -> Wrong:
    """Return what is wrong with a workbook's cell that shows something but holds no value to trust."""
    if word.startswith("="):
        rule = "The formula has no stored result. Open the workbook, let it calculate, and save it."
    elif word.startswith("#"):
        rule = f"The cell holds the spreadsheet error {word}. Correct the formula or empty the cell."
    elif word.startswith("_x"):
        rule = "The cell holds a character that is none (half of a surrogate pair). Remove it."
    elif word[:1].isdigit() or word[:1] in "+-.":
        rule = (
            "A spreadsheet keeps 15 digits of a number and counts days from 1900 to 9999; this one it cannot hold "
            "exactly. Write it as text."
        )
    else:
        rule = "The spreadsheet's cell holds no value that can be read. Write it as text."
    return Wrong("type-error", rule)
