"""The last lines of a file: where they begin, and whether they look like notes or a total."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

FOOTER_BYTES = 131_072  # how much of the file's end is looked at
MAX_FOOTER_LINES = 100
_LINE_END = re.compile(r"\r\n|\n|\r")
_NOTE = re.compile(
    r"\(?\d* ?(rows?|records?|lines?)( \w+)?\)?|(grand |sub-?)?totals?\b.*|sum( of\b.*|me\b.*)?:?|averages?:?"
    r"|gesamt\w*:?|totaux|totale?s?:?|notes?\b ?\d*[:.].*|source:?|(source|sources|quelle|fuente):.*"
    r"|(generated|exported|printed|created) (on|at|by|from|with)\b.*|end of (file|report|data)\b.*"
    r"|(all )?rights reserved.*|[*†‡].*|©.*|\(c\) .*|-{2,}|={2,}|_{2,}|disclaimer\b.*|report (run|date)\b.*",
    re.IGNORECASE,
)

NOTE_RULE = (
    "It looks like a note or a total below the table. If it is, leave it out with the lines of the footer, "
    "or let it be rejected."
)


def looks_like_note(cells: Sequence[str | None]) -> bool:
    """Return whether a row reads as a note, a source or a total below a table.

    >>> looks_like_note(["Total", None, "120"]), looks_like_note(["Source: the ministry"])
    (True, True)
    >>> looks_like_note(["12", "Total eclipse"]), looks_like_note(["Totally Ltd", "4"])
    (False, False)
    """
    first = next((cell.strip() for cell in cells if cell and cell.strip()), "")
    return bool(_NOTE.fullmatch(first))


def last_lines(file: BinaryIO, encoding: str) -> list[tuple[int, str]]:
    """Return (offset, text) of the file's last lines that hold anything, as many as FOOTER_BYTES show."""
    size = file.seek(0, 2)
    start = max(0, size - FOOTER_BYTES)
    is_wide = encoding.startswith("utf-16")
    start -= start % 2 if is_wide else 0
    file.seek(start)
    raw = file.read(size - start)
    # Bytes one by one, unless the encoding has wider units: no line end is part of another letter in any of ours.
    codec = encoding if is_wide else "latin-1"
    text = raw.decode(codec, "surrogatepass" if is_wide and len(raw) % 2 == 0 else "replace")
    width = 2 if is_wide else 1
    lines: list[tuple[int, str]] = []
    at = begin = 0
    for found in (*_LINE_END.finditer(text), None):
        line = text[begin : found.start() if found else None]
        if line.strip(" \t,;|\ufeff") and (begin or not start):  # the first may be cut
            shown = line if is_wide else raw[begin : begin + len(line)].decode(encoding, "replace")
            lines.append((start + at, shown))
        if found:
            units = text[begin : found.end()]
            at += len(units.encode("utf-16-le", "surrogatepass")) if is_wide else len(units) * width
            begin = found.end()
    return lines


def footer_start(file: BinaryIO, encoding: str, lines: int) -> int | None:
    """Return where the last `lines` lines that hold anything begin; None for none. The file is left anywhere."""
    found = last_lines(file, encoding)
    where = found[-lines][0] if 0 < lines <= len(found) else None
    file.seek(0)
    return where
