"""Forked workers that live until their fate, or until somebody kills them, and are replaced at once.

Forked and not started: a new one works after milliseconds, so thousands of deaths fit into minutes. They run
what a process of the product's own pool runs, without the library in between.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

import polars  # noqa: F401 -- slow to import; a fork has it already
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections

from benchmarks.faults import points
from core.tenancy import leave_tenant
from jobs import doorbell

SKEW_SECONDS = 600
SKEWED_PART = 0.15
IDLE_SECONDS = 0.03
TICKS_PART = 0.1  # of the rounds; the product's workers tick by the clock
Prepare = Callable[[Random], None]


@dataclass(slots=True)
class Crew:
    """`size` workers, always. `faults`: they have fates; else they are healthy."""

    size: int
    seed: str
    events: Path
    faults: bool = True
    lease_seconds: int = 1
    prepare: Prepare | None = None  # called in each new worker: a broken variant is made here
    born: int = 0
    kills: int = 0
    peak_mb: float = 0.0
    _alive: dict[int, int] = field(default_factory=dict)
    _frozen: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Replace the dead, wake the frozen whose lease is over, and fill up to `size`."""
        for pid in list(self._alive):
            self._look_at(pid)
        for pid, until in list(self._frozen.items()):
            if time.monotonic() >= until:
                self._wake(pid)
        while len(self._alive) < self.size:
            self._fork()

    def _look_at(self, pid: int) -> None:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not found:
            return
        if os.WIFSTOPPED(status):
            self._frozen[pid] = time.monotonic() + self.lease_seconds + 0.8
            return
        del self._alive[pid]
        self._frozen.pop(pid, None)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
            f"a worker ended by itself (status {status}, seed {self.seed}); its traceback is above"
        )
        self.kills += 1

    def _wake(self, pid: int) -> None:
        del self._frozen[pid]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def strike(self, dice: Random) -> None:
        """Kill one of them, whatever it is doing."""
        os.kill(dice.choice(list(self._alive)), signal.SIGKILL)

    def dismiss(self) -> None:
        """End them all, after the frozen have had a second to do what they were about to do."""
        if self._frozen:
            for pid in list(self._frozen):
                self._wake(pid)
            time.sleep(1.0)
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
        for pid in self._alive:
            os.waitpid(pid, 0)
        self._alive.clear()
        self.peak_mb = max(self.peak_mb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)

    def _fork(self) -> None:

        connections.close_all()  # nothing of this process's may be shared by its children
        sys.stderr.flush()
        self.born += 1
        pid = os.fork()
        if not pid:
            self._live(self.born)
        self._alive[pid] = self.born

    def _live(self, number: int) -> NoReturn:
        try:
            dice = Random(f"{self.seed}-{number}")
            random.seed(f"{self.seed}-{number}")  # a fork would draw what its brothers draw
            self._become_worker(dice)
            _work_for_ever(dice)
        except BaseException:  # noqa: BLE001 -- the parent hears of it by the exit code
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _become_worker(self, dice: Random) -> None:

        settings.ROWHOUSE_JOB_LEASE_SECONDS = self.lease_seconds
        if self.faults:
            points.install(points.Hand(dice, self.events))
            if dice.random() < SKEWED_PART:
                points.skew_clock(dice.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        if self.prepare is not None:
            self.prepare(dice)


def _work_for_ever(dice: Random) -> NoReturn:

    while True:
        doorbell.work()
        if dice.random() < TICKS_PART:
            leave_tenant()
            try:
                doorbell.tick()
            except (DatabaseError, InterfaceError):  # as the worker command takes it
                connection.close()
        time.sleep(IDLE_SECONDS)
