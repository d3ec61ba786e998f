"""What a check found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SHOWN = 20


@dataclass(slots=True)
class Findings:
    """Counts of what is lost, doubled and stuck, and every breach of an invariant in words."""

    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    breaches: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def lose(self, what: str, count: int = 1) -> None:
        self.lost += count
        self.breaches.append(f"lost: {what}")

    def double(self, what: str, count: int = 1) -> None:
        self.doubled += count
        self.breaches.append(f"doubled: {what}")

    def stick(self, what: str, count: int = 1) -> None:
        self.stuck += count
        self.breaches.append(f"stuck: {what}")

    def breach(self, what: str) -> None:
        """Note a breach that is none of the three."""
        self.breaches.append(what)

    def count(self, what: str, count: int = 1) -> None:
        """Count what was looked at, so that a check that looked at nothing is seen."""
        self.seen[what] += count

    def require_none(self, seed: int) -> None:
        """Raise if anything was found.

        :raises AssertionError: with the seed and the first breaches.
        """
        if self.breaches:
            shown = "\n  ".join(self.breaches[:SHOWN])
            raise AssertionError(
                f"seed {seed}: lost {self.lost}, doubled {self.doubled}, stuck {self.stuck}; "
                f"{len(self.breaches)} breaches:\n  {shown}"
            )
