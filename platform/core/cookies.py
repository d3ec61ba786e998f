"""Cookies that a sibling's host cannot put in the place of ours.

Browsers take a cookie called `__Host-…` only from the very host, so nobody at another subdomain can toss one. They
look at the name as it is sent; Django trims it first, of every white space there is in Unicode. A cookie of the parent
domain called U+2000 and `__Host-session` would be read as the session. So cookies whose names are not plain, or that
have none, are dropped before anybody reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

_PLAIN_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 6265


def plain_cookies(header: str) -> str:
    """Return a Cookie header without the cookies whose names are no plain tokens.

    >>> plain_cookies("a=1; \\u2000a=2; =a=3; b")
    'a=1'
    """
    pairs = (pair.strip(" \t") for pair in header.split(";"))
    return "; ".join(pair for pair in pairs if "=" in pair and _PLAIN_NAME.fullmatch(pair.split("=", 1)[0]))


class PlainCookies:
    """Let the rest of a request see plain cookies alone; it stands before whoever reads one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if header := request.META.get("HTTP_COOKIE"):
            request.META["HTTP_COOKIE"] = plain_cookies(header)
        return self.get_response(request)
