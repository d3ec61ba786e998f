"""The names of computers in addresses: what e-mail and URL columns share. In expressions of Python and PostgreSQL.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import cache

from datasets.columntypes.ranges import whole_numbers

LONGEST_LABEL = 63  # RFC 1035
# Every character beyond ASCII but white space, controls, marks of direction and of no width, and U+FFFD.
NON_ASCII = (
    "\u00a1-\u00ac\u00ae-\u061b\u061d-\u167f\u1681-\u180d\u180f-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff"
    "\u3001-\ud7ff\ue000-\ufefe\uff00-\ufff8\U00010000-\U000dffff"
)
_SIGN, _LETTER = f"[a-z0-9{NON_ASCII}]", f"[a-z{NON_ASCII}]"
_REST = f"(?:[a-z0-9{NON_ASCII}-]*{_SIGN})?"
LABEL, LAST_LABEL = _SIGN + _REST, _LETTER + _REST
# A last label that begins with a digit is part of an IP address to every browser, so it has to be one.
NAME = rf"(?:{LABEL}\.)*{LAST_LABEL}"
_OCTET = whole_numbers(0, 255)
IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
IPV6 = r"\[[0-9a-f:.]{2,45}\]"
HOST = f"(?:{NAME}|{IPV4}|{IPV6})"
# Of plain names only, in few states: at most 61 characters, then a label that begins with a letter.
SURE_STEM = "[a-z0-9](?:[.-]?[a-z0-9]){0,30}"
SURE_LAST = "[a-z](?:-?[a-z0-9]){0,20}"


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression that takes too long to compile for every start of every process; few differ."""
    return re.compile(pattern)


def canonical_host(text: str) -> str:
    """Return a host in lower case and composed form, so that one name has one text."""
    return unicodedata.normalize("NFC", text.lower())


def has_long_label(host: str) -> bool:
    """Return whether a part of a name between its dots has more than 63 characters."""
    return any(len(label) > LONGEST_LABEL for label in host.split("."))


def is_ipv6(host: str) -> bool:
    """Return whether what stands in brackets is an address."""
    try:
        ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:
        return False
    return True


def first_other(text: str, allowed: str) -> str:
    """Return the first character that is none of a class, or "".

    >>> first_other("a b", "a-z")
    ' '
    """
    found = re.search(f"[^{allowed}]", text)
    return found[0] if found else ""


def without(characters: str, marks: str) -> str:
    """Return the pattern of one of the characters that is no mark; the class is given sign by sign.

    >>> without("!&'", '",&')
    "[!']"
    """
    return f"[{''.join(re.escape(sign) for sign in characters if sign not in marks)}]"
