"""Names of tenants. Pure."""

from __future__ import annotations

import base64
import re
import secrets

from core.tenancy import SLUG_PATTERN

# RFC 1123, ASCII only; punycode is refused because it shows as another name.
_LABEL = r"(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN_PATTERN = rf"^(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*$"
RESERVED = frozenset({"www", "api", "admin", "operator", "static", "mail", "public", "status"})


def new_schema_name() -> str:
    """Return a schema name nobody had before: 80 random bits, so that no name is ever used twice."""
    return "t_" + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def is_slug(text: str) -> bool:
    """Return whether a tenant may be called this."""
    return bool(re.fullmatch(SLUG_PATTERN, text)) and text not in RESERVED and not text.startswith("xn--")


def is_domain(text: str) -> bool:
    """Return whether a tenant may be reached under this."""
    return bool(re.fullmatch(DOMAIN_PATTERN, text))


def normal_host(host: str) -> str:
    """Return a request's host as domains are stored: no port, no trailing dot, lower case.

    >>> normal_host("ACME.Example.COM.:8000")
    'acme.example.com'
    """
    name, _, port = host.partition(":")
    if port and not port.isdigit():
        return ""
    return name.removesuffix(".").lower()
