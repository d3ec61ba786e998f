"""Which export files have had their time, and above all which stay.

A file is past its time when it is past any limit that is on: too old, too many of its dataset, too many bytes of
them. It stays nevertheless when it is the dataset's newest good one, when it is the last good one of a day or a
month that is to keep one, or when a file that stays builds on it.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """How long files stay; 0 switches a limit off.

    `keep_daily` and `keep_monthly` count the last days and months (UTC) that have a good file; the last file of
    each stays whatever the limits say.
    """

    keep_days: int = 0  # files older than this
    keep_count: int = 0  # files of a dataset beyond this many, counted from the newest
    keep_bytes: int = 0  # files of a dataset beyond this size together, counted from the newest
    keep_daily: int = 0
    keep_monthly: int = 0

    def __post_init__(self) -> None:
        if any(value < 0 for value in asdict(self).values()):
            raise ValueError(f"limits cannot be negative: {self}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stored file. `group` is what files are counted within: a dataset. Not good: missing or altered.

    `base` is the file of the same group that this one, being incremental, goes on from.
    """

    pk: int
    group: Hashable
    created_at: datetime
    is_good: bool = True
    bytes: int = 0
    base: int | None = None


def expired(
    files: Iterable[Candidate], policies: Policy | Callable[[Hashable], Policy], *, now: datetime
) -> list[Candidate]:
    """Return the files past their time, in the order to remove them in: oldest first, but none before one built on it.

    `policies` is one policy for all, or says each group's.
    """
    groups: defaultdict[Hashable, list[Candidate]] = defaultdict(list)
    for file in files:
        groups[file.group].append(file)
    gone = [
        file
        for name, group in groups.items()
        for file in _expired_of_one(group, policies if isinstance(policies, Policy) else policies(name), now)
    ]
    return _in_order(gone)


def _expired_of_one(files: list[Candidate], policy: Policy, now: datetime) -> list[Candidate]:
    newest_first = sorted(files, key=_age, reverse=True)
    kept = {file.pk for file in newest_first} - _past_a_limit(newest_first, policy, now)
    good = [file for file in newest_first if file.is_good]
    kept |= {file.pk for file in good[:1]}
    kept |= _last_of_each(good, policy.keep_daily, lambda at: (at.year, at.month, at.day))
    kept |= _last_of_each(good, policy.keep_monthly, lambda at: (at.year, at.month))
    kept |= _built_on(kept, {file.pk: file.base for file in files})
    return [file for file in files if file.pk not in kept]


def _past_a_limit(newest_first: list[Candidate], policy: Policy, now: datetime) -> set[int]:
    gone: set[int] = set()
    if policy.keep_count:
        gone |= {file.pk for file in newest_first[policy.keep_count :]}
    if policy.keep_days:
        first = now - timedelta(days=policy.keep_days)
        gone |= {file.pk for file in newest_first if file.created_at < first}
    if policy.keep_bytes:
        together = 0
        for file in newest_first:
            together += file.bytes
            if together > policy.keep_bytes:
                gone.add(file.pk)
    return gone


def _last_of_each(
    good_newest_first: list[Candidate], count: int, period: Callable[[datetime], Hashable]
) -> set[int]:
    last: dict[Hashable, int] = {}
    for file in good_newest_first:
        last.setdefault(period(file.created_at.astimezone(UTC)), file.pk)
    return set(list(last.values())[:count])


def _built_on(kept: set[int], bases: Mapping[int, int | None]) -> set[int]:
    """Return what the kept files go on from, however far back."""
    found: set[int] = set()
    waiting = list(kept)
    while waiting:
        base = bases.get(waiting.pop())
        if base is not None and base in bases and base not in found:
            found.add(base)
            waiting.append(base)
    return found


def _in_order(gone: list[Candidate]) -> list[Candidate]:
    increments: defaultdict[int | None, list[Candidate]] = defaultdict(list)
    for file in sorted(gone, key=_age):
        increments[file.base].append(file)
    ordered: dict[int, Candidate] = {}
    for file in sorted(gone, key=_age):
        waiting = [file]
        while waiting:
            last = waiting[-1]
            missing = [one for one in increments[last.pk] if one.pk not in ordered and one not in waiting]
            if missing:
                waiting.append(missing[0])
            else:
                ordered.setdefault(waiting.pop().pk, last)
    return list(ordered.values())


def _age(file: Candidate) -> tuple[datetime, int]:
    return (file.created_at, file.pk)
