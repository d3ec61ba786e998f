"""The guess: exact, saved, synonym, alike; the same every time, and never a column twice.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec
from importer.mapping.labels import (
    SUGGESTED_SCORE,
    Key,
    are_synonyms,
    folded,
    is_headless,
    key_of,
    likeness,
    normalise,
)
from importer.mapping.match import Match
from importer.mapping.wishes import Wish, plain_wishes
from importer.reading import guess_reading
from importer.recipes import prepare

Samples = Sequence[Sequence[str | None]]
Saved = Mapping[str, str | None] | Sequence[Wish]
MARKS = ("decimal_mark", "group_mark", "date_order")


def suggest(
    labels: Sequence[str],
    samples: Samples,
    columns: Sequence[ColumnSpec],
    saved: Saved | None = None,
    *,
    is_explicit: bool = False,
) -> tuple[Match, ...]:
    """Return one match for each label, then those of wishes that go beyond; the best score takes a column.

    `saved` is a mapping from before: wishes, or labels to physical columns (None: left out). With
    `is_explicit` a person gave it for this very file: then it also counts without a header, and what it
    leaves out stays out even when a column has that label. A label that occurs again, or that fits two
    columns equally well, is matched with none.
    """
    wishes = plain_wishes(saved, is_explicit=is_explicit) if isinstance(saved, Mapping) else saved or ()
    columns_named = {normalise(column.label) for column in columns}
    is_blind = is_headless(labels) and not columns_named & set(map(normalise, labels))
    if is_blind and not is_explicit:
        wishes = ()  # any file without labels has the same ones: what held for one need not for another
    told = _told(labels, columns, wishes, is_explicit=is_explicit)
    free = {column.name: column.label for column in columns if column.name not in told.wishes}
    if is_blind:
        first = _by_position(labels, columns, told.first, free)
    else:
        first = _by_label(labels, columns, told.first, _paired(labels, wishes), free)
    return tuple(
        replace(match, reading=_settled(match, told.wishes.get(match.column or ""), samples, columns))
        for match in (*first, *told.further)
    )


def absent(labels: Sequence[str], explicit: Saved) -> list[str]:
    """Return the labels a mapping names and the file does not have."""
    wishes = plain_wishes(explicit, is_explicit=True) if isinstance(explicit, Mapping) else explicit
    named = [wish.label for wish in wishes if wish.label]
    named = list(dict.fromkeys((*named, *_joins(wishes))))
    found = _places(labels, named)
    return [label for label in named if label not in found]


def changes(wishes: Sequence[Wish], matches: Sequence[Match], columns: Sequence[ColumnSpec]) -> list[str]:
    """Return a sentence for each part of a kept mapping that does not fit the dataset or the file any more."""
    known = {column.name: column for column in columns}
    found = []
    for wish in wishes:
        what = f"“{wish.label}”" if wish.label else "a constant"
        if wish.column is None:
            continue
        column = known.get(wish.column)
        if column is None:
            found.append(f"The column that {what} went to last time is gone; it was matched anew.")
        elif wish.type and wish.type != column.type:
            found.append(
                f"{column.label} is {column.type} now, no longer {wish.type}; {what} was matched anew."
            )
        elif any(
            match.column == wish.column and _marks(match.reading) != _marks(wish.reading)
            for match in matches
            if _marks(wish.reading) != _marks(Reading()) and match.reason in ("saved", "exact")
        ):
            found.append(f"{what} is written in another way than last time; look how its values are read.")
    return found


def guessed_reading(match: Match, samples: Samples, columns: Sequence[ColumnSpec]) -> Reading:
    """Return the reading that the samples of a match show, after its recipe."""
    kind = next((column.type for column in columns if column.name == match.column), None)
    if kind is None:
        return Reading()
    cells = (prepare(match.recipe, row, match.position) for row in samples)
    return guess_reading(kind, [cell for cell in cells if cell])


def _settled(match: Match, wish: Wish | None, samples: Samples, columns: Sequence[ColumnSpec]) -> Reading:
    """Return how a column is read: as was said, else as its values prove, else as it was kept."""
    guessed = guessed_reading(match, samples, columns)
    if wish is None:
        return guessed
    is_proved = guessed != Reading()
    marks = {
        name: getattr(guessed if is_proved and name not in wish.fixed else wish.reading, name)
        for name in MARKS
    }
    return replace(wish.reading, **marks)


def _marks(reading: Reading) -> tuple[str, ...]:
    return tuple(getattr(reading, name) for name in MARKS)


def _places(labels: Sequence[str], names: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of the labels each name means: the same bytes before like ones, each label once.

    A name given twice means two labels.
    """
    places: dict[str, list[int]] = {}
    open_names, open_labels = list(names), dict(enumerate(labels))
    forms: tuple[Callable[[str], object], ...] = (str, folded, key_of)
    for form in forms:
        at_form: dict[object, list[int]] = {}
        for at, label in open_labels.items():
            at_form.setdefault(form(label), []).append(at)
        left = []
        for name in open_names:
            if found := at_form.get(form(name)):
                places.setdefault(name, []).append(found.pop(0))
                del open_labels[places[name][-1]]
            else:
                left.append(name)
        open_names = left
    return places


