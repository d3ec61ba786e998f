"""From the labels of a file to the columns of a dataset: the same guess every time, never a column twice.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec, DatasetSpec
from importer.issues import Issue
from importer.reading import guess_reading

CERTAIN_SCORE = 90
SUGGESTED_SCORE = 70
ALIKE_AS_A_WHOLE = 75
Samples = Sequence[Sequence[str | None]]
# Each line: words that mean the same in the head of a table.
SYNONYMS: tuple[frozenset[str], ...] = tuple(
    frozenset(words.split(", "))
    for words in (
        "id, identifier, no, nr, number, num, key, ref, reference",
        "code, short code, abbreviation, abbr",
        "name, title, full name, label, designation",
        "first name, given name, forename",
        "last name, surname, family name",
        "email, e mail, mail, email address, e mail address, mail address",
        "phone, tel, telephone, phone number, telephone number, tel no, mobile, cell phone",
        "country, country code, iso country, iso country code, nation",
        "region, state, province, iso region",
        "city, town, municipality, place",
        "postcode, postal code, zip, zip code, plz",
        "address, street, street address",
        "lat, latitude, latitude deg, lat deg",
        "lon, lng, long, longitude, longitude deg, lon deg, lng deg",
        "elevation, altitude, elev, alt, height, elevation ft, altitude ft",
        "qty, quantity, count, pieces, pcs",
        "price, amount, cost, value, unit price",
        "date, day, on",
        "time, timestamp, datetime, date time",
        "created, created at, creation date, date created",
        "updated, updated at, modified, modified at, last modified, last updated",
        "description, comment, comments, note, notes, remark, remarks",
        "type, kind, category, class",
        "status, state of, condition",
        "url, link, website, web site, homepage, home page, home link",
        "currency, currency code",
        "language, lang, language code",
        "company, organisation, organization, firm, employer",
        "keywords, tags",
    )
)


@dataclass(frozen=True, slots=True)
class Match:
    """One label of the file and the column it goes to, if any.

    `reason` is exact, saved, synonym, fuzzy, position, chosen or none; `candidates` are physical columns
    that fit equally well, when that is why none was taken.
    """

    position: int
    label: str
    column: str | None
    reason: str
    score: int
    reading: Reading = field(default_factory=Reading)
    candidates: tuple[str, ...] = ()

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
        known = {**saved, "reading": Reading(**reading), "candidates": tuple(saved.get("candidates", ()))}
        return cls(**known)


def normalise(label: str) -> str:
    """Return a label as it is compared: folded, marks and separators as single spaces.

    >>> normalise(" ISO_Country-Code*")
    'iso country code'
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", label))
    folded = unicodedata.normalize("NFKC", words.casefold())
    return " ".join(re.sub(r"[\W_]+", " ", folded).split()) or folded.strip()


def suggest(
    labels: Sequence[str],
    samples: Samples,
    columns: Sequence[ColumnSpec],
    saved: Mapping[str, str | None] | None = None,
) -> tuple[Match, ...]:
    """Return one match for each label: exact, else saved, synonym, fuzzy; the best score takes a column.

    `saved` maps labels to physical columns, None for a label that was left out on purpose. A label that
    occurs again, or that fits two columns equally well, is matched with none.
    """
    if _is_headless(labels) and not any(
        normalise(column.label) in map(normalise, labels) for column in columns
    ):
        matches = _by_position(labels, columns)
    else:
        matches = _by_label(labels, columns, saved or {})
    return _read_by_sample(matches, samples, columns)


def choose(
    matches: Sequence[Match],
    chosen: Mapping[int, str | None],
    samples: Samples,
    columns: Sequence[ColumnSpec],
) -> tuple[Match, ...]:
    """Return the matches with a person's choices, position to physical column; a chosen column leaves others."""
    taken = {name for name in chosen.values() if name is not None}
    result = []
    for match in matches:
        if match.position in chosen:
            name = chosen[match.position]
            result.append(replace(match, column=name, reason="chosen", score=100, candidates=()))
        elif match.column in taken:
            result.append(replace(match, column=None, reason="none", score=0))
        else:
            result.append(match)
    changed = {match.position for match in result if match.position in chosen}
    read = _read_by_sample(result, samples, columns)
    return tuple(new if new.position in changed else old for new, old in zip(read, result, strict=True))


