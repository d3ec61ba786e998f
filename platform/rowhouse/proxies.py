"""Who really asks, where proxies stand in front: each appends to `X-Forwarded-For` whom it was asked by.

What a client itself writes into that header stands further left than what the proxies of ours append. So the address is
counted from the right, and never taken where no proxy is known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any


def client_address(peer: str, forwarded: str, proxies: int) -> str:
    """Return the address of whom the outermost of our proxies was asked by; the peer's if that is not to be known.

    >>> client_address("10.0.0.2", "192.0.2.7", 1)
    '192.0.2.7'
    >>> client_address("10.0.0.2", "6.6.6.6, 192.0.2.7, 10.0.0.9", 2)
    '192.0.2.7'
    >>> client_address("192.0.2.7", "6.6.6.6", 0)
    '192.0.2.7'
    """
    hops = [one.strip() for one in forwarded.split(",") if one.strip()]
    if not 0 < proxies <= len(hops):
        return peer
    try:
        return str(ipaddress.ip_address(hops[-proxies]))
    except ValueError:
        return peer


def behind_proxies[Answer](
    application: Callable[[dict[str, Any], Any], Answer], proxies: int
) -> Callable[[dict[str, Any], Any], Answer]:
    """Return the application with `REMOTE_ADDR` set to the client's address, if there are `proxies`."""

    def answer(environ: dict[str, Any], start_response: Any) -> Answer:
        if proxies:
            forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
            environ["REMOTE_ADDR"] = client_address(environ.get("REMOTE_ADDR", ""), forwarded, proxies)
        return application(environ, start_response)

    return answer
