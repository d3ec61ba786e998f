"""Web and worker as child processes that end with their parent, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from core.errors import RowhouseError

# A worker finishes its slice of five seconds; then it is killed.
GRACE_SECONDS = 15
PR_SET_PDEATHSIG = 1
# How a worker says that one of its processes died and that it wants a fresh start; and a kill from outside.
WANTS_RESTART = (70, -signal.SIGKILL)


class PortInUse(RowhouseError):
    """Another program listens on the port."""

    code = "port-in-use"


class ChildDied(RowhouseError):
    """The web server or the worker ended by itself."""

    code = "child-died"


def check_port(port: int) -> None:
    """Say early that a port is taken.

    :raises PortInUse: it is.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortInUse(
                f"Port {port} is in use. Stop what listens there, or choose another with --port."
            ) from None


@dataclass
class Children:
    """The processes of one `rowhouse demo`."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _ended: list[int] = field(default_factory=list)

    def start(self, *command: str) -> None:
        self.running.append(
            # A session of its own: Ctrl-C reaches the parent alone, which stops the others in order.
            subprocess.Popen(command, start_new_session=True, preexec_fn=_die_with_parent)  # noqa: PLW1509
        )

    def wait(self) -> None:
        """Return when a signal asks for the end; a worker that crashes is started again meanwhile.

        :raises ChildDied: one of them ended by itself.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: self._ended.append(number))
        while not self._ended:
            time.sleep(0.2)
            for child in list(self.running):
                if child.poll() is not None and not self._ended:
                    self._replace(child)

    def _replace(self, child: subprocess.Popen[bytes]) -> None:
        command = cast("tuple[str, ...]", child.args)
        if child.returncode not in WANTS_RESTART:
            raise ChildDied(f"`{' '.join(command[1:4])}` ended with {child.returncode}; see above.")
        self.running.remove(child)
        self.start(*command)

    def stop(self) -> None:
        """Ask all to end, and kill what has not after the grace."""
        for child in self.running:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in self.running:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def serve(port: int) -> Children:
    """Start web and worker; the worker keeps the schedule too."""
    children = Children()
    rowhouse: Sequence[str] = (sys.executable, "-m", "rowhouse")
    children.start(
        sys.executable, "-m", "gunicorn", "rowhouse.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "2",
        "--threads", "4", "--log-level", "warning", "--no-control-socket",
    )  # fmt: skip
    children.start(*rowhouse, "worker")
    return children
