"""A column's type and rules in words, as pages, notes and the definition's history say them. Pure."""

from __future__ import annotations

from datasets.columntypes import TYPES
from datasets.spec import ColumnSpec

SHOWN_CHOICES = 10


def type_words(name: str) -> str:
    """Return what people call a type; a type that is not known any more keeps its name."""
    return TYPES[name].title if name in TYPES else name


_PHRASES = (
    ("minimum", "from {}"),
    ("maximum", "to {}"),
    ("min_length", "at least {} characters"),
    ("max_length", "at most {} characters"),
    ("pattern", "of the form {}"),
    ("default", "{} in a new record without a value"),
    ("region", "numbers without a + are of {}"),
)


def rule_words(column: ColumnSpec, *, is_key: bool = False) -> list[str]:
    """Return what holds for a column besides its type, one phrase for each rule."""
    options, words = column.options, []
    if is_key:
        words.append("key")
    elif column.is_required:
        words.append("required")
    if column.is_unique:
        words.append("no value twice")
    if options.target is not None:
        return [*words, f"{options.target.label} of “{options.target.title}”"]
    if options.precision is not None:
        words.append(f"{options.precision} digits, {options.scale} after the point")
    if options.choices:
        words.append(_choice_words(column))
    return words + [
        phrase.format(value) for name, phrase in _PHRASES if (value := getattr(options, name)) is not None
    ]


def _choice_words(column: ColumnSpec) -> str:
    choices = column.options.choices
    more = len(choices) - SHOWN_CHOICES
    either = "any of" if column.type == "multi_choice" else "one of"
    return f"{either} {', '.join(choices[:SHOWN_CHOICES])}" + (f" and {more} more" if more > 0 else "")
