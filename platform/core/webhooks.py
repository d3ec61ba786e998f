"""Signed requests to a tenant's program: where they may go, what proves that they are ours, and how they are sent.

The proof stands in the header `Rowhouse-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` by the
receiver's secret. A request goes to the very address that was judged; redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Timer
from urllib.parse import urlsplit

from core.errors import RowhouseError
from core.outgoing import allowed_address

SIGNATURE = "Rowhouse-Signature"
TIMEOUT_SECONDS = 10.0  # of the whole request, however slowly its answer drips
TOLERANCE_SECONDS = 300
MOST_KEPT = 200  # characters of an answer that is no success, to say why


class BadAddress(RowhouseError):
    """No request can go to this address."""

    code = "bad-webhook-address"
    status = 422


class NotDelivered(Exception):
    """A receiver did not take a request; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `address` is the IP address that was judged, `path` has the query with it."""

    host: str
    port: int
    path: str
    is_encrypted: bool
    address: str


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
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise BadAddress(f"{url!r} is no address. Write it as https://host/path.") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme not in ("http", "https") or not host or not is_plain or parts.username is not None:
        raise BadAddress(f"{url!r} is no address of a webhook. Write it as https://host/path.")
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and host not in private:
        raise BadAddress("What is sent over http:// can be read on its way. Write https://.")
    port = port or (443 if is_encrypted else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, port, path, is_encrypted, allowed_address(host, port, private=private))


class _Judged(HTTPConnection):
    """A connection to the address that was judged, whatever the name stands for by now."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port, timeout=TIMEOUT_SECONDS)
        self.target = target
        self.is_over = False

    def connect(self) -> None:
        self.sock = socket.create_connection((self.target.address, self.target.port), TIMEOUT_SECONDS)
        if self.target.is_encrypted:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.target.host)
        if self.is_over:
            raise TimeoutError("connecting took all the time")

    def cut(self) -> None:
        """End what goes on: the time is over. Runs in another thread."""
        self.is_over = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself


def post(target: Target, body: bytes, headers: dict[str, str]) -> int:
    """Send a body and return the answer's status, 2xx.

    :raises NotDelivered: nobody answered in time, or with another status.
    """
    connection = _Judged(target)
    clock = Timer(TIMEOUT_SECONDS, connection.cut)
    clock.daemon = True
    try:
        clock.start()
        connection.request(
            "POST", target.path, body, {"Content-Type": "application/json", "Connection": "close", **headers}
        )
        answer = connection.getresponse()
        if connection.is_over:  # what came is the beginning of an answer
            raise TimeoutError("the answer did not end")
        said = "" if 200 <= answer.status < 300 else answer.read(MOST_KEPT).decode(errors="replace")
        status = answer.status
    except (OSError, HTTPException) as error:
        over = "" if not connection.is_over else f" within {TIMEOUT_SECONDS:.0f} seconds"
        raise NotDelivered(f"{target.host} did not answer{over} ({_name(error)}).") from error
    finally:
        clock.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise NotDelivered(_refusal(target.host, status, said))
    return status


def _name(error: Exception) -> str:
    said = " ".join(str(error).split())[:MOST_KEPT]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _refusal(host: str, status: int, said: str) -> str:
    if 300 <= status < 400:
        return f"{host} answered {status}, a redirect, which is not followed. Enter the address it leads to."
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())
    return f"{host} answered {status}" + (f": {words}" if words else ".")
