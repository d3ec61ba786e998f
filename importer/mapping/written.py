"""A mapping as people write it: JSON with the labels of the file and of the columns, nothing internal.

    {"Price": {"column": "amount", "decimal_mark": ","}, "Note": null, "": [{"column": "source", "constant": "web"}]}

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.errors import RowhouseError
from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec
from importer.mapping.limits import MOST_IN_ALL
from importer.mapping.match import Match
from importer.mapping.wishes import Wish, reading_from
from importer.recipes import Recipe

READING = ("decimal_mark", "group_mark", "date_order", "null_words", "true_words", "false_words")
RECIPE = tuple(one.name for one in fields(Recipe) if one.name != "joined")
NUMBER_MARKS = ("decimal_mark", "group_mark")
KINDS: dict[str, tuple[type, str]] = {
    "trim": (bool, "true or false"),
    "part": (int, "a number"),
    "values": (dict, 'an object like {"yes": "true"}'),
    "join": (list, "a list of labels"),
    **dict.fromkeys(("null_words", "true_words", "false_words"), (list, "a list of words")),
}


class BadMapping(RowhouseError):
    """A mapping that cannot be used as it is written."""

    code = "bad-mapping"
    status = 422


class UnknownColumn(RowhouseError):
    """A mapping names a column the dataset does not have."""

    code = "unknown-column"
    status = 422


def is_plain(written: Mapping[str, Any]) -> bool:
    """Return whether a written mapping says no more than a column for each label."""
    return all(value is None or isinstance(value, str) for value in written.values())


def read_mapping(written: Any, columns: Sequence[ColumnSpec]) -> tuple[Wish, ...]:
    """Return the wishes of a mapping as people write it.

    :raises BadMapping: it is none, or an option is unknown or of the wrong kind.
    :raises UnknownColumn: the dataset has no such column.
    """
    if not isinstance(written, dict):
        raise BadMapping('A mapping is an object like {"label of the file": "column"}.')
    _check_text(written)
    names = {column.label: column.name for column in columns}
    wishes: list[Wish] = []
    for label, value in written.items():
        several = value if isinstance(value, list) else [value]
        if not several or (label == "" and not all(isinstance(one, dict) for one in several)):
            raise BadMapping(f'“{label}”: say a column, null, or a list of {{"column": …}}.')
        for number, one in enumerate(several):
            wishes.append(_wish(label, one, names, is_further=number > 0 or label == ""))
    return tuple(wishes)


def write_mapping(matches: Sequence[Match], columns: Sequence[ColumnSpec]) -> dict[str, Any]:
    """Return a mapping as people write it. Of labels that stand twice in a file, the first that is mapped."""
    titles = {column.name: column.label for column in columns}
    labels = {match.position: match.label for match in matches}
    first_of = {label: position for position, label in reversed(labels.items())}
    written: dict[str, Any] = {}
    for match in sorted(matches, key=lambda match: match.position < 0):
        label = match.label if match.position >= 0 else ""
        one = _options(match, titles, labels)
        if label not in written:
            written[label] = [one] if label == "" else one
        elif match.column is not None and (label == "" or first_of[label] == match.position):
            before = written[label]
            written[label] = [*before, one] if isinstance(before, list) else [before, one]
        elif written[label] is None and match.column is not None:
            written[label] = one
    return written


def _check_text(written: Mapping[str, Any]) -> None:
    text = json.dumps(written, ensure_ascii=False)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = -1
    if size < 0 or "\\u0000" in text:
        raise BadMapping("The mapping holds a character that no file can have: a NUL or half of a pair.")
    if size > MOST_IN_ALL:
        raise BadMapping(f"The mapping has {size:,} bytes; at most {MOST_IN_ALL:,} are read. Say less in it.")


def _wish(label: str, one: Any, names: Mapping[str, str], *, is_further: bool) -> Wish:
    options = {"column": one} if one is None or isinstance(one, str) else one
    if not isinstance(options, dict):
        raise BadMapping(f"“{label}”: say a column, null for none, or an object with a column and more.")
    where = f"“{label}”" if label else "A constant"
    _check(where, options)
    column = options.get("column")
    if column is not None and column not in names:
        raise UnknownColumn(f"The dataset has no column {column!r}; it has {', '.join(map(repr, names))}.")
    if column is None and is_further:
        raise BadMapping(f"{where}: say the column it goes to.")
    if (label == "") != (options.get("constant") is not None):
        raise BadMapping(f'{where}: a constant stands under the label "", and there is nothing else there.')
    given = [name for name in READING if name in options]
    if set(given) & set(NUMBER_MARKS):
        given += NUMBER_MARKS
    recipe = {name: options[name] for name in RECIPE if name in options}
    if "values" in recipe:
        recipe["values"] = list(recipe["values"].items())
    return Wish(
        label,
        names[column] if column is not None else None,
        recipe=Recipe.from_dict(recipe),
        joins=tuple(options.get("join", ())),
        reading=reading_from({name: options[name] for name in READING if name in options}),
        fixed=tuple(dict.fromkeys(given)),
        is_further=is_further,
        is_left_out=column is None,
    )


def _check(where: str, options: Mapping[str, Any]) -> None:
    known = ("column", *RECIPE, "join", *READING)
    for name, value in options.items():
        if name not in known:
            raise BadMapping(f"{where}: there is no option {name!r}; there are {', '.join(known)}.")
        kind, words = KINDS.get(name, (str, "a text"))
        may_be_null = name in ("column", "default", "constant")
        is_right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if isinstance(value, dict):
            is_right = is_right and all(new is None or isinstance(new, str) for new in value.values())
        if isinstance(value, list):
            is_right = is_right and all(isinstance(one, str) for one in value)
        if not is_right and not (value is None and may_be_null):
            raise BadMapping(f"{where}: {name} is {words}.")


def _options(match: Match, titles: Mapping[str, str], labels: Mapping[int, str]) -> Any:
    column = titles.get(match.column or "")
    if column is None:
        return None
    options: dict[str, Any] = {"column": column}
    plain_recipe, plain_reading = Recipe(), Reading()
    for name in RECIPE:
        if (value := getattr(match.recipe, name)) != getattr(plain_recipe, name):
            options[name] = dict(value) if name == "values" else value
    if match.recipe.joined:
        options["join"] = [labels[position] for position in match.recipe.joined]
    for name in READING:
        if (value := getattr(match.reading, name)) != getattr(plain_reading, name):
            options[name] = list(value) if isinstance(value, tuple) else value
    return column if len(options) == 1 else options