def _paired(labels: Sequence[str], wishes: Sequence[Wish]) -> dict[int, Wish]:
    """Return the wish for each label, by the label's position."""
    firsts = [wish for wish in wishes if not wish.is_further]
    places = _places(labels, [wish.label for wish in firsts])
    pairs = {}
    for wish in firsts:
        if places.get(wish.label):
            pairs[places[wish.label].pop(0)] = wish
    alike = {wish.label: wish for wish in firsts if wish.column is None}
    again = {at: alike[label] for at, label in enumerate(labels) if at not in pairs and label in alike}
    return pairs | again


@dataclass(slots=True)
class _Told:
    """The matches that wishes tell: by position, those beyond the first of a label, and whose column is whose."""

    first: dict[int, Match] = field(default_factory=dict)
    further: list[Match] = field(default_factory=list)
    wishes: dict[str, Wish] = field(default_factory=dict)


def _told(
    labels: Sequence[str], columns: Sequence[ColumnSpec], wishes: Sequence[Wish], *, is_explicit: bool
) -> _Told:
    known = {column.name: column for column in columns}
    pairs = _paired(labels, wishes)
    joins = {label: at[0] for label, at in _places(labels, _joins(wishes)).items()}
    told = _Told()

    def is_usable(wish: Wish) -> bool:
        if wish.column is None:
            return wish.is_left_out
        if wish.column in told.wishes and not is_explicit:
            return False
        column = known.get(wish.column)
        return column is not None and wish.type in ("", column.type) and set(wish.joins) <= joins.keys()

    def in_place(wish: Wish, at: int) -> Match:
        if wish.column is not None:
            told.wishes[wish.column] = wish
        recipe = replace(wish.recipe, joined=tuple(joins[label] for label in wish.joins))
        label = labels[at] if at >= 0 else ""
        column = known[wish.column].label if wish.column else ""
        reason = "exact" if column and folded(column) == folded(label) and not is_explicit else "saved"
        return Match(at, label, wish.column, reason, 100, wish.reading, recipe=recipe)

    for at, wish in pairs.items():
        if is_usable(wish):
            told.first[at] = in_place(wish, at)
    places = {wish.label: at for at, wish in reversed(pairs.items())}
    for wish in wishes:
        place = -1 if wish.is_constant else places.get(wish.label)
        if wish.is_further and place is not None and wish.column and is_usable(wish):
            told.further.append(in_place(wish, place))
    return told


def _joins(wishes: Sequence[Wish]) -> list[str]:
    return list(dict.fromkeys(label for wish in wishes for label in wish.joins))


def _by_position(
    labels: Sequence[str],
    columns: Sequence[ColumnSpec],
    told: Mapping[int, Match],
    free: Mapping[str, str],
) -> list[Match]:
    """Match by position when the file is as wide as the dataset: a guess, for a person to look at."""
    guessed: list[str | None] = [None] * len(labels)
    if len(labels) == len(columns):
        guessed = [column.name if column.name in free else None for column in columns]
    return [
        told.get(at) or Match(at, label, name, "position" if name else "none", 50 if name else 0)
        for at, (label, name) in enumerate(zip(labels, guessed, strict=True))
    ]


def _by_label(
    labels: Sequence[str],
    columns: Sequence[ColumnSpec],
    told: Mapping[int, Match],
    wished: Mapping[int, Wish],
    free: dict[str, str],
) -> list[Match]:
    matches: list[Match | None] = [told.get(at) for at in range(len(labels))]
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
    for at, wish in wished.items():
        if matches[at] is None and wish.column is None:
            matches[at] = Match(at, labels[at], None, "saved", 100)
    take("synonym", 95, lambda at, name: are_synonyms(keys[at], column_keys[name]))
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


def _fuzzy(
    keys: Sequence[Key], matches: Sequence[Match | None], free: Mapping[str, Key]
) -> Iterable[tuple[int, int, str]]:
    """Return (score, position, column), the best first; equals in the order of the file, then the dataset."""
    order = {column: at for at, column in enumerate(free)}
    scored = [
        (likeness(keys[at], free[column]), at, column)
        for at, match in enumerate(matches)
        if match is None
        for column in order
    ]
    good = [item for item in scored if item[0] >= SUGGESTED_SCORE]
    return sorted(good, key=lambda item: (-item[0], item[1], order[item[2]]))
