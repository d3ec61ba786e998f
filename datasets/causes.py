"""What history names as the reason of a version, in words: which import, undo, restore or change it was, and why.

Apps above say what their own reasons mean: this one does not know them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datasets.changeset import ChangeSet

# "import 7": what kind of thing it was, and its number.
_REASON = re.compile(r"([a-z]+) ([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause: what kind of thing it was; and, for who sees every column, what exactly, and why if that was said."""

    kind: str
    words: str = ""
    note: str = ""


Describe = Callable[[Sequence[int]], Mapping[int, Cause]]
_DESCRIBERS: dict[str, Describe] = {}


def describe_by(kind: str, describe: Describe) -> None:
    """Have reasons of a kind ("import" of "import 7") described by a function of their numbers."""
    _DESCRIBERS[kind] = describe


def causes_of(reasons: Iterable[str]) -> dict[str, Cause]:
    """Return what reasons mean, those that say more than they are. One query for each kind among them."""
    asked: dict[str, dict[int, str]] = {}
    for reason in set(reasons):
        if (found := _REASON.fullmatch(reason)) and found[1] in _DESCRIBERS:
            asked.setdefault(found[1], {})[int(found[2])] = reason
    return {
        numbers[number]: cause
        for kind, numbers in asked.items()
        for number, cause in _DESCRIBERS[kind](sorted(numbers)).items()
    }


def _of_changes(numbers: Sequence[int]) -> dict[int, Cause]:
    found = ChangeSet.objects.filter(pk__in=numbers)
    return {one.pk: Cause(one.get_kind_display(), one.title, one.note) for one in found}


describe_by("change", _of_changes)
