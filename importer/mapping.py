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
SYMBOLS = "%‰#°+±<>="  # they change what a label means, as currencies do; other marks only divide words
Samples = Sequence[Sequence[str | None]]
Key = tuple[str, str]
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
    it may mean, when none was taken because that is not certain.
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


def folded(label: str) -> str:
    """Return a label without surrounding blanks and case: nearer to the label than `normalise`."""
    return label.strip().casefold()


def key_of(label: str) -> Key:
    """Return what two labels share that mean the same: the words, and the symbols among them.

    >>> key_of("Growth_%") == key_of("growth %") != key_of("Growth")
    True
    """
    return normalise(label), _symbols(label)


def suggest(
    labels: Sequence[str],
    samples: Samples,
    columns: Sequence[ColumnSpec],
    saved: Mapping[str, str | None] | None = None,
    *,
    is_explicit: bool = False,
) -> tuple[Match, ...]:
    """Return one match for each label: saved, else exact, synonym, fuzzy; the best score takes a column.

    `saved` maps labels to physical columns, None for a label that was left out on purpose. With
    `is_explicit` a person gave it for this very file: then it also counts without a header, and what it
    leaves out stays out even when a column has that label. A label that occurs again, or that fits two
    columns equally well, is matched with none.
    """
    told = _told(labels, columns, saved or {}, is_explicit=is_explicit)
    if _is_headless(labels) and not any(
        normalise(column.label) in map(normalise, labels) for column in columns
    ):
        matches = _by_position(labels, columns, told if is_explicit else {})
    else:
        matches = _by_label(labels, columns, told, saved or {})
    return _read_by_sample(matches, samples, columns)


def absent(labels: Sequence[str], explicit: Mapping[str, str | None]) -> list[str]:
    """Return the labels a mapping names and the file does not have."""
    found = set(_pairs(labels, explicit).values())
    return [label for label in explicit if label not in found]


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
    mapped = [match.column for match in matches if match.column]
    issues = [
        Issue("missing-label", 0, 0, column.label, "", _missing(column, spec, matches))
        for column in spec.columns
        if column.name not in mapped and (column.name in spec.key or column.is_required)
    ]
    labels = {column.name: column.label for column in spec.columns}
    for match in matches:
        if match.reason == "none" and match.candidates and not set(match.candidates) <= set(mapped):
            names = " or ".join(labels.get(candidate, candidate) for candidate in match.candidates)
            rule = f"This label could mean {names}. Map it to one of them, or leave it out."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    for match in _repeated(matches, labels):
        rule = "The file has this label twice; only one can be mapped. Rename one, or map it yourself."
        issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    twice = {name for name in mapped if mapped.count(name) > 1}
    for match in matches:
        if match.column in twice:
            rule = "Two labels are mapped to the same column. Leave one of them out."
            issues.append(Issue("duplicate-label", 0, 0, match.label, "", rule))
    return issues


def _missing(column: ColumnSpec, spec: DatasetSpec, matches: Sequence[Match]) -> str:
    """Return the sentence about a column without a label, with the labels that may be meant."""
    meant = [f"“{match.label}”" for match in matches if not match.column and column.name in match.candidates]
    if meant:
        guess = f"{' or '.join(meant)} may be meant"
        return f"No label of the file goes to {column.label}; {guess}. Match it, then preview again."
    what = "part of the key" if column.name in spec.key else "required"
    return f"This column is {what}, and no label of the file is mapped to it. Map one."


def _repeated(matches: Sequence[Match], columns: Mapping[str, str]) -> list[Match]:
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


def saved_from(matches: Sequence[Match]) -> dict[str, str | None]:
    """Return what a saved mapping keeps: label to physical column, the first of equal labels."""
    kept: dict[str, str | None] = {}
    for match in matches:
        kept.setdefault(match.label, match.column)
    return kept


def _is_headless(labels: Sequence[str]) -> bool:
    return bool(labels) and all(label == f"column {at}" for at, label in enumerate(labels, start=1))


def _symbols(label: str) -> str:
    text = unicodedata.normalize("NFKC", label)
    return "".join(sign for sign in text if sign in SYMBOLS or unicodedata.category(sign) == "Sc")


def _pairs(labels: Sequence[str], saved: Mapping[str, str | None]) -> dict[int, str]:
    """Return which label, by its position, each label of a mapping is: the same bytes before like ones."""
    pairs: dict[int, str] = {}
    forms: tuple[Callable[[str], object], ...] = (str, folded, key_of)
    for form in forms:
        at_form: dict[object, int] = {}
        for at, label in enumerate(labels):
            if at not in pairs:
                at_form.setdefault(form(label), at)
        paired = set(pairs.values())
        for name in (name for name in saved if name not in paired):
            if (found := at_form.pop(form(name), None)) is not None:
                pairs[found] = name
    again = {at: label for at, label in enumerate(labels) if at not in pairs and label in saved}
    return pairs | {at: label for at, label in again.items() if saved[label] is None}


