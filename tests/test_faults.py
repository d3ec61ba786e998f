"""The short form of the fault harness: hundreds of accidents in about a minute, and nothing lost, twice or stuck."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from tests.source import ROOT

PATIENCE_SECONDS = 600


def play(*names: str) -> dict[str, Any]:
    """Run scenarios in a process and on a server of their own; returns the figures of the last line."""
    seed = os.environ.get("ROWHOUSE_SEED", str(random.randrange(10**4)))
    print(f"seed {seed}")  # noqa: T201 -- to repeat a failure
    command = [
        sys.executable,
        "-m",
        "benchmarks.faults",
        "--short",
        "--seed",
        seed,
        "--only",
        ",".join(names),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.mark.slow
@pytest.mark.case("I04", "I08", "I13")
def test_whatever_dies_nothing_is_lost_or_done_twice_and_workers_without_the_fence_are_caught():
    figures = play("storm", "broken")
    assert (figures["lost"], figures["doubled"], figures["stuck"]) == (0, 0, 0)
    assert figures["kills"] > 5 and figures["cluster_kills"] > 0 and figures["pg_restarts"] > 0
    assert figures["storm"]["imports"] > 0 and figures["storm"]["exports"] > 0
    assert figures["broken"]["broken_doubled"] > 0


@pytest.mark.slow  # whatever the slots bring is tested without deaths in exporter/tests/test_schedule.py
def test_each_hour_of_each_tenant_is_exported_once_by_workers_that_are_killed():
    figures = play("hours")["hours"]
    assert figures["runs"] == figures["slots"] == 48
    assert figures["files"] + figures["still_held"] == 2 * 48
    assert figures["kills"] > 3
