"""What the grammars of several types share: spaces, SQL literals, numbers and the parts of a date."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.ranges import NOTHING, same_length

if TYPE_CHECKING:
    import polars as pl

ASCII_SPACES = " \t\r\n\v\f"
# Unicode's white space, and the marks of no width that are pasted along with it.
WHITE_SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
)
# Typists and locales use these for one another, so a reading that names one of them takes all of its row.
GROUP_MARKS = (" \u00a0\u202f", "'\u2019")


def stripped(raw: str) -> str:
    """Return `raw` without the ASCII spaces around it."""
    return raw.strip(ASCII_SPACES)


def unseen_space(text: str) -> str:
    """Return the name of the first white space in `text` that is no plain one, with its article, or "".

    >>> unseen_space("7"), unseen_space("7\u00a0")
    ('', 'a no-break space (U+00A0)')
    """
    found = next((char for char in text if char in WHITE_SPACE and char not in ASCII_SPACES), None)
    if found is None:
        return ""
    name = unicodedata.name(found, "control character").lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} (U+{ord(found):04X})"


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


def marks_like(group_mark: str) -> str:
    """Return the marks that are taken for a group mark, itself among them."""
    return next((row for row in GROUP_MARKS if group_mark in row), group_mark)


@lru_cache(maxsize=64)
def number_pattern(decimal_mark: str, group_mark: str) -> re.Pattern[str]:
    """Return the pattern of a number without an exponent: groups sign, whole and fraction or only."""
    whole = "[0-9]+"
    if group_mark and group_mark != decimal_mark:
        whole = rf"[0-9]{{1,3}}(?:[{re.escape(marks_like(group_mark))}][0-9]{{3}})+|[0-9]+"
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
        raise BadValue(_explain_date(text, reading))
    try:
        return date(year, month, day)
    except ValueError:
        raise BadValue("This day is not in the calendar (years 0001 to 9999).") from None


def _explain_date(text: str, reading: Reading) -> str:
    if reading.date_order == "YMD" and _ORDERED.fullmatch(text):
        return (
            "This date can be read in two ways. Say in the mapping whether the day or the month comes first, "
            "or write it as 2026-12-31."
        )
    also = {"DMY": " or as 31/12/2026", "MDY": " or as 12/31/2026"}.get(reading.date_order, "")
    return f"Write the date as 2026-12-31{also}, with a year of four digits."


def days_between(low: str, high: str) -> str:
    """Return the pattern of the days of the whole years from `low` to `high`, but for 29 February; "" is no bound."""
    first = 1 if not low else int(low[:4]) + (low[4:] != "-01-01")
    last = 9999 if not high else int(high[:4]) - (high[4:] != "-12-31")
    return f"{same_length(f'{first:04}', f'{last:04}')}-{_DAY}" if first <= last else NOTHING


def any_of(words: Iterable[str], marks: str) -> str | None:
    """Return the pattern of words, but for those that are empty or hold a mark."""
    plain = [re.escape(word) for word in words if word and not set(word) & set(marks)]
    return f"(?:{'|'.join(plain)})" if plain else None


# Every day of a year but 29 February, which only the calendar knows.
_DAY = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
SURE_DATE = days_between("", "")
MIDNIGHT = "T00:00:00"  # behind the day of a workbook's cell that shows a time
SURE_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def matches(values: pl.Expr, pattern: str) -> pl.Expr:
    """Return whether the whole of each value fits the pattern, in polars' regular expressions."""
    return values.str.contains(rf"\A(?:{pattern})\z")


def plain_number(values: pl.Expr, reading: Reading) -> pl.Expr:
    """Return numbers of a reading with a point, no group marks, no plus and no zeros in front.

    What is no number of the reading is null, or text that is no number either.
    """
    import polars as pl  # slow import  # noqa: PLC0415

    bare = values.str.strip_chars(ASCII_SPACES)
    decimal, group = re.escape(reading.decimal_mark), reading.group_mark
    if group and group != reading.decimal_mark:
        alike = re.escape(marks_like(group))
        grouped = matches(bare, rf"[+-]?[0-9]{{1,3}}(?:[{alike}][0-9]{{3}})+(?:{decimal}[0-9]+)?")
        bare = pl.when(grouped).then(bare.str.replace_all(f"[{alike}]", "")).otherwise(bare)
    if reading.decimal_mark != ".":
        is_free = ~bare.str.contains(".", literal=True)
        bare = pl.when(is_free).then(bare.str.replace(reading.decimal_mark, ".", literal=True))
    bare = bare.str.replace(r"\A([+-]?)0+([0-9])", "${1}${2}").str.replace(r"\A\+([0-9])", "${1}")
    return pl.when(sure(values.is_not_null(), values.str.strip_chars(ASCII_SPACES), reading)).then(bare)


def iso_day(values: pl.Expr, reading: Reading) -> pl.Expr:
    """Return the days that a reading's order writes with ten signs, `31/12/2026`, as `2026-12-31`.

    What follows the day stays behind it. Anything else is left as it is.
    """
    import polars as pl  # slow import  # noqa: PLC0415

    if reading.date_order not in ("DMY", "MDY"):
        return values
    day, month = (0, 3) if reading.date_order == "DMY" else (3, 0)
    is_ordered = values.str.contains(
        rf"\A(?:{'|'.join(f'[0-9]{{2}}{mark}[0-9]{{2}}{mark}[0-9]{{4}}' for mark in (r'\.', '/', '-'))})"
    )
    parts = (values.str.slice(6, 4), values.str.slice(month, 2), values.str.slice(day, 2))
    iso = pl.concat_str(parts, separator="-") + values.str.slice(10)
    return pl.when(is_ordered).then(iso).otherwise(values)


def sure(fits: pl.Expr, values: pl.Expr, reading: Reading) -> pl.Expr:
    """Return `fits` as true or false, and false for the reading's words for "no value"."""
    if reading.null_words:
        fits = fits & ~values.is_in(list(reading.null_words))
    return fits.fill_null(value=False)
