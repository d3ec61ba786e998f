"""How a column's cell is made from the cells of a row, before its value is judged.

Pure: no Django, no storage, no clock. A recipe changes text only; what the text means is the column type's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Self

from datasets.columntypes.grammar import WHITE_SPACE

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NAME = re.compile(r"\A(\w['\u2019])(\w)(?=\w\w)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps in this order: constant, or the label's cell; join; split; trim; case; value map; default.

    `constant`: the same text in every row, and no label is read. `joined`: positions of further labels whose
    cells follow, with `separator` between those that hold something. `split`: the cell is cut at this text, and
    `part` of it taken (1 the first, -1 the last; no such part is an empty cell). `trim`: no white space around.
    `case`: "upper", "lower" or "title". `values`: a whole text becomes another, or None for an empty cell.
    `default`: what an empty cell becomes. `blank`: "clear" or "keep", what an empty cell means for a record that
    has a value there ("": as the dataset's rules say); it changes no text.
    """

    constant: str | None = None
    joined: tuple[int, ...] = ()
    separator: str = " "
    split: str = ""
    part: int = 1
    trim: bool = False
    case: str = ""
    values: tuple[tuple[str, str | None], ...] = ()
    default: str | None = None
    blank: str = ""

    @property
    def changes_text(self) -> bool:
        """Whether the cell is anything but the label's own."""
        return any(
            (self.constant is not None, self.joined, self.split, self.trim, self.case, self.values)
        ) or (self.default is not None)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        known = dict(saved)
        if "joined" in known:
            known["joined"] = tuple(known["joined"])
        if "values" in known:
            known["values"] = tuple((old, new) for old, new in known["values"])
        return cls(**known)


def prepare(recipe: Recipe, cells: Sequence[str | None], position: int) -> str | None:
    """Return the cell that the recipe makes of a row, whose own label stands at `position` (-1: nowhere)."""
    own = cells[position] if 0 <= position < len(cells) else None
    return follow(recipe, own, [cells[at] if at < len(cells) else None for at in recipe.joined])


def follow(recipe: Recipe, own: str | None, further: Sequence[str | None] = ()) -> str | None:
    """Return the cell that the recipe makes of the label's own cell and the cells of the joined labels.

    None is an empty cell, "" a quoted empty one, an empty text. Either holds nothing to a join; where no cell
    holds anything, the first stays what it is. Cutting, trimming and `values` turn what they leave nothing of
    into an empty cell, while a "" that was there before stays one. The value map knows "" but not the empty
    cell; the default takes the place of both.
    """
    cell = own if recipe.constant is None else recipe.constant
    if recipe.joined:
        cell = recipe.separator.join(filter(None, (cell, *further))) or cell
    if recipe.split and cell:
        cell = _part(cell, recipe.split, recipe.part)
    if recipe.trim and cell:
        cell = cell.strip(WHITE_SPACE) or None
    if recipe.case and cell:
        cell = _cased(cell, recipe.case)
    if recipe.values and cell is not None:
        cell = _value_map(recipe.values).get(cell, cell)
    return recipe.default if recipe.default is not None and not cell else cell


@lru_cache(maxsize=256)
def _value_map(values: tuple[tuple[str, str | None], ...]) -> dict[str, str | None]:
    return dict(reversed(values))  # the first of equal texts counts


def _part(text: str, separator: str, part: int) -> str | None:
    parts = text.split(separator)
    at = part - 1 if part > 0 else len(parts) + part
    return (parts[at] or None) if 0 <= at < len(parts) else None


def _cased(text: str, case: str) -> str:
    if case == "title":
        return _WORD.sub(lambda found: _title(found[0]), text)
    return text.upper() if case == "upper" else text.lower()


def _title(word: str) -> str:
    """Return a word with a capital: after an apostrophe only in names.

    >>> _title("DON'T"), _title("o'neil"), _title("ÉCOLE")
    ("Don't", "O'Neil", 'École')
    """
    return _NAME.sub(lambda found: found[1] + found[2].upper(), word[:1].title() + word[1:].lower())
