"""Looking up the texts (TXT records) and the addresses of a name, with a resolver that settings or machine name.

Only what this needs of RFC 1035: one question, over UDP, and over TCP when the answer was cut short.
"""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

from django.conf import settings

from core.errors import RowhouseError

A, TXT, AAAA, IN = 1, 16, 28, 1
SECONDS = 5.0
TRIES = 2
NO_SUCH_NAME = 3
RECURSION_DESIRED, RESPONSE, CUT_SHORT = 0x0100, 0x8000, 0x0200
MOST_JUMPS = 64
Place = tuple[str, int]


class NoAnswer(RowhouseError):
    """No resolver answered, or what came was no answer."""

    code = "dns-no-answer"
    status = 503
    is_passing = True


def texts_of(name: str) -> list[str]:
    """Return the texts of a name, each put together from its parts; none if there is no such name.

    :raises NoAnswer: no resolver answered within some seconds, or with an error.
    """
    return [_joined(data) for data in _asked(name, TXT)]


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a name, of version 4 and then 6; none if there is no such name.

    :raises NoAnswer: no resolver answered within some seconds, or with an error.
    """
    found = [socket.inet_ntop(socket.AF_INET, data) for data in _asked(name, A)]
    return found + [socket.inet_ntop(socket.AF_INET6, data) for data in _asked(name, AAAA)]


def _asked(name: str, kind: int) -> list[bytes]:
    question = _question(name, kind)
    problem = "no resolver is named"
    for _ in range(TRIES):
        for place in _resolvers():
            try:
                answer = _over_udp(question, place)
                if _flags(answer) & CUT_SHORT:
                    answer = _over_tcp(question, place)
                return _records(answer, kind)
            except (OSError, ValueError, struct.error, IndexError) as error:
                problem = str(error) or type(error).__name__
    raise NoAnswer(
        f"The domain name system did not answer for {name} ({problem}). Try again in a few minutes."
    )


def _resolvers() -> list[Place]:
    if settings.ROWHOUSE_DNS_RESOLVERS:
        return [_place(one) for one in settings.ROWHOUSE_DNS_RESOLVERS]
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [(one[1], 53) for one in words if len(one) > 1 and one[0] == "nameserver"]


def _place(text: str) -> Place:
    """Return where a resolver is: `host`, `host:port` or `[IPv6]:port`.

    >>> _place("9.9.9.9"), _place("[::1]:5353")
    (('9.9.9.9', 53), ('::1', 5353))
    """
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port.removeprefix(":") or 53)
    host, _, port = text.partition(":")
    return host, int(port or 53)


def _question(name: str, kind: int) -> bytes:
    labels = name.rstrip(".").encode("ascii").split(b".")
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError(f"no name to look up: {name!r}")
    # A number nobody can guess, from a port nobody can guess: an answer from aside would have to hit both.
    head = struct.pack("!HHHHHH", secrets.randbits(16), RECURSION_DESIRED, 1, 0, 0, 0)
    return head + b"".join(bytes([len(one)]) + one for one in labels) + b"\0" + struct.pack("!HH", kind, IN)


def _over_udp(question: bytes, place: Place) -> bytes:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect(place)  # what comes from elsewhere is dropped by the kernel
        sock.send(question)
        return _checked(sock.recv(65_535), question)


def _over_tcp(question: bytes, place: Place) -> bytes:
    with socket.create_connection(place, timeout=SECONDS) as sock, sock.makefile("rb") as file:
        sock.sendall(struct.pack("!H", len(question)) + question)
        (size,) = struct.unpack("!H", file.read(2))
        return _checked(file.read(size), question)


def _flags(answer: bytes) -> int:
    return int(struct.unpack_from("!H", answer, 2)[0])


def _checked(answer: bytes, question: bytes) -> bytes:
    """Return an answer that is one to our question.

    :raises ValueError: it is not.
    """
    asked = question[12:]
    if answer[:2] != question[:2] or not _flags(answer) & RESPONSE:
        raise ValueError("an answer to another question")
    if answer[12 : 12 + len(asked)].lower() != asked.lower():
        raise ValueError("an answer to another name")
    return answer


def _records(answer: bytes, wanted: int) -> list[bytes]:
    code = _flags(answer) & 0xF
    if code == NO_SUCH_NAME:
        return []
    if code:
        raise ValueError(f"error {code}")
    count = struct.unpack_from("!H", answer, 6)[0]
    at = _behind_name(answer, 12) + 4
    found = []
    for _ in range(count):
        at = _behind_name(answer, at)
        kind, _class, _ttl, size = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if kind == wanted:  # others stand there too: the aliases that lead to it
            found.append(answer[at : at + size])
        at += size
    return found


def _behind_name(answer: bytes, at: int) -> int:
    for _ in range(MOST_JUMPS):
        size = answer[at]
        if size == 0:
            return at + 1
        if size >= 0xC0:  # the rest of the name stands elsewhere
            return at + 2
        at += 1 + size
    raise ValueError("a name without an end")


def _joined(data: bytes) -> str:
    parts, at = [], 0
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts).decode("utf-8", "replace")
