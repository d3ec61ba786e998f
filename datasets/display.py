"""How a value is shown in a list or a title: shortened, and never so that it breaks the page. Pure."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from datasets.columntypes.decimal import size_of
from datasets.spec import ColumnSpec

LIST_CHARACTERS = 100
_MAX_MARKS = 4
# Money and measures keep their zeros; a scale beyond this was made wide to hold whatever comes.
_LARGEST_SCALE_WITH_ZEROS = 6


def readable(text: str, column: ColumnSpec) -> str:
    """Return a canonical text as a person reads it: very wide decimals without their trailing zeros."""
    if column.value_type == "decimal" and size_of(column)[1] > _LARGEST_SCALE_WITH_ZEROS and "." in text:
        return text.rstrip("0").rstrip(".")
    return text


def target_of(text: str, column: ColumnSpec) -> str:
    """Return the address a canonical text is a link to, or "": only web pages, e-mail and telephone numbers."""
    if column.type == "url" and text.startswith(("http://", "https://")):
        return text
    if column.type == "email":
        return f"mailto:{quote(text, safe='@')}"
    return f"tel:{text}" if column.type == "phone" else ""


def shorten(text: str, characters: int = LIST_CHARACTERS) -> str:
    """Return at most `characters` of a text, with floods of combining marks cut to a few.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    # Four times the length holds enough base characters; a value may be megabytes long.
    shown: list[str] = []
    marks = 0
    for character in text[: characters * 4]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_MARKS:
            shown.append(character)
        if len(shown) > characters:
            break
    is_cut = len(shown) > characters or len(text) > characters * 4
    return "".join(shown[: characters - 1]) + "…" if is_cut else "".join(shown)
