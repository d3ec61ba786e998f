"""What must be settled before a row is read.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datasets.spec import ColumnSpec, DatasetSpec
from importer.issues import Issue
from importer.mapping.faults import faults
from importer.mapping.labels import Key, folded, key_of
from importer.mapping.match import Match


def problems(matches: Sequence[Match], spec: DatasetSpec, labels: Sequence[str] | None = None) -> list[Issue]:
    """Return what must be settled before a row is read: columns without a label, clashes, faulty recipes.

    A constant counts as a label does. `labels` are the file's; by default those of the matches.
    """
    first = first_matches(matches)
    mapped = [match.column for match in matches if match.column]
    titles = {column.name: column.label for column in spec.columns}
    issues = [
        Issue("missing-label", 0, 0, column.label, "", _missing(column, spec, first))
        for column in spec.columns
        if column.name not in mapped and (column.name in spec.key or column.must_be_given)
    ]
    for match in first:
        if match.reason == "none" and match.candidates and not set(match.candidates) <= set(mapped):
            names = " or ".join(titles.get(candidate, candidate) for candidate in match.candidates)
            rule = f"This label could mean {names}. Map it to one of them, or leave it out."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    for match in repeated(first, titles):
        rule = "The file has this label twice; only one can be mapped. Rename one, or map it yourself."
        issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    for match in matches:
        if match.column and mapped.count(match.column) > 1:
            rule = clash(titles.get(match.column, match.column))
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    width = [match.label for match in first] if labels is None else labels
    for fault in faults(matches, spec, width):
        match = matches[fault.at]
        place = match.label or titles.get(match.column or "", "")
        issues.append(Issue(fault.code, 0, 0, place, fault.value, fault.rule))
    if not mapped and not issues:
        rule = "No label of the file goes to a column of the dataset, so nothing could be read. Map one."
        issues.append(Issue("missing-label", 0, 0, "", "", rule))
    return issues


def first_matches(matches: Sequence[Match]) -> list[Match]:
    """Return the first match of each label: no constants, and no further columns of a label."""
    first: dict[int, Match] = {}
    for match in matches:
        if match.position >= 0:
            first.setdefault(match.position, match)
    return list(first.values())


def clash(column: str) -> str:
    """Return the sentence about a column that is filled twice."""
    return f"{column} is filled twice. A column takes one label or one constant: leave out the others."


def _missing(column: ColumnSpec, spec: DatasetSpec, matches: Sequence[Match]) -> str:
    """Return the sentence about a column without a label, with the labels that may be meant."""
    meant = [f"“{match.label}”" for match in matches if not match.column and column.name in match.candidates]
    if meant:
        guess = f"{' or '.join(meant)} may be meant"
        return f"No label of the file goes to {column.label}; {guess}. Match it, then preview again."
    what = "part of the key" if column.name in spec.key else "required"
    return f"This column is {what}, and no label of the file is mapped to it. Map one."


def repeated(matches: Sequence[Match], columns: Mapping[str, str]) -> list[Match]:
    """Return the unmapped labels that occur again, or that lost a column to one no nearer to it."""
    alike: dict[Key, list[Match]] = {}
    for match in matches:
        alike.setdefault(key_of(match.label), []).append(match)

    def is_rival(other: Match, match: Match) -> bool:
        if folded(other.label) == folded(match.label):
            return other.column is not None or other.position < match.position
        if other.column is None or other.reason in ("saved", "chosen"):
            return False
        return folded(other.label) != folded(columns.get(other.column, ""))

    return [
        match
        for match in matches
        if match.column is None
        and match.reason == "none"
        and not match.candidates
        and any(is_rival(other, match) for other in alike[key_of(match.label)] if other is not match)
    ]
