"""What the grammars of several types share: spaces, SQL literals, numbers and the parts of a date."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from datasets.columntypes.base import BadValue, Reading

if TYPE_CHECKING:
    import polars as pl

ASCII_SPACES = " \t\r\n\v\f"
# Typists and locales use these for one another, so a reading that names one of them takes all of its row.
GROUP_MARKS = (" \u00a0\u202f", "'\u2019")


def stripped(raw: str) -> str:
    """Return `raw` without the ASCII spaces around it."""
    return raw.strip(ASCII_SPACES)


def sql_literal(text: str) -> str:
    r"""Return `text` as an SQL string literal which `str.format` and `%` leave as it is.

    >>> sql_literal("new"), sql_literal("it's 5 %")
    ("'new'", "E'it\\u0027s 5 \\u0025'")
    """
    if re.fullmatch(r"[A-Za-z0-9 _.:+-]*", text):
        return f"'{text}'"
    return "E'" + "".join(_escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9 _.:+-]", char):
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"


@lru_cache(maxsize=64)
def number_pattern(decimal_mark: str, group_mark: str) -> re.Pattern[str]:
    """Return the pattern of a number without an exponent: groups sign, whole and fraction or only."""
    whole = "[0-9]+"
    if group_mark and group_mark != decimal_mark:
        alike = next((row for row in GROUP_MARKS if group_mark in row), group_mark)
        whole = rf"[0-9]{{1,3}}(?:[{re.escape(alike)}][0-9]{{3}})+|[0-9]+"
    mark = re.escape(decimal_mark)
    return re.compile(
        rf"(?P<sign>[+-]?)(?:(?P<whole>{whole})(?:{mark}(?P<fraction>[0-9]+))?|{mark}(?P<only>[0-9]+))"
    )


def digits_of(text: str) -> str:
    """Return the ASCII digits of a number without leading zeros, `0` when nothing is left."""
    return re.sub("[^0-9]", "", text).lstrip("0") or "0"


def explain_number(text: str, reading: Reading) -> str:
    """Return what to write instead of `text`, which is no number of the grammar."""
    if re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", text):
        return "Write the number in full, without an exponent."
    if re.match(r"[+-]?0[xXoObB]", text):
        return "Write the number in decimal digits."
    if re.fullmatch(r"[+-]?[0-9_]+", text):
        return "Leave out the underscores: write 1000, not 1_000."
    if any(char.isdigit() and not "0" <= char <= "9" for char in text):
        return "Use the digits 0 to 9."
    if re.fullmatch(r"[+-]?(?:s?nan|inf|infinity)", text, re.IGNORECASE):
        return "Write a number, or leave the cell empty."
    if re.fullmatch(r"[+-]?[0-9][0-9.,' \u2019\u00a0\u202f]*", text):
        return _explain_marks(reading)
    return "Write a number in digits, for example -1250."


def _explain_marks(reading: Reading) -> str:
    groups = f"“{reading.group_mark}” as the group mark" if reading.group_mark else "no group mark"
    return (
        f"This column is read with “{reading.decimal_mark}” as the decimal mark and {groups}. "
        "Write the number so, or change the marks in the mapping."
    )


_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_ORDERED = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})")


def read_date(text: str, reading: Reading) -> date:
    """Return the day `text` names: ISO always, day first or month first when the reading says so.

    :raises BadValue: it is no date, no day of the calendar or outside the years 0001 to 9999.
    """
    if found := _ISO.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif reading.date_order in ("DMY", "MDY") and (found := _ORDERED.fullmatch(text)):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        day, month = (first, second) if reading.date_order == "DMY" else (second, first)
    else:
        raise BadValue(_explain_date(reading))
    try:
        return date(year, month, day)
    except ValueError:
        raise BadValue("This day is not in the calendar (years 0001 to 9999).") from None


def _explain_date(reading: Reading) -> str:
    also = {"DMY": " or as 31/12/2026", "MDY": " or as 12/31/2026"}.get(reading.date_order, "")
    return f"Write the date as 2026-12-31{also}, with a year of four digits."


# Every day of every year but 29 February, which only the calendar knows.
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DAY = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
SURE_DATE = f"{_YEAR}-{_DAY}"
SURE_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def matches(values: pl.Expr, pattern: str) -> pl.Expr:
    """Return whether the whole of each value fits the pattern, in polars' regular expressions."""
    return values.str.contains(rf"\A(?:{pattern})\z")


def sure(fits: pl.Expr, values: pl.Expr, reading: Reading) -> pl.Expr:
    """Return `fits` as true or false, and false for the reading's words for "no value"."""
    if reading.null_words:
        fits = fits & ~values.is_in(list(reading.null_words))
    return fits.fill_null(value=False)