def problems(matches: Sequence[Match], spec: DatasetSpec) -> list[Issue]:
    """Return what must be settled before a row is read: columns without a label, labels that clash."""
    issues = []
    mapped = [match.column for match in matches if match.column]
    for column in spec.columns:
        if column.name in mapped:
            continue
        if column.name in spec.key:
            rule = "This column is part of the key, and no label of the file is mapped to it. Map one."
            issues.append(Issue("missing-label", 0, 0, column.label, "", rule))
        elif column.is_required:
            rule = "This column is required, and no label of the file is mapped to it. Map one."
            issues.append(Issue("missing-label", 0, 0, column.label, "", rule))
    labels = {column.name: column.label for column in spec.columns}
    seen: set[str] = set()
    for match in matches:
        name = normalise(match.label)
        if name in seen and match.column is None and match.reason == "none":
            rule = "The file has this label twice; only the first is mapped. Rename one, or map it yourself."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
        elif match.candidates:
            names = " or ".join(labels.get(candidate, candidate) for candidate in match.candidates)
            rule = f"This label could mean {names}. Map it to one of them, or leave it out."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
        seen.add(name)
    twice = {name for name in mapped if mapped.count(name) > 1}
    for match in matches:
        if match.column in twice:
            rule = "Two labels are mapped to the same column. Leave one of them out."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    return issues


def saved_from(matches: Sequence[Match]) -> dict[str, str | None]:
    """Return what a saved mapping keeps: label to physical column, the first of equal labels."""
    kept: dict[str, str | None] = {}
    for match in matches:
        kept.setdefault(match.label, match.column)
    return kept


def _is_headless(labels: Sequence[str]) -> bool:
    return bool(labels) and all(label == f"column {at}" for at, label in enumerate(labels, start=1))


def _by_position(labels: Sequence[str], columns: Sequence[ColumnSpec]) -> list[Match]:
    """Match by position when the file is as wide as the dataset: a guess, for a person to look at."""
    if len(labels) != len(columns):
        return [Match(at, label, None, "none", 0) for at, label in enumerate(labels)]
    return [
        Match(at, label, column.name, "position", 50)
        for at, (label, column) in enumerate(zip(labels, columns, strict=True))
    ]


def _by_label(
    labels: Sequence[str], columns: Sequence[ColumnSpec], saved: Mapping[str, str | None]
) -> list[Match]:
    names = [normalise(label) for label in labels]
    matches: list[Match | None] = [
        Match(at, label, None, "none", 0) if names[at] in names[:at] or label == f"column {at + 1}" else None
        for at, label in enumerate(labels)
    ]
    free = {column.name: normalise(column.label) for column in columns}
    known = {normalise(label): column for label, column in saved.items()}

    def take(reason: str, score: int, find: Callable[[str], list[str]]) -> None:
        fits = {at: find(names[at]) for at, match in enumerate(matches) if match is None}
        for at, found in fits.items():
            open_columns = [name for name in found if name in free]
            if len(open_columns) == 1:
                matches[at] = Match(at, labels[at], open_columns[0], reason, score)
                del free[open_columns[0]]
            elif len(open_columns) > 1:
                matches[at] = Match(at, labels[at], None, "none", 0, candidates=tuple(open_columns))

    take("exact", 100, lambda name: [column for column, other in free.items() if other == name])
    for at, match in enumerate(matches):
        if match is None and names[at] in known and known[names[at]] is None:
            matches[at] = Match(at, labels[at], None, "saved", 100)
    take("saved", 100, lambda name: [column for column in (known.get(name),) if column])
    take("synonym", 95, lambda name: [column for column, other in free.items() if _are_synonyms(name, other)])
    for score, at, column in _fuzzy(names, matches, free):
        if matches[at] is None and column in free:
            matches[at] = Match(at, labels[at], column, "fuzzy", score)
            del free[column]
    return [match or Match(at, labels[at], None, "none", 0) for at, match in enumerate(matches)]


def _are_synonyms(one: str, other: str) -> bool:
    return any(one in words and other in words for words in SYNONYMS)


def _fuzzy(
    names: Sequence[str], matches: Sequence[Match | None], free: Mapping[str, str]
) -> Iterable[tuple[int, int, str]]:
    """Return (score, position, column), the best first; equals in the order of the file, then the dataset."""
    order = list(free)
    scored = [
        (_likeness(names[at], free[column]), at, column)
        for at, match in enumerate(matches)
        if match is None and len(names[at]) > 2
        for column in order
        if len(free[column]) > 2
    ]
    good = [item for item in scored if item[0] >= SUGGESTED_SCORE]
    return sorted(good, key=lambda item: (-item[0], item[1], order.index(item[2])))


def _likeness(one: str, other: str) -> int:
    """Return 0 to 100. A name within a longer one ("birth name") is alike, but never certainly the same."""
    from rapidfuzz import fuzz  # slow import  # noqa: PLC0415

    score = int(fuzz.WRatio(one, other))
    return score if fuzz.ratio(one, other) >= ALIKE_AS_A_WHOLE else min(score, CERTAIN_SCORE - 1)


def _read_by_sample(
    matches: Sequence[Match], samples: Samples, columns: Sequence[ColumnSpec]
) -> tuple[Match, ...]:
    """Return the matches with the reading that the samples of their column show."""
    types = {column.name: column.type for column in columns}
    return tuple(
        replace(
            match,
            reading=guess_reading(
                types[match.column],
                [value for row in samples if match.position < len(row) and (value := row[match.position])],
            ),
        )
        if match.column in types
        else match
        for match in matches
    )
