"""Where imports are measured: a PostgreSQL of the benchmark's own, the meter, and the floor `\\copy` sets.

CPU is that of the measured process and of the server: all its processes, those that ended meanwhile included.
It is read from /proc, so this runs on Linux.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Timed:
    """One measured run. `cpu` has the client's and the server's seconds, `peak_mb` the largest resident size."""

    seconds: float
    cpu: float
    peak_mb: float = 0.0
    output: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server, and the environment of the commands that work on it."""

    folder: Path
    server: EmbeddedServer
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, codes: tuple[int, ...] = (0,), **more: str) -> Timed:
        """Run Python with these words to its end, its start included; `more` is added to the environment.

        :raises SystemExit: it ended with none of the `codes`; what it said is printed.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            served, started = self.server_cpu(), time.perf_counter()
            child = subprocess.Popen(
                [sys.executable, *command], stdout=out, stderr=errors, cwd=ROOT, env=self.environment | more
            )
            _pid, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            errors.seek(0)
            if child.returncode not in codes:
                sys.exit(
                    f"{' '.join(command)} ended with {child.returncode}:\n{errors.read()[-4000:]}{out.read()}"
                )
            cpu = usage.ru_utime + usage.ru_stime + self.server_cpu() - served
            return Timed(seconds, cpu, usage.ru_maxrss / 1024, out.read())

    def server_cpu(self) -> float:
        """Return the CPU seconds of the server so far. Those who left are in the count of their parent."""
        pid = self.server.pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(_cpu_of(int(one)) for one in [str(pid), *children])

    def link(self, database: str = "") -> Any:
        """Connect as the application does, each statement its own transaction."""
        import psycopg2  # noqa: PLC0415 -- slow import

        link = psycopg2.connect(self.server.url(database) if database else self.server.url())
        link.autocommit = True
        return link

    def settle(self) -> None:
        """Write out what former runs left dirty, so that nobody pays for somebody else."""
        self.superuser("CHECKPOINT")

    def superuser(self, statement: str) -> None:
        import psycopg2  # noqa: PLC0415 -- slow import

        link = psycopg2.connect(host=str(self.server.socket_folder), user="postgres", dbname="postgres")
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                cursor.execute(statement)
        finally:
            link.close()


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it left; its parent has counted it
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Start a server in a folder of its own; both are gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rowhouse-imports-"))
    server = EmbeddedServer(folder / "postgres")
    path = [str(ROOT), str(ROOT / "platform"), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        server.start()
        yield Ground(
            folder,
            server,
            {
                **os.environ,
                "DATABASE_URL": server.url(),
                "PYTHONPATH": os.pathsep.join(path),
                "ROWHOUSE_SPARE_SCHEMAS": "0",
                "ROWHOUSE_DATA": str(folder / "data"),
                "ROWHOUSE_LOG_LEVEL": "WARNING",
            },
        )
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def copy_floor(ground: Ground, path: Path, columns: list[tuple[str, str]]) -> Timed:
    """Time `\\copy` of a clean file into a new, logged table of these columns whose first is the primary key."""
    defined = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    link = ground.link()
    try:
        with link.cursor() as cursor, path.open("rb") as file:
            cursor.execute("DROP TABLE IF EXISTS floor_c1")
            cursor.execute(f'CREATE TABLE floor_c1 ({defined}, PRIMARY KEY ("{columns[0][0]}"))')
            ground.settle()
            served, own, started = ground.server_cpu(), _own_cpu(), time.perf_counter()
            cursor.copy_expert("COPY floor_c1 FROM STDIN (FORMAT csv, HEADER true)", file)
            seconds = time.perf_counter() - started
            cpu = ground.server_cpu() - served + _own_cpu() - own
            cursor.execute("DROP TABLE floor_c1")  # or autovacuum would work on it during the imports
    finally:
        link.close()
    return Timed(seconds, cpu)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
