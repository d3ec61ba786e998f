"""How long a request to an S3 server may take, and where to: what botocore's own connections leave open.

Its timeouts are of each single read, so that a server which sends one byte a second is waited for without end; and it
sends a body under the timeout of connecting, so that a part of 5 MiB fails on a slow line. Here each request has a
time in all, after which its connection is cut, and a connection may be judged by the address it has reached.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

Judge = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for a connection, for the next byte, for a whole request; and how often to try.

    `call_seconds` is for the first 5 MiB parts of a file: a server slower than 45 KB/s is given up.
    """

    connect_seconds: float = 10
    read_seconds: float = 60
    call_seconds: float = 120
    attempts: int = 4


class Refused(Exception):
    """The connection has reached an address that it may not."""


class Call:
    """One request, or one reading of its answer: what its connection is, and whether it had to be cut."""

    def __init__(self, connection: Any = None) -> None:
        self.connection = connection
        self.is_past = False

    def cut(self) -> None:
        self.is_past = True
        sock = getattr(self.connection, "sock", None)
        with suppress(OSError):
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up: nothing more can be read from it."""
        if self.connection is not None:
            self.connection.close()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection when the block takes longer."""
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class _Now(threading.local):
    call: Call | None = None


_now = _Now()


def last_connection() -> Any:
    """Return the connection of the request that this thread made last: the rest of its answer is read from it."""
    return _now.call.connection if _now.call is not None else None


class _Watched:
    """A connection that is known to the request it serves, and judged when it is made."""

    judge: Judge | None = None
    send_seconds: float = 120

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # mixed into urllib3's connections
        connection: Any = self
        if self.judge is not None and not self.judge(str(connection.sock.getpeername()[0])):
            connection.close()
            raise Refused

    def request(self, *args: Any, **options: Any) -> None:
        if _now.call is not None:
            _now.call.connection = self
        super().request(*args, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        connection: Any = self
        if connection.sock is not None:
            connection.sock.settimeout(self.send_seconds)
        super().send(data)  # type: ignore[misc]


def _pools(judge: Judge | None, patience: Patience) -> dict[str, type]:
    """Return urllib3's classes of connections for one client."""
    own: dict[str, Any] = {
        "judge": staticmethod(judge) if judge else None,
        "send_seconds": patience.call_seconds,
    }
    plain = type("WatchedConnection", (_Watched, AWSHTTPConnection), own)
    secure = type("WatchedTlsConnection", (_Watched, AWSHTTPSConnection), own)
    return {
        "http": type("WatchedPool", (AWSHTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("WatchedTlsPool", (AWSHTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class Session(URLLib3Session):
    """Sends the requests of one client in place of its own session."""

    def __init__(self, patience: Patience, judge: Judge | None, **options: Any) -> None:
        seconds: Any = (patience.connect_seconds, patience.read_seconds)
        super().__init__(timeout=seconds, **options)
        manager: Any = vars(self)["_manager"]
        manager.pool_classes_by_scheme = _pools(judge, patience)
        self._patience = patience

    def answer(self, request: Any, **_: Any) -> Any:
        """Send a request: botocore's `before-send`."""
        call = _now.call = Call()
        try:
            with call.within(self._patience.call_seconds):
                answer = self.send(request)
        except Exception as error:
            if call.is_past:
                call.close()
                raise ReadTimeoutError(endpoint_url=request.url, error="the answer took too long") from error
            if _is_refused(error):
                raise EndpointConnectionError(
                    endpoint_url=request.url, error="its address is private"
                ) from error
            raise
        if call.is_past:  # headers that break off are taken for whole ones
            answer.raw.close()
            call.close()
            raise ReadTimeoutError(endpoint_url=request.url, error="the answer took too long")
        return answer


def _is_refused(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, Refused):
        error = error.__cause__ or error.__context__
    return error is not None


def take_over(
    client: S3Client, patience: Patience, *, judge: Judge | None = None, verify: Any = None
) -> None:
    """Send a client's requests by a session of ours from now on. A judged client goes through no proxy."""
    config: Any = client.meta.config
    proxies = {} if judge else config.proxies or get_environ_proxies(client.meta.endpoint_url)
    session = Session(
        patience,
        judge,
        verify=verify if verify is not None else os.environ.get("REQUESTS_CA_BUNDLE", True),
        proxies=proxies,
        max_pool_connections=config.max_pool_connections,
    )
    client.meta.events.register("before-send.s3", session.answer, unique_id="rowhouse-session")
