"""One cell against its column: `check_cell` plus what only an import knows (recipes, keys, a workbook's hazards).

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from datasets.columntypes import BadValue, check_cell, is_no_value, type_of
from datasets.columntypes.base import Reading
from datasets.columntypes.grammar import WHITE_SPACE
from datasets.spec import ColumnSpec, DatasetSpec
from importer.recipes import Recipe, follow

if TYPE_CHECKING:
    from importer.mapping import Match

MAX_INDEXED_BYTES = 2_000  # PostgreSQL refuses an index entry of more than 2,704 bytes
CACHED_VALUES = 20_000
CACHED_LENGTH = 200


REPLACEMENT = "\ufffd"


class Wrong(NamedTuple):
    """Why a cell is refused, or warned of. Not the exception itself, which would keep its whole stack alive."""

    code: str
    rule: str


SPACE_AROUND = Wrong(
    "space-around",
    "The key begins or ends with white space, which makes it another key than without. "
    "Choose “trim” for this column in the mapping, unless that is meant.",
)
REPLACED = Wrong(
    "replacement-character",
    "The cell holds \ufffd, which a program wrote in place of a character it could not read. "
    "Look the text up where it came from.",
)


@dataclass(slots=True)
class ColumnJudge:
    """One mapped column: where its cells stand, and what is true of each.

    `position` is -1 where no label is read. Results are kept, for a word that occurs once in a column tends to
    occur often.
    """

    column: ColumnSpec
    position: int
    label: str
    reading: Reading
    is_key: bool
    recipe: Recipe = field(default_factory=Recipe)
    _kept: dict[str | None, str | Wrong | None] = field(default_factory=dict)
    _takes_own: bool = field(init=False)  # asked for each cell, so worked out once

    def __post_init__(self) -> None:
        self._takes_own = not self.recipe.changes_text

    @property
    def limits_bytes(self) -> bool:
        """Whether its values go into a unique index and may be too long for one."""
        return (self.is_key or self.column.is_unique) and type_of(self.column).holds_text

    @property
    def sources(self) -> tuple[int, ...]:
        """The positions of all cells its own is made of: the label's first, unless a constant takes its place."""
        own = () if self.recipe.constant is not None or self.position < 0 else (self.position,)
        return own + self.recipe.joined

    def prepare(self, cells: Sequence[str | None]) -> str | None:
        """Return the cell to judge, made of the cells at `sources`.

        A default also takes the place of what the reading calls no value, which no recipe knows.
        """
        own = len(cells) - len(self.recipe.joined)
        cell = follow(self.recipe, cells[0] if own else None, cells[own:])
        if self.recipe.default is not None and is_no_value(cell, self.column, self.reading):
            return self.recipe.default
        return cell

    def raw_of(self, cells: Sequence[str | None]) -> str | None:
        """Return the cell to judge, made of all cells of a row."""
        if self._takes_own:
            return cells[self.position]
        return self.prepare([cells[at] for at in self.sources])

    def shown_of(self, cells: Sequence[str | None]) -> str | None:
        """Return what an issue shows: the cell that was judged, else what the file has where nothing was left."""
        raw = self.raw_of(cells)
        return raw or next((cells[at] for at in self.sources if cells[at]), raw)

    def judge(self, raw: str | None) -> str | Wrong | None:
        """Return the canonical text, None for no value, or what is wrong. `raw` is the prepared cell."""
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
            if wrong.code == "missing-cell" and (self.is_key or self.recipe.blank == "keep"):
                return self._no_key() if self.is_key else None
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

    @property
    def is_text_key(self) -> bool:
        """Whether white space around its values makes other keys of them."""
        return self.is_key and type_of(self.column).holds_text

    def warn(self, value: str | None) -> Wrong | None:
        """Return what a person should know of an accepted value, or None."""
        if not value:
            return None
        if self.is_text_key and value != value.strip(WHITE_SPACE):
            return SPACE_AROUND
        return REPLACED if REPLACEMENT in value else None

    def _no_key(self) -> Wrong:
        return Wrong("primary-key", "This column is part of the key and needs a value in every row.")


def make_judges(spec: DatasetSpec, matches: Iterable[Match]) -> tuple[ColumnJudge, ...]:
    """Return a judge for each mapped column, in the dataset's order."""
    by_column = {match.column: match for match in matches if match.column}
    return tuple(
        ColumnJudge(
            column,
            match.position,
            match.label or column.label,  # a constant has no label
            match.reading,
            is_key=column.name in spec.key,
            recipe=match.recipe,
        )
        for column in spec.columns
        if (match := by_column.get(column.name))
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
