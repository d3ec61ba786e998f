"""Complete records written plainly, so that any reader of CSV reads them alike: quotes only around cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from importer.readers.grammar import Grammar


def mended(text: bytes, grammar: Grammar) -> bytes:
    """Return complete records, or complete cells of one, written plainly; cells that are stay as they stand."""
    return _mender(grammar).mended(text)


def joined(cells: Sequence[bytes], grammar: Grammar) -> bytes:
    """Return cells, taken as they are, parted by the delimiter; an empty text stays apart from an empty cell."""
    quote = grammar.quote
    empty = quote * 2
    parts = (
        cell if not cell or cell == empty else quote + cell.replace(quote, empty) + quote for cell in cells
    )
    return grammar.mark.join(parts)


class _Mender:
    """The patterns and marks of one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._kept = grammar.kept
        self._quote, self._escape = grammar.quote, grammar.escape
        quote, escape, mark = (re.escape(each) for each in (grammar.quote, grammar.escape, grammar.mark))
        # Both are replaced by `\1\1\2`: a quote is doubled, another character that is meant stands alone.
        other = b"(" + escape + b"|" + mark + b")"
        self._inside = re.compile(escape + b"(?:(" + quote + b")|" + other + b")")
        self._bare = re.compile(b"(?:" + escape + b")?(" + quote + b")|" + escape + other)

    def mended(self, text: bytes) -> bytes:
        return self._kept.sub(self._cell, text)

    def _cell(self, found: re.Match[bytes]) -> bytes:
        kept, quoted, rest, bare, end = found.groups()
        if end is None:
            return bytes(kept)
        quote, escape = self._quote, self._escape
        end = b"\n" if end == b"\r" else end
        if quoted is not None:
            if escape and escape in quoted:
                quoted = self._inside.sub(rb"\1\1\2", quoted)
            rest = rest.replace(quote, quote * 2)
            return b"".join((kept, quote, quoted, rest, quote, end))
        if escape and escape in bare:
            bare = quote + self._bare.sub(rb"\1\1\2", bare) + quote
        elif quote and quote in bare:
            bare = quote + bare.replace(quote, quote * 2) + quote
        return b"".join((kept, bare, end))


@lru_cache(maxsize=64)
def _mender(grammar: Grammar) -> _Mender:
    return _Mender(grammar)
