"""Incremental files and the files they go on from. Pure: no Django, no storage, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def needed_by(kept: Iterable[int], bases: Mapping[int, int | None]) -> set[int]:
    """Return the files that those kept go on from, directly or through others. `bases`: each file's base.

    >>> sorted(needed_by([4], {1: None, 2: 1, 3: None, 4: 2}))
    [1, 2]
    """
    needed: set[int] = set()
    for pk in kept:
        base = bases.get(pk)
        while base is not None and base not in needed:
            needed.add(base)
            base = bases.get(base)
    return needed
