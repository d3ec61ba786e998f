"""Signed requests to a tenant's program: where they may go, what proves that they are ours, and how they are sent.

The proof stands in the header `Rowhouse-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` by the
receiver's secret. A request goes to the very address that was judged; redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from core import judged
from core.errors import RowhouseError
from core.judged import Target

SIGNATURE = "Rowhouse-Signature"
TOLERANCE_SECONDS = 300
MOST_KEPT = 200  # characters of an answer that is no success, to say why


class BadAddress(RowhouseError):
    """No request can go to this address."""

    code = "bad-webhook-address"
    status = 422


class NotDelivered(Exception):
    """A receiver did not take a request; the sentence says why."""


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the signature of a body sent `at` (seconds since 1970).

    >>> sign("secret", b"{}", 1)
    't=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908'
    """
    proof = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={proof.hexdigest()}"


def is_signed(secret: str, body: bytes, signature: str, now: int, tolerance: int = TOLERANCE_SECONDS) -> bool:
    """Return whether a body was signed with the secret, no longer ago than `tolerance` seconds: for receivers.

    >>> is_signed("secret", b"{}", sign("secret", b"{}", 1000), now=1010)
    True
    """
    parts = dict(part.split("=", 1) for part in signature.split(",") if "=" in part)
    at = parts.get("t", "")
    if not (at.isascii() and at.isdigit() and len(at) < 12) or abs(now - int(at)) > tolerance:
        return False
    return hmac.compare_digest(sign(secret, body, int(at)).encode(), signature.encode())


def target_of(url: str, *, private: Collection[str] = ()) -> Target:
    """Return where an address leads, if a request may go there: to hosts of the open internet, encrypted.

    Hosts in `private` may be of the own network, and unencrypted.

    :raises BadAddress: it is no address, or http:// to a host that is not in `private`.
    :raises NotAllowedHost: its name stands for no address, or for one of a private network.
    """
    try:
        return judged.target_of(url, private=private)
    except judged.NoAddress as error:
        raise BadAddress(str(error)) from None


def post(target: Target, body: bytes, headers: dict[str, str]) -> int:
    """Send a body and return the answer's status, 2xx.

    :raises NotDelivered: nobody answered in time, or with another status.
    """
    try:
        status, said = judged.exchange(
            target,
            method="POST",
            body=body,
            headers={"Content-Type": "application/json", **headers},
            read=lambda answer: b"" if 200 <= answer.status < 300 else answer.read(MOST_KEPT),
        )
    except judged.Unanswered as error:
        raise NotDelivered(str(error)) from error
    if not 200 <= status < 300:
        raise NotDelivered(_refusal(target.host, status, said.decode(errors="replace")))
    return status


def _refusal(host: str, status: int, said: str) -> str:
    if 300 <= status < 400:
        return f"{host} answered {status}, a redirect, which is not followed. Enter the address it leads to."
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())
    return f"{host} answered {status}" + (f": {words}" if words else ".")
