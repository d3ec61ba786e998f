"""The processes that work while things are done to them: killed, cut off from the database, replaced."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from random import Random

from django.db import connection, connections

from jobs import doorbell

FORK = get_context("fork")
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM (
  SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rowhouse%%' AND pid <> pg_backend_pid()
   ORDER BY md5(pid::text || %s) LIMIT 1) victim"""


def work_on(stop: Path) -> None:
    """Answer the bell again and again on one connection, until the file `stop` appears."""
    while not stop.exists():
        doorbell.work()
        time.sleep(0.05)
    connections.close_all()


@dataclass(slots=True)
class Crew:
    """`size` processes at work until `dismiss`; `harm` does something to them now and then."""

    stop: Path
    size: int
    dice: Random
    kill_every: int  # tasks
    cut_every: int
    deaths: int = 0  # killed by us or by a task
    cuts: int = 0
    workers: list[ForkProcess] = field(default_factory=list)
    _next_kill: float = 0.0
    _next_cut: float = 0.0

    def __post_init__(self) -> None:
        self._next_kill, self._next_cut = self.kill_every, self.cut_every

    def fill(self) -> None:
        """Replace who died."""
        alive = [worker for worker in self.workers if worker.is_alive()]
        self.deaths += len(self.workers) - len(alive)
        self.workers = alive
        while len(self.workers) < self.size:
            connections.close_all()  # a child must not end its parent's session
            worker = FORK.Process(target=work_on, args=(self.stop,), daemon=True)
            worker.start()
            self.workers.append(worker)

    def harm(self, done: int) -> None:
        """Kill a worker or end its session, by how many tasks are done: a slow machine sees no more of it."""
        if done >= self._next_kill:
            victim = self.dice.choice(self.workers)
            if victim.pid is not None:
                os.kill(victim.pid, signal.SIGKILL)
                victim.join()
            self._next_kill = done + self.kill_every * self.dice.uniform(0.5, 1.5)
        if done >= self._next_cut:
            with connection.cursor() as cursor:
                cursor.execute(TERMINATE, [str(self.dice.random())])
                self.cuts += cursor.rowcount
            self._next_cut = done + self.cut_every * self.dice.uniform(0.5, 1.5)

    def dismiss(self) -> None:
        """Let everybody finish what he is at; kill whoever does not."""
        self.stop.touch()
        for worker in self.workers:
            worker.join(30)
            if worker.is_alive():
                worker.kill()
                worker.join()
        self.workers = []
