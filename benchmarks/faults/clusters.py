"""Whole nodes lost: every process of a real `rowhouse worker` killed at once while it works, then a new one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from random import Random

from benchmarks.faults.ground import Ground, kill_family

START_SECONDS = 40.0
LONGEST_SECONDS = 0.8  # of work before the kill


def play(ground: Ground, kills: int, dice: Random, look: Callable[[], None]) -> int:
    """Lose so many nodes, each at a random moment of its work; returns how many were lost at work.

    :raises AssertionError: a new worker did not take the work up.
    """
    lost = 0
    while lost < kills:
        folder = ground.folder / "nodes" / f"node-{dice.randrange(10**9)}"
        worker = ground.worker(folder=folder)
        until = time.monotonic() + START_SECONDS
        while not any(folder.glob("slice-*")):  # the beats of those that work
            look()
            assert worker.poll() is None, f"a worker ended by itself with {worker.returncode}"
            assert time.monotonic() < until, "a new worker did not take the work up"
            time.sleep(0.02)
        moment = time.monotonic() + dice.uniform(0, LONGEST_SECONDS)
        while time.monotonic() < moment:
            look()
            time.sleep(0.01)
        processes = kill_family(worker)
        ground.workers.remove(worker)
        lost += 1
        print(f"nodes: {lost} of {kills} lost, {processes} processes at once", file=sys.stderr)
    return lost
