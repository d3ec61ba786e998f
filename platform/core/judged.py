"""One request to an address that was judged, and no other: how tenants' programs and providers are reached.

It goes to the very IP address that was judged (`core.outgoing`), whatever the name stands for by then; it has ten
seconds in all, however slowly the answer drips; redirects are not followed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Timer
from urllib.parse import urlsplit

from core.outgoing import allowed_address

TIMEOUT_SECONDS = 10.0  # of the whole request
MOST_QUOTED = 200  # characters of a fault that are shown


class NoAddress(ValueError):
    """A text is no address that a request may go to; the sentence says why."""


class Unanswered(Exception):
    """Nobody answered in time; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `address` is the IP address that was judged, `path` has the query with it."""

    host: str
    port: int
    path: str
    is_encrypted: bool
    address: str


def target_of(url: str, *, private: Collection[str] = ()) -> Target:
    """Return where an address leads, if a request may go there: to hosts of the open internet, encrypted.

    Hosts in `private` may be of the own network, and unencrypted.

    :raises NoAddress: it is no address, or http:// to a host that is not in `private`.
    :raises NotAllowedHost: its name stands for no address, or for one of a private network.
    """
    malformed = f"{url[:MOST_QUOTED]!r} is no address. Write it as https://host/path."
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise NoAddress(malformed) from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme not in ("http", "https") or not host or not is_plain or parts.username is not None:
        raise NoAddress(malformed)
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and host not in private:
        raise NoAddress("What is sent over http:// can be read on its way. Write https://.")
    port = port or (443 if is_encrypted else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, port, path, is_encrypted, allowed_address(host, port, private=private))


def exchange(
    target: Target,
    *,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    read: Callable[[HTTPResponse], bytes],
) -> tuple[int, bytes]:
    """Send a request and return the answer's status, and of its body what `read` takes.

    :raises Unanswered: nobody answered, or the answer did not end in time.
    """
    connection = _Connection(target)
    clock = Timer(TIMEOUT_SECONDS, connection.cut)
    clock.daemon = True
    try:
        clock.start()
        connection.request(method, target.path, body, {"Connection": "close", **headers})
        answer = connection.getresponse()
        status, said = answer.status, read(answer)
        if connection.is_over:  # what came is the beginning of an answer
            raise TimeoutError("the answer did not end")
    except (OSError, HTTPException) as error:
        over = f" within {TIMEOUT_SECONDS:.0f} seconds" if connection.is_over else ""
        raise Unanswered(f"{target.host} did not answer{over} ({_name(error)}).") from error
    finally:
        clock.cancel()
        connection.close()
    return status, said


class _Connection(HTTPConnection):
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


def _name(error: Exception) -> str:
    said = " ".join(str(error).split())[:MOST_QUOTED]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
