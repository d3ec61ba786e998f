"""How a column of a file writes its numbers and dates, where its values leave no doubt.

`1,234` and `01/02/2026` are never guessed: both readings are possible, and a wrong one stores wrong values.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datasets.columntypes.base import Reading

_SIGN = r"[+-]?"
_GROUPED = {  # (group, decimal): a number that can only be written with these marks
    (group, mark): re.compile(
        rf"{_SIGN}\d{{1,3}}(?:{re.escape(group)}\d{{3}})+{re.escape(mark)}\d+|{_SIGN}\d{{1,3}}(?:{re.escape(group)}\d{{3}}){{2,}}"
    )
    for group, mark in ((".", ","), (",", "."), (" ", ","), (" ", "."), ("'", "."), ("'", ","))
}
_ALIKE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2019": "'"})
_COMMA = re.compile(rf"{_SIGN}(?:\d*,\d{{1,2}}|\d*,\d{{4,}}|\d{{4,}},\d+|0,\d+)")
_PLAIN = re.compile(rf"{_SIGN}\d+(?:\.\d+)?")
_DAY = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-]\d{4}(?:[T ].*)?")


def guess_reading(column_type: str, values: Sequence[str]) -> Reading:
    """Return the reading that the values prove, else the canonical one."""
    cleaned = [value.strip().translate(_ALIKE) for value in values if value.strip()]
    if column_type in ("integer", "decimal"):
        return _numbers(cleaned)
    if column_type in ("date", "timestamp"):
        return _dates(cleaned)
    return Reading()


def _numbers(values: Sequence[str]) -> Reading:
    unclear = [value for value in values if not value.isdigit()]
    if not unclear:
        return Reading()
    for (group, mark), pattern in _GROUPED.items():
        proof = [value for value in unclear if pattern.fullmatch(value)]
        if proof and not _contradicts(unclear, mark, group):
            is_decimal_seen = any(mark in value for value in unclear)
            decimal = mark if is_decimal_seen or group == "." else "."
            return Reading(decimal_mark=decimal, group_mark=group)
    if any(_COMMA.fullmatch(value) for value in unclear) and not _contradicts(unclear, ",", ""):
        return Reading(decimal_mark=",")
    return Reading()


def _contradicts(values: Sequence[str], mark: str, group: str) -> bool:
    """Return whether most values could not be read with these marks."""
    whole = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+" if group else r"\d+"
    fits = re.compile(rf"{_SIGN}(?:{whole})?(?:{re.escape(mark)}\d+)?")
    return any(not fits.fullmatch(value) for value in values if re.fullmatch(r"[+-]?[\d.,' ]+", value))


def _dates(values: Sequence[str]) -> Reading:
    found = [(int(match[1]), int(match[2])) for value in values if (match := _DAY.fullmatch(value))]
    day_first = any(first > 12 >= second for first, second in found)
    month_first = any(second > 12 >= first for first, second in found)
    if day_first == month_first:
        return Reading()
    return Reading(date_order="DMY" if day_first else "MDY")
