"""One request to a host that a tenant has named, and its answer: small, soon, and from the open internet.

It goes to the very address that was judged (`core.outgoing`), whatever the name stands for by then; redirects are not
followed; an answer that is too long or takes too long is none.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from core.errors import RowhouseError
from core.outgoing import NotAllowedHost, allowed_address

TIMEOUT_SECONDS = 10.0  # of the whole request, however slowly its answer drips
MOST_BYTES = 512 * 1024
MOST_QUOTED = 200  # characters of a fault that are shown


class NoAnswer(RowhouseError):
    """A host did not answer in time, or with something that cannot be read."""

    code = "no-answer"
    status = 502
    is_passing = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered."""

    host: str
    status: int
    body: bytes

    def object(self) -> dict[str, Any]:
        """Return the JSON object that was answered.

        :raises NoAnswer: it is none.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise NoAnswer(f"{self.host} answered {self.status} with something that is no JSON object.")
        return found


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    path: str
    is_encrypted: bool
    address: str


def ask(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    private: Collection[str] = (),
) -> Answer:
    """Ask an address, by POST where there is a body; hosts in `private` may be of the own network and unencrypted.

    :raises NotAllowedHost: it is no address, not encrypted, or leads into a private network.
    :raises NoAnswer: nobody answered within 10 seconds, or with more than 512 KiB.
    """
    target = _judged(url, private)
    connection = _Connection(target)
    clock = Timer(TIMEOUT_SECONDS, connection.cut)
    clock.daemon = True
    try:
        clock.start()
        method = "GET" if body is None else "POST"
        sent = {"Accept": "application/json", "Connection": "close", **(headers or {})}
        connection.request(method, target.path, body, sent)
        answer = connection.getresponse()
        said, status = answer.read(MOST_BYTES + 1), answer.status
        if connection.is_over:  # what came is the beginning of an answer
            raise TimeoutError("the answer did not end")
    except (OSError, HTTPException) as error:
        over = f" within {TIMEOUT_SECONDS:.0f} seconds" if connection.is_over else ""
        raise NoAnswer(f"{target.host} did not answer{over} ({_name(error)}).") from error
    finally:
        clock.cancel()
        connection.close()
    if len(said) > MOST_BYTES:
        raise NoAnswer(f"{target.host} answered more than {MOST_BYTES // 1024} KiB, which is not read.")
    if 300 <= status < 400:
        raise NoAnswer(f"{target.host} answered {status}, a redirect, which is not followed.")
    return Answer(target.host, status, said)


def _judged(url: str, private: Collection[str]) -> _Target:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise NotAllowedHost(f"{url[:MOST_QUOTED]!r} is no address. Write it as https://host.") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme not in ("http", "https") or not host or not is_plain or parts.username is not None:
        raise NotAllowedHost(f"{url[:MOST_QUOTED]!r} is no address. Write it as https://host.")
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and host not in private:
        raise NotAllowedHost("What is sent over http:// can be read on its way. Write https://.")
    port = port or (443 if is_encrypted else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(host, port, path, is_encrypted, allowed_address(host, port, private=private))


class _Connection(HTTPConnection):
    """A connection to the address that was judged."""

    def __init__(self, target: _Target) -> None:
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
