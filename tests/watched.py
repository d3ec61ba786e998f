"""Web, worker and Prometheus as they run in production, on a database of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.conftest import free_port
from tests.source import ROOT

PATIENCE_SECONDS = 90
ALERTS = ROOT / "helm" / "rowhouse" / "files" / "alerts.yaml"
DASHBOARD = ROOT / "helm" / "rowhouse" / "files" / "dashboard.json"
ROWHOUSE = (sys.executable, "-m", "rowhouse")
GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi")
CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: rowhouse
    static_configs: [{{targets: [{targets}]}}]
"""


def until[T](found: Callable[[], T | None], said: Callable[[], str] = str) -> T:
    """Wait until something is there and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if value := found():
            return value
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)


def get(port: int, path: str, *, host: str = "10.1.2.3", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a page."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        link.request("GET", path, headers={"Host": host, **headers})
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        link.close()


@dataclass
class Watched:
    """A web and perhaps a worker, what they wrote, and where they tell their metrics."""

    url: str
    folder: Path
    environment: dict[str, str]
    web_port: int = 0
    metrics_port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def command(self, *words: str) -> dict[str, Any]:
        """Run one of our commands and return what it says as JSON."""
        done = subprocess.run(
            [*ROWHOUSE, *words, "--json"], env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def sql(self, *statements: str) -> list[Any]:
        """Run statements as the server's own superuser, and return what the last one found."""
        link = psycopg2.connect(self.url)
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            link.close()

    def start(self, name: str, *command: str, **variables: str) -> int:
        """Start a process with a metrics port of its own, and return that port."""
        port = free_port()
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**self.environment, "ROWHOUSE_METRICS_PORT": str(port), **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return port

    def start_web(self, **variables: str) -> None:
        """Start the web as the image does, and wait until it is ready."""
        self.web_port = free_port()
        self.metrics_port = self.start(
            "web", *GUNICORN, ROWHOUSE_WEB_BIND=f"127.0.0.1:{self.web_port}", **variables
        )
        until(lambda: self._answers("/healthz") == 200, lambda: self.log("web"))

    def _answers(self, path: str) -> int:
        assert self.processes["web"].poll() is None, self.log("web")
        with suppress(OSError):
            return get(self.web_port, path)[0]
        return 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the log's lines; each must be JSON."""
        return [json.loads(line) for line in self.log(name).splitlines() if line.strip()]

    def stop(self, name: str) -> int:
        """Ask a process to end and return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(40)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def watched(url: str, folder: Path, **variables: str) -> Iterator[Watched]:
    """Make an installation in an empty database; what was started in it ends with it."""
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "ROWHOUSE_DATA": str(folder / "data"),
        "ROWHOUSE_LOG_JSON": "true",
        "ROWHOUSE_METRICS_PORT": "0",
        "ROWHOUSE_SPARE_SCHEMAS": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
        **variables,
    }
    one = Watched(url, folder, environment)
    one.command("migrate_tenants")
    try:
        yield one
    finally:
        for name in list(one.processes):
            one.stop(name)


# ---- Prometheus


def programs() -> tuple[str, str] | None:
    """Return where prometheus and promtool are, installed if that is possible; None without them."""
    done = subprocess.run(
        ["sh", str(ROOT / "deploy" / "dev" / "prometheus.sh")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = done.stdout.split()
    return (found[0], found[1]) if len(found) == 2 else None


def hurried(rules: str) -> str:
    """Return rules that look at seconds where they look at minutes, so that a test need not wait."""
    shorter = re.sub(r"\bfor: \w+", "for: 1s", rules)
    return re.sub(r"\[\d+m\]", "[15s]", shorter)


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    port: int

    def _ask(self, path: str, **values: str) -> Any:
        status, _, body = get(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(values)}")
        told = json.loads(body)
        assert status == 200 and told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        """Return the alerts that call somebody now."""
        return {
            one["labels"]["alertname"] for one in self._ask("alerts")["alerts"] if one["state"] == "firing"
        }


@contextmanager
def prometheus(folder: Path, targets: list[int]) -> Iterator[Prometheus]:
    """Run a Prometheus with our alerts, in a hurry."""
    found = programs()
    assert found, "There is no Prometheus."
    folder.mkdir()
    (folder / "alerts.yaml").write_text(hurried(ALERTS.read_text()))
    (folder / "prometheus.yaml").write_text(
        CONFIGURATION.format(
            rules=folder / "alerts.yaml", targets=", ".join(f"'127.0.0.1:{port}'" for port in targets)
        )
    )
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                found[0], f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip

    def answers() -> bool:
        with suppress(OSError):
            return get(port, "/-/ready")[0] == 200
        return False

    try:
        until(answers, lambda: (folder / "prometheus.log").read_text())
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder / "data", ignore_errors=True)
