"""One label of a file and the column it goes to.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from datasets.columntypes.base import Reading
from importer.mapping.labels import CERTAIN_SCORE
from importer.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Match:
    """One label of the file and the column it goes to, if any.

    Every label has one. Beyond them a mapping may have further ones: of a label that is split over several
    columns (the same position again), and of a column that gets a constant (position -1, no label).

    `reason` is exact, saved, synonym, fuzzy, position, chosen or none; `candidates` are physical columns
    it may mean, when none was taken because that is not certain.
    """

    position: int
    label: str
    column: str | None
    reason: str
    score: int
    reading: Reading = field(default_factory=Reading)
    candidates: tuple[str, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def is_certain(self) -> bool:
        """Whether a person need not look at it."""
        return self.reason in ("exact", "saved", "synonym", "chosen") or (
            self.reason == "fuzzy" and self.score >= CERTAIN_SCORE
        )

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        reading: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved.get("reading", {}).items()
        }
        return cls(
            **{
                **saved,
                "reading": Reading(**reading),
                "candidates": tuple(saved.get("candidates", ())),
                "recipe": Recipe.from_dict(saved.get("recipe", {})),
            }
        )
