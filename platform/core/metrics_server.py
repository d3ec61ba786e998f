"""Telling Prometheus what a family of processes has counted, on a port of its own, from the family's first process.

That process forks (gunicorn's makes and replaces its children), and a fork in the middle of another thread's work may
leave a lock held for ever in the child. So whoever collects holds a lock that a fork waits for: forks find the threads
of this module idle.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

READ_SECONDS = 5.0  # how long a client may take to say what it wants
FORK_SECONDS = (
    5.0  # how long a fork waits at most; a collection is bounded, but nothing may stop a web server
)
_OF_A_PROCESS = re.compile(r"(counter|histogram)_(\d+)\.db")
_OF_ANY = re.compile(r"[a-z_]+_(\d+)\.db")
THE_DEAD = 0  # the number under which what dead processes have counted goes on being told

_collecting = Lock()
_held_by_fork = False


def _before_fork() -> None:
    global _held_by_fork
    _held_by_fork = _collecting.acquire(timeout=FORK_SECONDS)


def _after_fork_in_parent() -> None:
    if _held_by_fork:
        _collecting.release()


def _after_fork_in_child() -> None:
    global _collecting
    _collecting = Lock()


@contextmanager
def _collection() -> Iterator[None]:
    with _collecting:
        yield


def serve_if_possible(port: int, folder: Path, collectors: Iterable[Collector] = ()) -> None:
    """Answer `/metrics` as `serve` does; if the port is taken, say so and go on without.

    Requests are answered and jobs are done without it, and whoever looks for figures sees that they are missing.
    """
    try:
        serve(port, folder, collectors)
    except OSError:
        logger.exception("Metrics are not told: port %s cannot be had. Set ROWHOUSE_METRICS_PORT.", port)


def serve(port: int, folder: Path, collectors: Iterable[Collector] = ()) -> ThreadingHTTPServer:
    """Answer `/metrics` on a port from here on, on a thread; forks of this process are safe beside it.

    :param folder: where the family counts.
    :param collectors: what else is told, by this process itself.
    :raises OSError: the port is taken.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    for collector in collectors:
        registry.register(collector)

    class Answer(_Answer):
        def body(self) -> bytes:
            with _collection():
                fold_the_dead(folder)
                return generate_latest(registry)

    server = _Server(("::" if socket.has_dualstack_ipv6() else "0.0.0.0", port), Answer)  # noqa: S104 -- pods' own port
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's, which asks the DNS for the machine's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "metrics", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.warning("Metrics could not be told", exc_info=sys.exc_info())


class _Answer(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = READ_SECONDS
    server_version = "rowhouse"
    sys_version = ""

    def body(self) -> bytes:
        raise NotImplementedError

    def do_GET(self) -> None:
        is_known = self.path.partition("?")[0] == "/metrics"
        body = self.body() if is_known else b"Metrics are at /metrics.\n"
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST if is_known else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: each scrape would be a line."""


def fold_the_dead(folder: Path) -> None:
    """Add what dead processes have counted to one file, and forget their gauges.

    Workers are replaced every few minutes: a file for each would fill the disk and make collections slow.
    """
    dead = {pid for file in folder.iterdir() if (pid := _pid(file)) != THE_DEAD and not _lives(pid)}
    for pid in sorted(dead):
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        for file in sorted(folder.glob(f"*_{pid}.db")):
            if found := _OF_A_PROCESS.fullmatch(file.name):
                _add(file, folder / f"{found[1]}_{THE_DEAD}.db")
            file.unlink(missing_ok=True)


def _pid(file: Path) -> int:
    found = _OF_ANY.fullmatch(file.name)
    return int(found[1]) if found else THE_DEAD


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _add(file: Path, into: Path) -> None:
    sums = MmapedDict(str(into))  # type: ignore[no-untyped-call]
    try:
        for key, value, stamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            before, _stamp = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, stamp)  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]
