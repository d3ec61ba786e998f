"""Which mail addresses are one, and which domains a provider speaks for. No Django, no network."""

from __future__ import annotations

import re

_DOMAIN = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


def domain_of(email: str) -> str:
    """Return what stands behind the last @, in small letters; of an address that is none, nothing.

    >>> domain_of("Ada@Example.com"), domain_of("ada")
    ('example.com', '')
    """
    name, at, domain = email.rpartition("@")
    return domain.lower() if at and name and domain.isascii() else ""


def is_domain(text: str) -> bool:
    """Return whether a text is a domain in small letters.

    >>> [is_domain(one) for one in ("example.com", "com", "a..b", "*.example.com")]
    [True, False, False, False]
    """
    return _DOMAIN.fullmatch(text) is not None


def is_listed(email: str, domains: list[str]) -> bool:
    """Return whether an address is at one of the domains; at one below them it is not.

    >>> [is_listed(one, ["example.com"]) for one in ("a@example.com", "a@x.example.com", "a@b@example.com")]
    [True, False, False]
    """
    return email.count("@") == 1 and domain_of(email) in domains


def is_same_address(one: str, other: str) -> bool:
    """Return whether two addresses are one. Letters beyond ASCII must be the same: "ı" is no "i", whoever folds it.

    >>> is_same_address("Ada@example.com", "ada@EXAMPLE.com"), is_same_address("mıke@x.org", "mike@x.org")
    (True, False)
    """
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())
