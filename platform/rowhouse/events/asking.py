"""What somebody looks for in the log, as it stands in the address of the page."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import date
from urllib.parse import urlencode

from django.contrib.admin.exceptions import DisallowedModelAdminLookup

from audit.looking import Wish
from audit.names import AREAS

MOST_TEXT = 200
MOST_DIGITS = 18
# The parameters of the address that say what is looked for.
FIELDS = ("q", "area", "name", "actor", "who", "of", "id", "what", "address", "cause", "at_from", "at_to")


def wish_of(asked: Mapping[str, str]) -> Wish:
    """Return what an address asks for. What cannot be is taken for not asked.

    :raises DisallowedModelAdminLookup: it asks for a lookup of the database's own, such as `name__regex`.
    """
    if lookups := [name for name in asked if "__" in name]:
        raise DisallowedModelAdminLookup(f"{lookups[0]} is no filter of this list.")
    text = {name: _text(asked.get(name, "")) for name in FIELDS}
    return Wish(
        words=text["q"],
        area=text["area"] if text["area"] in AREAS else "",
        name=text["name"],
        actor_id=number_of(text["actor"]),
        who=text["who"],
        target_type=text["of"] if text["id"] else "",
        target_id=text["id"] if text["of"] else "",
        what=text["what"],
        address=text["address"] if _is_address(text["address"]) else "",
        cause=text["cause"],
        first=_day(text["at_from"]),
        last=_day(text["at_to"]),
    )


def asked_of(wish: Wish) -> dict[str, str]:
    """Return the parameters that `wish_of` makes this of, only those that ask for something."""
    found = {
        "q": wish.words,
        "area": wish.area,
        "name": wish.name,
        "actor": "" if wish.actor_id is None else str(wish.actor_id),
        "who": wish.who,
        "of": wish.target_type,
        "id": wish.target_id,
        "what": wish.what,
        "address": wish.address,
        "cause": wish.cause,
        "at_from": wish.first.isoformat() if wish.first else "",
        "at_to": wish.last.isoformat() if wish.last else "",
    }
    return {name: value for name, value in found.items() if value}


def query_of(wish: Wish, **more: object) -> str:
    """Return the query part of an address that asks for this."""
    return "?" + urlencode({**asked_of(wish), **more})


def number_of(text: str) -> int | None:
    """Return a whole number as the database keeps them, or None.

    >>> number_of("12"), number_of("²"), number_of("9" * 30)
    (12, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _text(text: str) -> str:
    return text.replace("\0", "").strip()[:MOST_TEXT]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1970 <= found.year <= 9000 else None
