"""Ranges of whole numbers as regular expressions, so that a pattern can hold a column's bounds.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from itertools import count
from math import ceil, floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

NOTHING = r"[^\s\S]"  # a pattern that nothing fits


def whole_numbers(low: int, high: int) -> str:
    """Return the pattern of the whole numbers from `low` to `high`, written without zeros in front. 0 <= `low`.

    >>> whole_numbers(0, 99_999), whole_numbers(7, 120), whole_numbers(5, 4)
    ('(?:[0-9]|[1-9][0-9]{1,4})', '(?:[7-9]|1(?:[0-1][0-9]|20)|[1-9][0-9])', '[^\\\\s\\\\S]')
    """
    parts, whole = [], list[int]()
    for length in count(1):
        first, last = (10 ** (length - 1) if length > 1 else 0), 10**length - 1
        if first > high:
            break
        if length > 1 and low <= first and last <= high:
            whole.append(length - 1)  # every number of so many digits
        elif max(first, low) <= min(last, high):
            parts.append(same_length(str(max(first, low)), str(min(last, high))))
    if whole:
        most = "" if whole == [1] else f"{{{whole[0]}}}" if len(whole) == 1 else f"{{{whole[0]},{whole[-1]}}}"
        parts.append(f"[1-9][0-9]{most}")
    return _either(parts) if parts else NOTHING


def same_length(low: str, high: str) -> str:
    """Return the pattern of the digits from `low` to `high`, which are as many.

    >>> same_length("0000", "9999"), same_length("1995", "2001")
    ('[0-9]{4}', '(?:199[5-9]|200[0-1])')
    """
    if low == high:
        return low
    if low[0] == high[0]:
        return low[0] + same_length(low[1:], high[1:])
    rest = len(low) - 1
    nines, zeros = "9" * rest, "0" * rest
    first, last, parts = int(low[0]), int(high[0]), []
    if low[1:] != zeros:
        parts.append(low[0] + same_length(low[1:], nines))
        first += 1
    after = ""
    if high[1:] != nines:
        after = high[0] + same_length(zeros, high[1:])
        last -= 1
    if first <= last:
        digit = str(first) if first == last else f"[{first}-{last}]"
        parts.append(_repeated(digit, rest))
    return _either([*parts, after] if after else parts)


def _repeated(digit: str, rest: int) -> str:
    if not rest:
        return digit
    return (
        f"[0-9]{{{rest + 1}}}" if digit == "[0-9]" else f"{digit}[0-9]" + (f"{{{rest}}}" if rest > 1 else "")
    )


def _either(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def signed(
    low: int | Decimal | None, high: int | Decimal | None, most: int, *, with_fraction: bool = False
) -> str:
    """Return the pattern of numbers from `low` to `high`, up to the point: at most `most` without their sign.

    `with_fraction`: any fraction may follow, so the last whole number before a bound is left out.

    >>> signed(None, None, 99), signed(1, 20, 99), signed(-5, 20, 99, with_fraction=True)
    ('-?(?:[0-9]|[1-9][0-9])', '(?:[1-9]|(?:1[0-9]|20))', '(?:-[0-4]|(?:[0-9]|1[0-9]))')
    """
    if low is None and high is None:
        return f"-?{whole_numbers(0, most)}"
    room = 1 if with_fraction else 0
    above = whole_numbers(0 if low is None else max(0, ceil(low)), _largest(high, most, room))
    lowest = 0 if high is None else max(0, ceil(-high))
    below = whole_numbers(lowest, _largest(None if low is None else -low, most, room))
    parts = [f"-{below}"] if below != NOTHING else []
    return _either([*parts, above] if above != NOTHING or not parts else parts)


def _largest(bound: int | Decimal | None, most: int, room: int) -> int:
    return most if bound is None else min(most, floor(bound) - room)
