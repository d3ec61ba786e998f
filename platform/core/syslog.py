"""Events for a syslog server: RFC 5424 messages over TCP or TLS, each with its length before it (RFC 6587, RFC 5425).

Syslog has no answers. That a server has read what it was sent is seen by its closing the connection after we have
closed our side: one that died with messages unread resets it instead. So each batch has a connection of its own.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from core.errors import RowhouseError

TIMEOUT_SECONDS = 10.0
PORTS = {"tcp": 601, "tls": 6514}
LOG_AUDIT, INFORMATIONAL = 13, 6
# Of structured data: an enterprise number set aside for examples, as we have none (RFC 5612).
ELEMENT = "rowhouse@32473"
MOST_NAME = 32


class BadSyslogAddress(RowhouseError):
    """The setting names no syslog server."""

    code = "bad-syslog-address"
    status = 422


class NotTaken(Exception):
    """A server did not take a batch; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where messages go."""

    host: str
    port: int
    is_encrypted: bool


def server_of(url: str) -> Server:
    """Return the server of an address like `tls://logs.example.com:6514`.

    >>> server_of("tcp://logs")
    Server(host='logs', port=601, is_encrypted=False)

    :raises BadSyslogAddress: it is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        host, port = "", 0
    if not host or not port or parts.path.strip("/"):
        raise BadSyslogAddress(f"{url!r} is no address of a syslog server. Write it as tls://host:6514.")
    return Server(host, port, parts.scheme == "tls")


def message(*, at: datetime, host: str, name: str, facts: Mapping[str, str], text: str) -> bytes:
    """Return one message. `name` is its kind, of which 32 characters are kept; `facts` are all texts.

    >>> message(at=datetime(2026, 8, 26, 14, tzinfo=UTC), host="acme", name="a.b", facts={"id": 'x"'}, text="{}")
    b'<110>1 2026-08-26T14:00:00.000000Z acme rowhouse - a.b [rowhouse@32473 id="x\\\\""] \\xef\\xbb\\xbf{}'
    """
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = "".join(f' {key}="{_quoted(value)}"' for key, value in facts.items())
    head = (
        f"<{LOG_AUDIT * 8 + INFORMATIONAL}>1 {stamp} {_plain(host, 255)} rowhouse - {_plain(name, MOST_NAME)}"
    )
    return f"{head} [{ELEMENT}{data}] \ufeff{text}".encode()


def framed(text: bytes) -> bytes:
    """Return a message with its length in bytes before it.

    >>> framed(b"abc")
    b'3 abc'
    """
    return str(len(text)).encode() + b" " + text


def _plain(text: str, most: int) -> str:
    return "".join(sign for sign in text if "!" <= sign <= "~")[:most] or "-"


def _quoted(text: str) -> str:
    for sign in ("\\", '"', "]"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ").replace("\r", " ")


def send(server: Server, messages: Iterable[bytes], *, authorities: str = "") -> None:
    """Send messages over a connection of their own, and wait until the server has read them to the end.

    :param authorities: a file of certificates to trust besides those of the machine.
    :raises NotTaken: there is no connection, or it broke, or the server did not close it within TIMEOUT_SECONDS.
    """
    body = b"".join(framed(one) for one in messages)
    try:
        with _connected(server, authorities) as connection:
            connection.sendall(body)
            _finish(connection)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise NotTaken(
            f"{server.host}:{server.port} did not take it ({type(error).__name__}: {said})."
        ) from error


def _connected(server: Server, authorities: str) -> socket.socket:
    plain = socket.create_connection((server.host, server.port), TIMEOUT_SECONDS)
    if not server.is_encrypted:
        return plain
    try:
        context = ssl.create_default_context()
        if authorities:
            context.load_verify_locations(authorities)
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def _finish(connection: socket.socket) -> None:
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection.unwrap()  # waits for the other side's own end
        except ssl.SSLEOFError:
            pass  # it closed without a word of farewell: what it had not read would have reset the connection
        return
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass
