"""Where the traffic goes: a PostgreSQL and an S3 server of the benchmark's own, real gunicorn, a real worker.

Everything is as in production: its settings, collected static files, a process of the web server per core with four
threads each. Only TLS is left out; the header that the proxy in front would set is sent by the client.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from benchmarks.exports import s3_server
from benchmarks.imports_ground import TICKS
from core.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
WEB_PROCESSES, WEB_THREADS, WORKERS = 2, 4, 2
START_SECONDS = 120.0
LEAVE_SECONDS = 40.0
SAMPLE_SECONDS = 3.0


@dataclass(slots=True)
class Ground:
    """What runs, and the process ids by part: web, worker, server, storage."""

    folder: Path
    server: EmbeddedServer
    environment: dict[str, str]
    port: int
    roots: dict[str, int] = field(default_factory=dict)

    def processes(self, part: str) -> list[int]:
        """Return the ids of the part's processes, those that were started by others of it included."""
        return _family(self.roots[part]) if part in self.roots else []

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far, of ended processes included."""
        return {part: sum(_cpu_of(pid) for pid in self.processes(part)) for part in self.roots}

    def command(self, *words: str) -> None:
        """Run one of our commands to its end.

        :raises SystemExit: it failed; what it said is printed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "rowhouse", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )  # fmt: skip
        if done.returncode:
            sys.exit(
                f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}{done.stdout[-1000:]}"
            )

    def superuser(self, statement: str) -> None:
        """Run a statement as the server's superuser."""
        import psycopg2  # noqa: PLC0415 -- slow import

        link = psycopg2.connect(host=str(self.server.socket_folder), user="postgres", dbname="rowhouse")
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                cursor.execute(statement)
        finally:
            link.close()


@dataclass(slots=True)
class Memory:
    """The most that was seen at one moment, in MB.

    Of one process what is its own (`Anonymous`), of a part the sum, in which pages that a process shares with the
    one it was forked from count once (`Pss_Anon`). What the server's processes share with each other is in neither.
    """

    ground: Ground
    whole: dict[str, float] = field(default_factory=dict)  # of all processes of the part
    largest: dict[str, float] = field(default_factory=dict)  # of one of them
    over: Event = field(default_factory=Event)

    def look(self) -> None:
        for part in ("web", "worker", "server"):
            each = [_own_mb(pid) for pid in self.ground.processes(part)]
            self.whole[part] = max(self.whole.get(part, 0.0), sum(shared for _, shared in each))
            self.largest[part] = max([self.largest.get(part, 0.0), *(own for own, _ in each)])

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look every few seconds for the length of the block."""
        thread = Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def _watch(self) -> None:
        while not self.over.wait(SAMPLE_SECONDS):
            self.look()


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Start the servers, set Django up on them in this process and migrate; once per process. All goes at the end.

    The web server and the worker are not started yet: `serving` does that.
    """
    folder = Path(tempfile.mkdtemp(prefix="rowhouse-load-"))
    server = EmbeddedServer(folder / "postgres")
    path = [str(ROOT), str(ROOT / "platform"), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        with ExitStack() as stack:
            server.start()
            s3 = stack.enter_context(s3_server("rclone", folder / "s3"))
            os.environ |= s3 | {
                "DATABASE_URL": server.url(),
                "DJANGO_SETTINGS_MODULE": "rowhouse.settings",
                "PYTHONPATH": os.pathsep.join(path),
                "ROWHOUSE_DATA": str(folder / "data"),
                "ROWHOUSE_LOG_LEVEL": "WARNING",
                "ROWHOUSE_PRODUCTION": "true",
                "ROWHOUSE_SIGN_INS_PER_MINUTE": "0",  # all of them sign in at once, from here
                "ROWHOUSE_SECRET_KEY": "measured-0123456789-abcdefghijklmnopqrstuvwxyz-XYZ",
                "ROWHOUSE_SPARE_SCHEMAS": "0",
                "ROWHOUSE_STATIC_ROOT": str(folder / "static"),
                "ROWHOUSE_BACKUP_HOURS": "0",
                "ROWHOUSE_DRILL_DAYS": "0",
                "ROWHOUSE_WORKERS": str(WORKERS),
            }
            ground = Ground(folder, server, dict(os.environ), _free_port())
            pid = server.pid()
            assert pid is not None
            ground.roots["server"] = pid
            ground.command("collectstatic", "--noinput", "--verbosity", "0")
            ground.command("migrate_tenants")
            import django  # noqa: PLC0415 -- after the environment
            from django.db import connections  # noqa: PLC0415 -- likewise

            django.setup()
            try:
                yield ground
            finally:
                connections.close_all()
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(ground: Ground, worker_environment: dict[str, str], worker_nice: int) -> Iterator[None]:
    """Run the web server and a worker for the length of the block, and let them leave in good order.

    The worker gets further variables and gives way by so much (`nice`), to try what that does to others.

    :raises SystemExit: one of them ended by itself.
    """
    with ExitStack() as stack:
        stack.enter_context(_running(ground, "web", [sys.executable, *_web_command(ground.port)], {}))
        worker = ["-m", "rowhouse", "worker", "--folder", str(ground.folder / "run")]
        words = ["nice", "-n", str(worker_nice), sys.executable, *worker]
        stack.enter_context(_running(ground, "worker", words, worker_environment))
        _until_answered(ground)
        yield


def _web_command(port: int) -> list[str]:
    # The image's own settings of gunicorn; what is said here goes before them.
    own = ["-c", "python:rowhouse.gunicorn"] if importlib.util.find_spec("rowhouse.gunicorn") else []
    return [
        "-m", "gunicorn", *own, "rowhouse.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", str(WEB_PROCESSES),
        "--threads", str(WEB_THREADS), "--log-level", "warning", "--no-control-socket",
    ]  # fmt: skip


@contextmanager
def _running(ground: Ground, part: str, words: list[str], more: dict[str, str]) -> Iterator[None]:
    log = ground.folder / f"{part}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            words, cwd=ROOT, env=ground.environment | more, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    ground.roots[part] = process.pid
    try:
        yield
        if process.poll() is not None:
            sys.exit(f"The {part} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    finally:
        ground.roots.pop(part)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said = log.read_text(errors="replace")
        if "ERROR" in said or "Traceback" in said:
            print(f"The {part} said:\n{said[-4000:]}", file=sys.stderr)


def _until_answered(ground: Ground) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ground.port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"Nobody answered on port {ground.port}:\n{(ground.folder / 'web.log').read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it ended meanwhile
            continue
        for child in children:
            found += _family(int(child))
    return found


def _own_mb(pid: int) -> tuple[float, float]:
    """Return a process's Anonymous and Pss_Anon in MB; zeros if it ended meanwhile."""
    try:
        said = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0, 0.0
    found = dict(re.findall(r"^(Anonymous|Pss_Anon):\s+(\d+) kB", said, re.MULTILINE))
    return int(found.get("Anonymous", 0)) / 1024, int(found.get("Pss_Anon", 0)) / 1024


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS
