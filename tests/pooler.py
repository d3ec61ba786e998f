"""PgBouncer in transaction mode before the tests' server: few sessions, which every client's transactions share."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections

from tests.source import ROOT

START_SECONDS = 30
CONFIGURATION = """\
[databases]
{name} = host={server} port={server_port} dbname={name} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running one, by its port on this machine."""

    port: int

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the connections that threads open from here on go by the pooler."""
        settings: dict[str, Any] = connections.databases["default"]
        before = settings["HOST"], settings["PORT"]
        settings["HOST"], settings["PORT"] = "127.0.0.1", str(self.port)
        try:
            yield
        finally:
            settings["HOST"], settings["PORT"] = before


def program() -> str | None:
    """Return where PgBouncer is, installed if that is possible; None without one."""
    done = subprocess.run(
        ["sh", str(ROOT / "deploy" / "dev" / "pgbouncer.sh")], stdout=subprocess.PIPE, text=True, check=False
    )
    return done.stdout.strip() or None


@contextmanager
def pooling(*, sessions: int) -> Iterator[Pooler]:
    """Start PgBouncer with so many sessions at the server, and stop it in the end."""
    path = program()
    assert path, "There is no PgBouncer."
    # Not the test's own folder, where only this user may go: PgBouncer runs as another.
    with tempfile.TemporaryDirectory(prefix="rowhouse-pooler-") as folder:
        yield from _running(path, Path(folder), sessions)


def _running(path: str, folder: Path, sessions: int) -> Iterator[Pooler]:
    database = connections["default"].settings_dict
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = folder / "pgbouncer.ini"
    file.write_text(
        CONFIGURATION.format(
            name=database["NAME"], server=database["HOST"], server_port=database["PORT"] or 5432,
            user=database["USER"], port=port, sessions=sessions, folder=folder,
        )
    )  # fmt: skip
    options: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, -1)
        options = {"user": user.pw_uid}
    process = subprocess.Popen(
        [path, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    try:
        _wait(port, process, folder)
        yield Pooler(port)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, (folder / "pgbouncer.log").read_text()
        assert time.monotonic() < deadline, "PgBouncer does not answer"
        time.sleep(0.05)
