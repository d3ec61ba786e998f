"""One database and one storage, and the processes of any releases that work on them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.fleet.releases import Release, python

SEED = Path(__file__).with_name("seed.py")
START_SECONDS = 120
LEAVE_SECONDS = 60
LEASE_SECONDS = 5
# What these processes must not inherit from the tests or from whoever starts this.
OWN = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH")


def until[T](look: Callable[[], T], what: str, seconds: float = START_SECONDS) -> T:
    """Return what `look` finds, once it finds something.

    :raises AssertionError: it finds nothing within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found


@dataclass(slots=True)
class Process:
    """A running web server or worker of one release."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def said(self) -> str:
        """Return what it wrote to its output."""
        return self.log.read_text(errors="replace")

    def leave(self) -> None:
        """Ask it to end, as Kubernetes does, and wait for it.

        :raises AssertionError: it ended otherwise than well.
        """
        self.popen.send_signal(signal.SIGTERM)
        code = self.popen.wait(LEAVE_SECONDS)
        assert code == 0, f"{self.name} ended with {code}: {self.said()[-2000:]}"

    def kill(self) -> None:
        """Kill it and all its children, as a machine that loses power does."""
        if self.popen.poll() is None:
            for pid in [*descendants(self.popen.pid), self.popen.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.popen.wait()


def descendants(pid: int) -> list[int]:
    """Return the process ids below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += [*descendants(int(child)), int(child)]
    return found


@dataclass
class Site:
    """Where the platform runs. `url` is DATABASE_URL; `ports` are those a load balancer would send people to.

    `eyes` is how the harness itself reaches the database, if not so.
    """

    url: str
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    eyes: str = ""

    @contextmanager
    def opened(self) -> Iterator[Site]:
        """Give the site, and kill whatever of it still runs at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield self
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill every process."""
        self.ports.clear()
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def environment(self, release: Release, **more: str) -> dict[str, str]:
        """Return what a process of a release has in its environment."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in OWN and not name.startswith("ROWHOUSE_") and not name.startswith("PYTEST")
        }
        return {
            **kept,
            "PYTHONPATH": release.path(),
            "DATABASE_URL": self.url,
            "ROWHOUSE_DATA": str(self.folder / "data"),
            "ROWHOUSE_SPARE_SCHEMAS": "0",
            "ROWHOUSE_TICK_SECONDS": "1",
            "ROWHOUSE_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "ROWHOUSE_ROUTING_SECONDS": "1",
            "ROWHOUSE_SIGN_INS_PER_MINUTE": "0",  # everybody signs in at once, from here
            "ROWHOUSE_BACKUP_HOURS": "0",
            "ROWHOUSE_LOG_LEVEL": "WARNING",
            **self.variables,
            **more,
        }

    # ---- commands

    def run(self, release: Release, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `rowhouse …` of a release to its end."""
        return self._call(release, [python(), "-m", "rowhouse", *arguments], more)

    def told(self, release: Release, *arguments: str, **more: str) -> Any:
        """Run a command with --json and return what it says.

        :raises AssertionError: it did not end well.
        """
        done = self.run(release, *arguments, "--json", **more)
        assert done.returncode == 0, f"{arguments}: {done.returncode} {(done.stderr or done.stdout)[-3000:]}"
        return json.loads(done.stdout)

    def seed(self, release: Release, **asked: Any) -> list[dict[str, Any]]:
        """Make tenants by the services of a release."""
        done = self._call(release, [python(), "-P", str(SEED), json.dumps(asked)], {})
        assert done.returncode == 0, done.stderr[-3000:]
        return list(json.loads(done.stdout))

    def call(self, release: Release, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python with a release's code to its end."""
        return self._call(release, [python(), *arguments], more)

    def _call(
        self, release: Release, command: list[str], more: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        # In the release's own folder: the interpreter looks there first.
        return subprocess.run(
            command,
            cwd=release.folder,
            env=self.environment(release, **more),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    # ---- processes

    def web(self, release: Release, host: str, **more: str) -> Process:
        """Start a web server of a release, and send people to it once it answers."""
        port = free_port()
        command = [
            python(), "-m", "gunicorn", "rowhouse.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1",
            "--threads", "4", "--log-level", "warning", "--no-control-socket", "--graceful-timeout", "30",
        ]  # fmt: skip
        process = self._start(f"web of {release.name}", release, command, more)
        process.port = port
        until(lambda: self._answers(process, host), f"an answer of {process.name}")
        self.ports.append(port)
        return process

    def _answers(self, process: Process, host: str) -> bool:
        assert process.popen.poll() is None, process.said()[-3000:]
        link = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
        try:
            link.request("GET", "/admin/login/", headers={"Host": host})
            return link.getresponse().status == 200
        except OSError:
            return False
        finally:
            link.close()

    def worker(self, release: Release, **more: str) -> Process:
        """Start a worker of a release, and wait until it is at work."""
        number = len(self.processes)
        folder = self.folder / "run" / f"worker-{number}"
        command = [python(), "-m", "rowhouse", "worker", "--folder", str(folder), "--workers", "2"]
        process = self._start(f"worker of {release.name}", release, command, more)
        until(lambda: (folder / "pusher").exists(), f"{process.name} at work")
        return process

    def _start(self, name: str, release: Release, command: list[str], more: dict[str, str]) -> Process:
        log = self.folder / f"{len(self.processes)}-{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                cwd=release.folder,
                env=self.environment(release, **more),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def retire(self, process: Process) -> None:
        """Send people elsewhere, then ask the process to end and wait for it."""
        if process.port in self.ports:
            self.ports.remove(process.port)
            time.sleep(0.5)  # what was sent there already arrives
        process.leave()
        self.processes.remove(process)

    # ---- the database

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement as the platform, and return its rows."""
        link = psycopg2.connect(self.eyes or self.url)
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            link.close()


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
