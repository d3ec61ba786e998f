"""How far a reader of the log is, though numbers are given before their rows are there. Pure: no Django.

An event gets its number when it is written and is seen when its transaction commits: a lower number may appear after
a higher one. So whoever reads on keeps the highest number read and the gaps below it, and looks into these until no
transaction can be that old any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that were not there when `noticed` (seconds since 1970): from `first` to `last`, both included."""

    first: int
    last: int
    noticed: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader is: every number up to `upto` was read but for those in the gaps."""

    upto: int
    gaps: tuple[Gap, ...] = ()

    def after(self, numbers: Iterable[int], *, now: int) -> Place:
        """Return the place after these numbers were read, whether they lie in gaps or above.

        >>> place = Place(3).after([4, 7], now=100)
        >>> place
        Place(upto=7, gaps=(Gap(first=5, last=6, noticed=100),))
        >>> place.after([6], now=200)
        Place(upto=7, gaps=(Gap(first=5, last=5, noticed=100),))
        """
        gaps, upto = list(self.gaps), self.upto
        for number in sorted(numbers):
            if number > upto:
                if number > upto + 1:
                    gaps.append(Gap(upto + 1, number - 1, now))
                upto = number
            else:
                gaps = [left for gap in gaps for left in _without(gap, number)]
        return Place(upto, tuple(gaps))

    def without_gaps_before(self, oldest: int) -> Place:
        """Return the place without the gaps that were noticed before: nothing will come there any more."""
        return Place(self.upto, tuple(gap for gap in self.gaps if gap.noticed >= oldest))

    def plain(self) -> list[list[int]]:
        """Return the gaps as JSON keeps them."""
        return [[gap.first, gap.last, gap.noticed] for gap in self.gaps]


def place_of(upto: int, gaps: Sequence[Sequence[int]]) -> Place:
    """Return what `Place.plain` has written.

    >>> place_of(7, [[5, 6, 100]]).plain()
    [[5, 6, 100]]
    """
    return Place(upto, tuple(Gap(*gap) for gap in gaps))


def _without(gap: Gap, number: int) -> Iterable[Gap]:
    if not gap.first <= number <= gap.last:
        yield gap
        return
    if gap.first < number:
        yield Gap(gap.first, number - 1, gap.noticed)
    if number < gap.last:
        yield Gap(number + 1, gap.last, gap.noticed)
