"""A mapping without positions: what somebody wants of each label, wherever it stands in a file.

This is what is kept for later files, and what a mapping written by hand says.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec
from importer.mapping.match import Match
from importer.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Wish:
    """One label and the physical column it shall fill; no label for a constant.

    `is_further`: the label has a column already, and fills this one too. `is_left_out`: without a column on
    purpose, not for want of one. `recipe` joins no positions: `joins` names labels instead. `fixed` names the
    fields of the reading that hold whatever the file's values look like. `type` is the column's type it was
    made for, "" when that does not matter.
    """

    label: str
    column: str | None
    recipe: Recipe = field(default_factory=Recipe)
    joins: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    fixed: tuple[str, ...] = ()
    is_further: bool = False
    is_left_out: bool = False
    type: str = ""

    @property
    def is_constant(self) -> bool:
        return self.recipe.constant is not None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **saved,
                "recipe": Recipe.from_dict(saved["recipe"]),
                "joins": tuple(saved["joins"]),
                "reading": reading_from(saved["reading"]),
                "fixed": tuple(saved["fixed"]),
            }
        )


def reading_from(saved: Mapping[str, Any]) -> Reading:
    """Return a reading as it was saved."""
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
    }
    return Reading(**known)


def wishes_of(matches: Iterable[Match], columns: Sequence[ColumnSpec] = ()) -> tuple[Wish, ...]:
    """Return what a mapping wants of a file whose labels stand elsewhere."""
    matches = tuple(matches)
    types = {column.name: column.type for column in columns}
    labels = {match.position: match.label for match in matches}
    wishes, seen = [], set[int]()
    for match in matches:
        wish = Wish(
            label=match.label,
            column=match.column,
            recipe=replace(match.recipe, joined=()),
            joins=tuple(labels[position] for position in match.recipe.joined),
            reading=match.reading,
            is_further=match.position in seen or match.position < 0,
            is_left_out=match.column is None and match.reason in ("chosen", "saved"),
            type=types.get(match.column or "", ""),
        )
        wishes.append(wish)
        seen.add(match.position)
    return tuple(wishes)


def plain_wishes(columns: Mapping[str, str | None], *, is_explicit: bool) -> tuple[Wish, ...]:
    """Return the wishes of a mapping that says no more than a column for each label."""
    return tuple(
        Wish(label, column, is_left_out=column is None and is_explicit) for label, column in columns.items()
    )