def _told(
    labels: Sequence[str],
    columns: Sequence[ColumnSpec],
    saved: Mapping[str, str | None],
    *,
    is_explicit: bool,
) -> dict[int, Match]:
    """Return the matches a mapping tells; what a remembered one leaves out may have a column by now."""
    known = {column.name for column in columns}
    return {
        at: Match(at, labels[at], column, "saved", 100)
        for at, name in _pairs(labels, saved).items()
        if (column := saved[name]) in known or (column is None and is_explicit)
    }


def _by_position(
    labels: Sequence[str], columns: Sequence[ColumnSpec], told: Mapping[int, Match]
) -> list[Match]:
    """Match by position when the file is as wide as the dataset: a guess, for a person to look at."""
    taken = {match.column for match in told.values()}
    guessed: list[str | None] = [None] * len(labels)
    if len(labels) == len(columns):
        guessed = [None if column.name in taken else column.name for column in columns]
    return [
        told.get(at) or Match(at, label, name, "position" if name else "none", 50 if name else 0)
        for at, (label, name) in enumerate(zip(labels, guessed, strict=True))
    ]


def _by_label(
    labels: Sequence[str],
    columns: Sequence[ColumnSpec],
    told: Mapping[int, Match],
    saved: Mapping[str, str | None],
) -> list[Match]:
    matches: list[Match | None] = [told.get(at) for at in range(len(labels))]
    taken = {match.column for match in told.values()}
    free = {column.name: column.label for column in columns if column.name not in taken}
    keys = [key_of(label) for label in labels]
    column_keys = {column.name: key_of(column.label) for column in columns}

    def take(reason: str, score: int, is_same: Callable[[int, str], bool]) -> None:
        fits = {
            at: [name for name in free if is_same(at, name)]
            for at, match in enumerate(matches)
            if match is None
        }
        for at, found in fits.items():
            open_columns = [name for name in found if name in free]
            if len(open_columns) == 1:
                matches[at] = Match(at, labels[at], open_columns[0], reason, score)
                del free[open_columns[0]]
            elif len(open_columns) > 1:
                matches[at] = Match(at, labels[at], None, "none", 0, candidates=tuple(open_columns))

    take("exact", 100, lambda at, name: labels[at] == free[name])
    take("exact", 100, lambda at, name: folded(labels[at]) == folded(free[name]))
    for at in _left_out(labels, keys, matches):
        matches[at] = Match(at, labels[at], None, "none", 0)
    take("exact", 100, lambda at, name: keys[at] == column_keys[name])
    for at, name in _pairs(labels, saved).items():
        if matches[at] is None and saved[name] is None:
            matches[at] = Match(at, labels[at], None, "saved", 100)
    take("synonym", 95, lambda at, name: _are_synonyms(keys[at], column_keys[name]))
    for score, at, column in _fuzzy(keys, matches, {name: column_keys[name] for name in free}):
        if matches[at] is None and column in free:
            matches[at] = Match(at, labels[at], column, "fuzzy", score)
            del free[column]
    return [match or Match(at, labels[at], None, "none", 0) for at, match in enumerate(matches)]


def _left_out(labels: Sequence[str], keys: Sequence[Key], matches: Sequence[Match | None]) -> list[int]:
    """Return the positions of labels without a name, and of those whose like is matched or stands before."""
    seen = {keys[at] for at, match in enumerate(matches) if match is not None}
    found = []
    for at, match in enumerate(matches):
        if match is None and (keys[at] in seen or labels[at] == f"column {at + 1}"):
            found.append(at)
        seen.add(keys[at])
    return found


def _are_synonyms(one: Key, other: Key) -> bool:
    return one[1] == other[1] and any(one[0] in words and other[0] in words for words in SYNONYMS)


def _fuzzy(
    keys: Sequence[Key], matches: Sequence[Match | None], free: Mapping[str, Key]
) -> Iterable[tuple[int, int, str]]:
    """Return (score, position, column), the best first; equals in the order of the file, then the dataset."""
    order = {column: at for at, column in enumerate(free)}
    scored = [
        (_likeness(keys[at], free[column]), at, column)
        for at, match in enumerate(matches)
        if match is None
        for column in order
    ]
    good = [item for item in scored if item[0] >= SUGGESTED_SCORE]
    return sorted(good, key=lambda item: (-item[0], item[1], order[item[2]]))


def _likeness(one: Key, other: Key) -> int:
    """Return 0 to 100. A name within a longer one ("birth name") is alike, but never certainly the same.

    Nor is one with another symbol: a price is no percentage of it.
    """
    from rapidfuzz import fuzz  # slow import  # noqa: PLC0415

    (name, symbols), (other_name, other_symbols) = one, other
    if name == other_name or _are_synonyms((name, ""), (other_name, "")):
        return CERTAIN_SCORE - 1  # only the symbols differ, or it would have been matched before
    if len(name) <= 2 or len(other_name) <= 2:
        return 0
    score = int(fuzz.WRatio(name, other_name))
    is_alike = symbols == other_symbols and fuzz.ratio(name, other_name) >= ALIKE_AS_A_WHOLE
    return score if is_alike else min(score, CERTAIN_SCORE - 1)


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
