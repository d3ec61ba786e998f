"""Takes the apostrophes away that were written before texts which begin like a formula (`datasets.escaping`).

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from datasets.escaping import BEGINNINGS, SIGN, needs_sign

SHOWN_BYTES = 40
_SIGN = SIGN.encode()
# Of bytes: a number may begin with plus or minus, and so may a dash alone, which many write for nothing.
_NUMBER = re.compile(rb"[+-]?[0-9.,' \xa0\xc2\xe2\x80\xaf]*(?:[eE][+-]?[0-9]+)?%?")


def unsigned(text: str) -> str:
    """Return the text without the sign before it.

    >>> [unsigned(text) for text in ("'=1+1", "''quoted'", "'tis", "-1")]
    ['=1+1', "'quoted'", "'tis", '-1']
    """
    return text[1:] if text[:1] == SIGN and needs_sign(text[1:]) else text


class _Patterns:
    """Compiled for a delimiter. A cell without quotes ends where a line does, or the delimiter."""

    def __init__(self, delimiter: str) -> None:
        d = re.escape(delimiter.encode())
        bare = _any_of(one for one in BEGINNINGS if one not in ("\r", "\n", delimiter))
        begin = rb"(?:\A|(?<=[" + d + rb"\n]))"
        self.signs = re.compile(begin + _SIGN + rb"(?=" + bare + rb")")
        self.bare = re.compile(begin + bare + rb"[^" + d + rb"\r\n]*")
        self.quoted = re.compile(_any_of(BEGINNINGS))
        self.signed = re.compile(_SIGN + rb"(?=" + _any_of(BEGINNINGS) + rb")")
        self.before_cell = re.compile(rb"[" + d + rb"\n]\Z")


def _any_of(words: Iterator[str] | str) -> bytes:
    return rb"(?:" + b"|".join(re.escape(one.encode()) for one in words) + rb")"


@lru_cache(maxsize=16)
def _patterns(delimiter: str) -> _Patterns:
    return _Patterns(delimiter)


def may_hold_signs(data: bytes) -> bool:
    """Return whether an apostrophe stands before a beginning that needs one, wherever that is."""
    return _patterns(",").signed.search(data) is not None


def without_signs(data: bytes, delimiter: str, quote: str) -> bytes:
    """Return whole records, as a chunk holds them, without the sign at the beginning of their cells."""
    if not may_hold_signs(data):
        return data
    patterns = _patterns(delimiter)
    if not quote:
        return patterns.signs.sub(b"", data)
    # Quotes stand only where cells begin and end, or doubled: every second part is inside of a cell.
    parts = data.split(quote.encode())
    for at, part in enumerate(parts):
        if _SIGN not in part:
            continue
        if at % 2 == 0:
            # A blank keeps what follows a closing quote from looking like the beginning of a cell.
            parts[at] = patterns.signs.sub(b"", part if at == 0 else b" " + part)[min(at, 1) :]
        elif _begins_cell(parts, at, patterns) and patterns.signed.match(part):
            parts[at] = part[1:]
    return quote.encode().join(parts)


def _begins_cell(parts: list[bytes], at: int, patterns: _Patterns) -> bool:
    """Return whether the part within quotes is a cell's first."""
    before = parts[at - 1]
    return at == 1 if not before else patterns.before_cell.search(before) is not None


@dataclass(slots=True)
class Evidence:
    """What cells say of whether apostrophes are signs: how many have one, and how many need one and have none.

    A number needs none.
    """

    signed: int = 0
    example: str = ""
    unsigned: int = 0

    def look(self, data: bytes, delimiter: str, quote: str) -> None:
        """Look at whole records, as a chunk holds them."""
        patterns = _patterns(delimiter)
        parts = data.split(quote.encode()) if quote else [data]
        for at, part in enumerate(parts):
            if at % 2 == 0:
                for found in patterns.bare.finditer(part if at == 0 else b" " + part):
                    self._count(found[0], patterns)
            elif patterns.quoted.match(part) and _begins_cell(parts, at, patterns):
                self._count(part, patterns)

    def _count(self, cell: bytes, patterns: _Patterns) -> None:
        if patterns.signed.match(cell):
            self.signed += 1
            self.example = self.example or cell[:SHOWN_BYTES].decode("utf-8", "replace")
        elif _NUMBER.fullmatch(cell) is None:
            self.unsigned += 1
