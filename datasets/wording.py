"""A column's type and rules in words, as pages, notes and the definition's history say them. Pure."""

from __future__ import annotations

from datasets.columntypes import TYPES
from datasets.spec import ColumnSpec

SHOWN_CHOICES = 10


def type_words(name: str) -> str:
    """Return what people call a type; a type that is not known any more keeps its name."""
    return TYPES[name].title if name in TYPES else name


def rule_words(column: ColumnSpec, *, is_key: bool = False) -> list[str]:
    """Return what holds for a column besides its type, one phrase for each rule."""
    options, words = column.options, []
    if is_key:
        words.append("key")
    elif column.is_required:
        words.append("required")
    if column.is_unique:
        words.append("no value twice")
    if options.precision is not None:
        words.append(f"{options.precision} digits, {options.scale} after the point")
    if options.choices:
        more = len(options.choices) - SHOWN_CHOICES
        tail = f" and {more} more" if more > 0 else ""
        words.append("one of " + ", ".join(options.choices[:SHOWN_CHOICES]) + tail)
    if options.minimum is not None:
        words.append(f"from {options.minimum}")
    if options.maximum is not None:
        words.append(f"to {options.maximum}")
    if options.max_length is not None:
        words.append(f"at most {options.max_length} characters")
    return words
