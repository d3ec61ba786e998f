"""A mapping as a person changes it, and as older programs keep it.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from datasets.spec import ColumnSpec
from importer.mapping.match import Match
from importer.mapping.problems import first_matches, repeated
from importer.mapping.suggestion import Samples, guessed_reading


def choose(
    matches: Sequence[Match],
    chosen: Mapping[int, str | None],
    samples: Samples,
    columns: Sequence[ColumnSpec],
) -> tuple[Match, ...]:
    """Return the matches with a person's choices, position to physical column; a chosen column leaves others.

    What was chosen as it stood already keeps its reason, unless that was a doubt.
    """
    taken = {name for name in chosen.values() if name is not None}
    doubts = doubtful(matches, columns)
    result, seen = [], set[int]()
    for match in matches:
        is_first = match.position >= 0 and match.position not in seen
        seen.add(match.position)
        if is_first and match.position in chosen:
            column = chosen[match.position]
            if column != match.column or match.position in doubts:
                match = rechosen(match, column, samples, columns)
            result.append(match)
        elif match.column in taken:
            # A label stays, without a column; what only filled that column has nothing left to do.
            if is_first:
                result.append(replace(match, column=None, reason="none", score=0))
        else:
            result.append(match)
    return tuple(result)


def doubtful(matches: Sequence[Match], columns: Sequence[ColumnSpec]) -> set[int]:
    """Return the positions of the labels that a person must decide: even leaving one as it is decides it."""
    titles = {column.name: column.label for column in columns}
    first = first_matches(matches)
    unsure = [match for match in first if match.candidates]
    return {match.position for match in (*unsure, *repeated(first, titles))}


def rechosen(match: Match, column: str | None, samples: Samples, columns: Sequence[ColumnSpec]) -> Match:
    """Return the match with the column a person chose for it, and the reading that column's values show."""
    new = replace(match, column=column, reason="chosen", score=100, candidates=())
    return new if column == match.column else replace(new, reading=guessed_reading(new, samples, columns))


def unused(match: Match) -> Match:
    """Return the match with its guess kept as the first candidate and no column."""
    candidates = tuple(dict.fromkeys([match.column, *match.candidates])) if match.column else match.candidates
    return replace(match, column=None, candidates=candidates)


def saved_from(matches: Sequence[Match]) -> dict[str, str | None]:
    """Return what a saved mapping keeps: label to physical column, the first of equal labels."""
    kept: dict[str, str | None] = {}
    for match in matches:
        if match.position >= 0:
            kept.setdefault(match.label, match.column)
    return kept
