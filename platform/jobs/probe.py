"""`rowhouse probe`: is the worker of a folder alive? Reads its signs of life and starts no Django.

Kubernetes asks every few seconds, so it must cost next to nothing; it knows the worker's folder and nothing
else. The standard library alone may be imported here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

# Seconds of silence after which a process counts as hung. The pusher may wait for a database that restarts.
MOST_SILENT = {"main": 15.0, "sentinel": 15.0, "pusher": 60.0}
SLICE_GRACE_SECONDS = 30.0  # after its lease the worker's own watchdog should have ended it


class Silent(Exception):
    """The worker is not alive; the message says what is wrong and what to do."""


def ages(folder: Path) -> dict[str, float]:
    """Return how many seconds ago each process of the worker gave its last sign of life.

    :raises Silent: one that must give them was silent for too long, or gave none yet.
    """
    if not (folder / "lock").exists():
        raise Silent(f"No worker has started in {folder}. Name its folder with --folder.")
    found = {file.name: _age(file) for file in folder.iterdir() if _is_sign(file.name)}
    if (folder / "leaving").exists():  # the others end one by one, as they should
        found = {name: age for name, age in found.items() if name == "main"}
    elif missing := sorted(MOST_SILENT.keys() - found.keys()):
        raise Silent(f"{', '.join(missing)} gave no sign of life in {folder} yet; the worker is starting.")
    for name, age in found.items():
        most = MOST_SILENT.get(name, _lease_seconds() + SLICE_GRACE_SECONDS)
        if age < -1:  # stamped before the machine's last start
            raise Silent(
                f"{name} gave its last sign of life before this machine started. Restart the worker."
            )
        if age > most:
            raise Silent(
                f"{name} has been silent for {age:.0f} s, {most:.0f} s are allowed. Restart the worker."
            )
    return found


def _is_sign(name: str) -> bool:
    return name in MOST_SILENT or name.startswith("slice-")


def _age(file: Path) -> float:
    try:
        return monotonic() - file.stat().st_mtime  # stamped by the same clock: jobs.heartbeat
    except FileNotFoundError:  # a slice that has just ended
        return 0.0


def _lease_seconds() -> float:
    return float(os.environ.get("ROWHOUSE_JOB_LEASE_SECONDS", "30"))


def _folders(given: Path | None) -> list[Path]:
    if given:
        return [given]
    data = os.environ.get("ROWHOUSE_DATA", ".rowhouse")
    run = Path(os.environ.get("ROWHOUSE_RUN_DIR") or Path(data) / "run")
    return sorted(run.glob("worker-*")) or [run]


def main(arguments: Sequence[str]) -> int:
    """Print how the worker stands; return 0 when it is alive, 1 when it is not."""
    parser = argparse.ArgumentParser("rowhouse probe", description="Say whether a worker is alive.")
    parser.add_argument(
        "--folder", type=Path, help="the worker's folder (default: every one in the run folder)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    workers: dict[str, dict[str, float]] = {}
    try:
        for folder in _folders(options.folder):
            workers[str(folder)] = {
                name: max(0.0, round(age, 1)) for name, age in sorted(ages(folder).items())
            }
    except Silent as silent:
        sys.stderr.write(f"error[worker-silent]: {silent}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps({"alive": True, "workers": workers}) + "\n")
    else:
        for name, found in workers.items():
            signs = ", ".join(f"{who} {age} s ago" for who, age in found.items())
            sys.stdout.write(f"{name}: {signs}\n")
    return 0
