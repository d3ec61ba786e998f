"""`worker`: the processes that do background work, made so that any of them may die at any moment.

Four sorts of processes: this one (main), the queue library's sentinel, and its pusher, monitor and workers.

* **Crash-only.** A worker that dies unexpectedly may hold a lock of the queues between the processes, and the
  library would then hang for ever while looking well. So any unexpected death ends the whole family with exit
  code 70, and whatever restarts it (Kubernetes, systemd, `demo`) gets a fresh one; jobs lose nothing by it.
  The family is one process group, so that none of it outlives the sentinel; main watches the sentinel, the
  sentinel watches main and the age of each running slice's beat (a hung process is killed from outside).
* **The tick** (hourly work, dead workers' jobs, missing bells) runs in main, between its looks at the
  sentinel, on a connection of its own. Every worker everywhere ticks; the database lets each thing happen
  once. So no scheduler can be down alone, and no row of the library says which function to run.
* **A folder of its own** (`--folder`), locked by every process of the family. When the last is dead the lock is
  free, and whoever starts there, or ticks beside it, queues the dead family's jobs again at once; only jobs of
  a machine that is gone wait for their lease to run out.
* **Room for others.** One process of the pool takes no import; and while all work and a tenant waits, slices
  end after a second. Processes of the pool are nice, and while people are served no statement of a slice is spread
  over several of the server's processors.
* **Leaving.** SIGTERM or SIGINT raises the drain flag: slices return at their next look at the time left, no
  new one begins, exit code 0. A long statement has ROWHOUSE_LEAVE_SECONDS, then it is stopped and its job given
  back. `touch <folder>/drain` (a preStop hook) does the same without the exit.
* **Beats** for `rowhouse probe`: `main`, `sentinel`, `pusher` and `slice-<pid>` in the folder.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection, connections
from django_q import cluster as library

from core import metrics_folder, metrics_server
from core.errors import RowhouseError
from core.tenancy import leave_tenant
from jobs import claim, doorbell, engine, heartbeat, signs
from jobs.limits import lease_seconds, tick_seconds

logger = logging.getLogger(__name__)
CRASHED = 70
RECYCLED = -2
LOOK_SECONDS = 0.25
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
TIDY_SECONDS = 600.0


class CrashOnly(library.Sentinel):
    """The library's sentinel, which replaces recycled workers and nothing else."""

    def start(self) -> None:
        os.setpgrp()  # the family: ended as a whole, and out of the terminal's reach
        os.nice(settings.ROWHOUSE_WORKER_NICE)  # main does not: it ticks, and beats, on time
        # Main alone is asked to leave. Whoever asks all at once, as systemd does, must not end slices.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.register_at_fork(after_in_child=die_with_parent)
        super().start()

    def reincarnate(self, process: Any) -> None:
        if process not in self.pool or int(process.timer.value) != RECYCLED:
            logger.error("A process of the pool died; the worker ends and wants to be restarted")
            end_family()
        super().reincarnate(process)

    def guard(self) -> None:
        Thread(target=self.watch, name="watch", daemon=True).start()
        super().guard()

    def watch(self) -> None:
        """End the family when main is gone, or when a slice has been silent for longer than its lease."""
        while os.getppid() == self.parent_pid and heartbeat.oldest_slice_seconds() < lease_seconds() + 5:
            sleep(LOOK_SECONDS)
        end_family()


def die_with_parent() -> None:
    """Have the kernel kill this process when the sentinel ends, where the kernel can: main may be dead as well."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_family() -> None:
    """Kill every process of the sentinel's group, this one included."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


library.Sentinel = CrashOnly


class Command(BaseCommand):
    """Start the pool, tick, and leave when asked."""

    help = "Do background work until SIGTERM."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workers", type=int, help="processes that work (default: the setting)")
        parser.add_argument(
            "--folder", type=Path, help="folder of the beats and the drain flag, this worker's own"
        )

    def handle(self, *args: Any, workers: int | None, folder: Path | None, **options: Any) -> None:
        try:
            dead = heartbeat.open_folder(folder or Path(settings.ROWHOUSE_RUN_DIR) / f"worker-{os.getpid()}")
        except RowhouseError as refused:
            raise CommandError(f"error[{refused.code}]: {refused.message}") from None
        if workers:
            engine.set_workers(workers)
        release(dead)
        connections.close_all()  # nothing of this process's may be shared by its children
        asked = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, asked)  # the library sets handlers of its own here
        pool = library.Cluster()
        for number in asked:
            signal.signal(number, leave)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
        try:
            pool.start()
        except RuntimeError:  # its sentinel died before it was ready
            crash(pool)
        tell_metrics()  # a thread: nothing is forked from here on
        watch(pool)


def leave(signum: int, frame: FrameType | None) -> None:
    """Note that the worker was asked to leave; the main loop does the rest."""
    heartbeat.leave()


def tell_metrics() -> None:
    """Answer Prometheus on a port of this worker's own, if one is set."""
    folder = metrics_folder.folder()
    if settings.ROWHOUSE_METRICS_PORT and folder:
        metrics_server.serve_if_possible(settings.ROWHOUSE_METRICS_PORT, folder)


def watch(pool: Any) -> None:
    """Do the duties until asked to leave, then wait for the pool's end; exit 70 when the sentinel ends by itself."""
    duties = [
        Duty(doorbell.tick, tick_seconds()),
        Duty(doorbell.look_for_others, 2 * LOOK_SECONDS),
        Duty(doorbell.tidy, TIDY_SECONDS, due=monotonic() + TIDY_SECONDS / 10),
    ]
    is_leaving = False
    while pool.sentinel.is_alive():
        heartbeat.beat("main")
        if not is_leaving and heartbeat.is_leaving():
            is_leaving = True
            Thread(
                target=pool.stop_event.set, daemon=True
            ).start()  # blocks if the sentinel died waiting for it
        for duty in duties if not is_leaving else ():
            duty.do_when_due()
        sleep(LOOK_SECONDS)
    if is_leaving and pool.sentinel.exitcode == 0:
        quietly(lambda: signs.take_back(heartbeat.family()))
        sys.exit(0)
    crash(pool)


def crash(pool: Any) -> NoReturn:
    """End what is left of the family and say that a fresh one is wanted."""
    with suppress(ProcessLookupError):  # nobody of the family is left
        os.killpg(pool.sentinel.pid, signal.SIGKILL)
    release(heartbeat.family())
    sys.exit(CRASHED)


@dataclass(slots=True)
class Duty:
    """What the main process does every so many seconds."""

    act: Callable[[], object]
    seconds: float
    due: float = 0.0

    def do_when_due(self) -> None:
        if monotonic() >= self.due:
            quietly(self.act)
            self.due = monotonic() + self.seconds


def release(family: str) -> None:
    """Queue again what a family held that is dead; if the database is away, its leases run out."""
    quietly(lambda: claim.release_family(family))
    quietly(lambda: signs.take_back(family))


def quietly(act: Callable[[], object]) -> None:
    """Act in `public`; a database that is away is tried again next time."""
    leave_tenant()
    try:
        act()
    except (DatabaseError, InterfaceError):
        logger.warning("The database did not answer the worker's look for work", exc_info=True)
        connection.close()
