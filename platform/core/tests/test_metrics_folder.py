"""Where a family counts: its own folder, and those of dead families go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from core import metrics_server
from tests.source import ROOT
from tests.watched import get

COUNT = """
import sys
from core.metrics_folder import open_folder
folder = open_folder({run!r}, "worker") if {opens} else None
from core import metrics
metrics.JOBS_ENDED.labels("a.kind", "DONE").inc(2)
metrics.REQUESTS_IN_PROGRESS.inc()
print(folder or "", flush=True)
sys.stdin.read()
"""


def start(run: Path, *, folder: str = "") -> subprocess.Popen[str]:
    code = COUNT.format(run=run, opens=not folder).replace("PosixPath", "__import__('pathlib').Path")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
    if folder:
        environment["PROMETHEUS_MULTIPROC_DIR"] = folder
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def test_the_dead_are_added_up_and_leave_one_file(tmp_path):
    first = start(tmp_path)
    folder = Path(first.stdout.readline().strip())
    for _ in range(3):
        child = start(tmp_path, folder=str(folder))
        child.stdout.readline()
        end(child)
    server = metrics_server.serve(0, folder)
    try:
        for _ in range(2):  # a second look adds nothing
            told = get(server.server_port, "/metrics")[2].decode()
            assert 'rowhouse_jobs_ended_total{kind="a.kind",state="DONE"} 8.0' in told
            assert "rowhouse_requests_in_progress 1.0" in told
        assert sorted(one.name for one in folder.glob("counter_*")) == sorted(
            ["counter_0.db", f"counter_{first.pid}.db"]
        )
        assert get(server.server_port, "/")[0] == 404
    finally:
        server.shutdown()
        server.server_close()
        end(first)


def test_a_folder_goes_when_the_last_of_its_family_is_dead(tmp_path):
    first = start(tmp_path)
    left = Path(first.stdout.readline().strip())
    second = start(tmp_path)
    beside = Path(second.stdout.readline().strip())
    assert left.is_dir()  # its family lives
    end(first)
    third = start(tmp_path)
    last = Path(third.stdout.readline().strip())
    assert (left.exists(), beside.is_dir(), last.is_dir()) == (False, True, True)
    end(second)
    end(third)
