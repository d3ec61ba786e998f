"""Words that every app's sentences need. Pure."""

from __future__ import annotations


def count(number: int, word: str) -> str:
    """Return a number with its noun.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {word}" + ("" if number == 1 else "s")
