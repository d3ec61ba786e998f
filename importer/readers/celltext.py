"""The text of a workbook's cell: values, never what a format makes of them; no noise of binary fractions.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from functools import lru_cache

DAY_MS = 86_400_000
MAX_SERIAL = 2_958_466  # the day after 9999-12-31, counted from 1900
EPOCH_1904 = 1_462  # days between the two ways to count
EXACT_DIGITS = 15
MAX_CELL_BYTES = 1 << 20  # as large as a record of any CSV may be

BUILT_IN = (
    dict.fromkeys([14, 15, 16, 17, *range(27, 32), 36, 50, 51, 52, 53, 54, 57, 58], "date")
    | dict.fromkeys([18, 19, 20, 21, 32, 33, 34, 35, 45, 47, 55, 56], "time")
    | {22: "datetime", 46: "duration"}
)
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.')
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_BRACKET = re.compile(r"\[[^\]]*\]")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SPECIAL = re.compile(r'[",\r\n]')
_NEEDS_WORK = re.compile(rb'[",\r\n]|_x')
# What XML writes for a character, and for no other thing.
REFERENCE = rb"&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});"
# A text of an element, plain and with references. A lone return is none of it: XML reads it as a line feed.
_BARE = rb"[^<&\x00-\x08\x0b-\x1f]*+"
TEXT = _BARE + rb"(?:" + REFERENCE + _BARE + rb")*+"
_REFERENCE = re.compile(REFERENCE)
_NAMED = {b"&amp;": b"&", b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&apos;": b"'"}
_CHARACTER = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(?:Z|[+-]\d{2}:\d{2})?)?|\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
)


def format_kind(code: str) -> str:
    """Return "date", "time", "datetime", "duration" or "" for a number format's code.

    >>> [format_kind(code) for code in ("dd/mm/yyyy", "[h]:mm", "0.00%", '0 "days"')]
    ['date', 'duration', '', '']
    """
    bare = _LITERAL.sub("", code).split(";")[0]
    if _ELAPSED.search(bare):
        return "duration"
    # "Standard" is what German programs call the general format; its letters are none of a date.
    bare = _BRACKET.sub("", bare).lower().replace("general", "").replace("standard", "")
    bare = bare.replace("am/pm", "h").replace("a/p", "h")
    has_time = "h" in bare or "s" in bare
    has_date = "y" in bare or "d" in bare or ("m" in bare and not has_time)
    return {(True, True): "datetime", (True, False): "date", (False, True): "time"}.get(
        (has_date, has_time), ""
    )


def number_text(raw: str) -> str | None:
    """Return a number in full with the 15 digits a spreadsheet shows, or None when it cannot hold it exactly.

    >>> number_text("1.1000000000000001"), number_text("3"), number_text("1E-2"), number_text("1.5E20")
    ('1.1', '3', '0.01', None)
    """
    if _INTEGER.fullmatch(raw):
        return str(int(raw))
    if not _NUMBER.fullmatch(raw):
        return None
    value = float(raw)
    if abs(value) >= 10**EXACT_DIGITS:
        return None
    text = f"{value:.{EXACT_DIGITS}g}"
    if "e" in text:
        text = format(Decimal(text), "f")
    return "0" if text == "-0" else text


def serial_text(raw: str, kind: str, *, from_1904: bool) -> str | None:
    """Return a day, time or duration as ISO text, or None for a serial that is none.

    Counted from 1900, day 60 is 1900-02-29, which never was; serials below it need one day more.
    """
    if not _NUMBER.fullmatch(raw):
        return None
    serial = float(raw)
    if not 0 <= serial < MAX_SERIAL:
        return None
    days, ms = divmod(round(serial * DAY_MS), DAY_MS)
    if kind == "duration":
        return _clock(days * DAY_MS + ms)
    if kind == "time" and days == 0:
        return _clock(ms)
    day = _day_text(days, from_1904=from_1904)
    if day is None:
        return None
    return day if kind == "date" and ms == 0 else f"{day}T{_clock(ms)}"


@lru_cache(maxsize=20_000)
def _day_text(days: int, *, from_1904: bool) -> str | None:
    day = _day(days, from_1904=from_1904)
    return None if day is None else day.isoformat()


def _day(days: int, *, from_1904: bool) -> dt.date | None:
    if from_1904:
        days += EPOCH_1904
    elif days in (0, 60):
        return None
    elif days < 60:
        days += 1
    return dt.date(1899, 12, 30) + dt.timedelta(days) if days < MAX_SERIAL else None


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    fraction = f".{ms:03d}".rstrip("0") if ms else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def plain_text(raw: str) -> str | None:
    r"""Return a text with its `_x000D_` escapes undone, or None when half of a surrogate pair is left."""
    if "_x" not in raw:
        return raw
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def quoted(text: str) -> str:
    """Return a text as one cell of canonical CSV."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def needs_work(text: bytes) -> bool:
    """Return whether a text is anything but its own cell of CSV."""
    return _NEEDS_WORK.search(text) is not None


def cell_of_xml(text: bytes) -> bytes | None:
    """Return a text, as XML has it, as one cell of canonical CSV, or None when no text can be made of it."""
    plain = without_references(text)
    return None if plain is None else cell_of(plain.decode()) if needs_work(plain) else plain


def without_references(text: bytes) -> bytes | None:
    """Return a text of XML with the characters its references stand for; None where XML knows no such character.

    Each `&` in it must begin a REFERENCE.
    """
    if b"&" not in text:
        return text
    try:
        return _REFERENCE.sub(lambda found: _followed(found[0]), text)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _followed(reference: bytes) -> bytes:
    """Return the character of a reference in UTF-8.

    :raises ValueError: XML knows no such character.
    """
    if reference in _NAMED:
        return _NAMED[reference]
    number = reference[2:-1].decode()
    character = chr(int(number[1:], 16) if number.startswith("x") else int(number))
    if not _CHARACTER.fullmatch(character):
        raise ValueError(reference)
    return character.encode()


def cell_of(raw: str) -> bytes | None:
    """Return a text of the workbook as one cell of canonical CSV, or None when no text can be made of it."""
    text = plain_text(raw)
    return None if text is None else quoted(text).encode()


def iso_text(raw: str, kind: str) -> str | None:
    """Return the day or time of a cell that holds it as ISO text, or None when it holds something else.

    Where its format shows no time, midnight is the day.
    """
    found = _MOMENT.fullmatch(raw)
    if found is None:
        return None
    return found[1] if found[2] and kind in ("", "date") and re.fullmatch(r"[0:.]+", found[2]) else raw
