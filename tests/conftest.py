"""The demo as a new user runs it: told once in a database of its own, then served with web and worker."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import psycopg2.errors
import pytest
from django.db import connections

from exporter.tests.s3 import rclone

__all__ = ["rclone"]
START_SECONDS = 120


@dataclass
class Told:
    """What `rowhouse demo --once --json` said, and the environment it ran in."""

    summary: dict[str, Any]
    environment: dict[str, str]
    folder: Path


@dataclass
class Served:
    """A running `rowhouse demo`."""

    process: subprocess.Popen[str]
    port: int
    passwords: dict[str, str] = field(default_factory=dict)

    def url(self, host: str, path: str) -> str:
        return f"http://{host}:{self.port}{path}"

    def stop(self) -> int:
        """Press Ctrl-C once and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(40)


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings: None) -> Iterator[Told]:
    # The receivers of webhooks in these tests are on this machine.
    with tell(tmp_path_factory.mktemp("demo"), ROWHOUSE_WEBHOOK_PRIVATE_HOSTS="127.0.0.1") as told:
        yield told


@contextmanager
def tell(folder: Path, **variables: str) -> Iterator[Told]:
    """Run `rowhouse demo --once --json` in a database of its own, which is dropped afterwards."""
    with own_database() as url:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "ROWHOUSE_DATA": str(folder),
            "ROWHOUSE_DESTINATION_PRIVATE_HOSTS": "127.0.0.1",  # the tests' own servers
            "ROWHOUSE_SIGN_IN_PRIVATE_HOSTS": "127.0.0.1",
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-m", "rowhouse", "demo", "--once", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        yield Told(json.loads(done.stdout), environment, folder)


@contextmanager
def own_database() -> Iterator[str]:
    """Make an empty database beside the tests' own and give its address; it is dropped afterwards."""
    name = f"test_rowhouse_demo_{os.getpid()}_{secrets.token_hex(3)}"
    _server(f'CREATE DATABASE "{name}"')
    try:
        yield database_url(name)
    finally:
        _drop(name)


def _drop(name: str) -> None:
    for _ in range(20):
        try:
            _server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return
        except psycopg2.errors.InsufficientPrivilege:
            time.sleep(1)  # the server's own cleaning is in there, and nobody but its superuser may end that
    _server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def served(told: Told) -> Iterator[Served]:
    served = start_demo(told)
    yield served
    served.stop()


def start_demo(told: Told) -> Served:
    """Start `rowhouse demo` on what was told before, and wait until it answers."""
    port = free_port()
    with (told.folder / "demo.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rowhouse", "demo", "--port", str(port)],
            env=told.environment,
            stdout=log,
            stderr=log,
            text=True,
        )
    served = Served(process, port)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        said = (told.folder / "demo.log").read_text()
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
    said = (told.folder / "demo.log").read_text()
    served.passwords = dict(re.findall(r"^\s+(\S+@\S+)\s+(\S+)$", said, re.M))
    return served


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(b"GET /operator/login/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return link.recv(12).endswith(b"200")
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url(name: str) -> str:
    database = connections["default"].settings_dict
    host = quote(str(database["HOST"] or ""), safe="")
    port = f"&port={database['PORT']}" if database["PORT"] else ""
    return (
        f"postgresql://{database['USER']}:{quote(str(database['PASSWORD'] or ''))}@/{name}?host={host}{port}"
    )


def _server(statement: str) -> None:
    link = psycopg2.connect(database_url("postgres"))
    link.autocommit = True
    try:
        with link.cursor() as cursor:
            cursor.execute(statement)
    finally:
        link.close()


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Return where Chromium is; the tests that need one fail without, so that none is skipped unseen."""
    names = (os.environ.get("ROWHOUSE_BROWSER"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    assert found, "No Chromium. `make browser` installs one."
    return found
