"""`rowhouse probe`: alive, silent, starting, leaving, and without Django."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from jobs import heartbeat, probe

ROOT = Path(__file__).resolve().parents[3]
ASK_AND_LOOK = """
import sys
from rowhouse.cli import main
sys.argv[1:] = ["probe", "--folder", sys.argv[1]]
try:
    main()
except SystemExit as end:
    assert end.code == 0
assert "django" not in sys.modules
"""


def beat_all() -> None:
    for name in ("main", "sentinel", "pusher"):
        heartbeat.beat(name)


def silence(file: Path, seconds: float) -> None:
    then = monotonic() - seconds
    os.utime(file, (then, then))


def asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = probe.main(["--folder", str(folder)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_worker_that_beats_is_alive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beat_all()
    assert probe.main(["--folder", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["alive"] is True
    assert sorted(said["workers"][str(folder)]) == ["main", "pusher", "sentinel"]


@pytest.mark.parametrize(
    ("name", "seconds"), [("main", 16), ("sentinel", 16), ("pusher", 61), ("slice-7", 61)]
)
def test_a_silent_process_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, seconds: float
) -> None:
    beat_all()
    (folder / name).touch()
    silence(folder / name, seconds)
    code, said = asked(folder, capsys)
    assert code == 1
    assert f"error[worker-silent]: {name} has been silent for {seconds} s" in said


def test_a_sign_from_before_the_machines_last_start_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beat_all()
    silence(folder / "main", -3600)
    code, said = asked(folder, capsys)
    assert (code, "before this machine started" in said) == (1, True)


def test_a_worker_that_starts_is_not_alive_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heartbeat.beat("main")
    assert asked(folder, capsys)[0] == 1
    assert "the worker is starting" in asked(folder, capsys)[1]


def test_a_worker_that_leaves_needs_its_main_process_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beat_all()
    heartbeat.leave()
    silence(folder / "pusher", 600)
    assert asked(folder, capsys)[0] == 0
    silence(folder / "main", 600)
    assert asked(folder, capsys)[0] == 1


def test_where_no_worker_was_the_folder_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = asked(tmp_path, capsys)
    assert (code, "--folder" in said) == (1, True)


def test_the_probe_starts_no_django(folder: Path) -> None:
    beat_all()
    subprocess.run(
        [sys.executable, "-c", ASK_AND_LOOK, str(folder)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "platform")},
    )
