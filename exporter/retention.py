"""Which export files have had their time: too old, or too many of a dataset, never its newest good one.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """How long files stay; 0 switches a limit off. A file expires when it is past any limit that is on."""

    keep_days: int  # files older than this
    keep_count: int  # files of a dataset beyond this many, counted from the newest

    def __post_init__(self) -> None:
        if self.keep_days < 0 or self.keep_count < 0:
            raise ValueError(f"limits cannot be negative: {self}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stored file. `group` is what files are counted within: a dataset. Not good: missing or altered."""

    pk: int
    group: Hashable
    created_at: datetime
    is_good: bool = True


def expired(files: Iterable[Candidate], policy: Policy, *, now: datetime) -> list[Candidate]:
    """Return the files past a limit, oldest first; the newest good file of a group is never among them."""
    groups: defaultdict[Hashable, list[Candidate]] = defaultdict(list)
    for file in files:
        groups[file.group].append(file)
    gone = [file for group in groups.values() for file in _expired_of_one(group, policy, now)]
    return sorted(gone, key=_age)


def _expired_of_one(files: list[Candidate], policy: Policy, now: datetime) -> list[Candidate]:
    newest_first = sorted(files, key=_age, reverse=True)
    last_good = next((file for file in newest_first if file.is_good), None)
    gone = set()
    if policy.keep_count:
        gone |= set(newest_first[policy.keep_count :])
    if policy.keep_days:
        gone |= {file for file in files if file.created_at < now - timedelta(days=policy.keep_days)}
    return [file for file in files if file in gone and file is not last_good]


def _age(file: Candidate) -> tuple[datetime, int]:
    return (file.created_at, file.pk)
