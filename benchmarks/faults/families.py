"""Real worker families, any of whose processes is killed: the work goes on with no manual act.

A small supervisor starts the command again whenever it exits, in the same folder or in a new one beside it, as
whatever runs it in production would. The victim is killed while slices run, with a backlog of several tenants
(their imports among it) or with a single job that the dead family holds. Measured is the time from the kill
to the next slice that a new family commits; the leases are as long as in production, so nobody waits for one.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db import connections

from benchmarks.faults.ground import Ground
from benchmarks.faults.processes import CRASHED, Family, check_ledgers, orders, submit_ledger, until
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs.models import Job

KINDS = ("main", "sentinel", "pusher", "monitor", "idle", "working")
LIMIT_SECONDS = 15.0
WORKERS = 4  # one more than the tenants keep busy, so that one is always idle
ENVIRONMENT = {
    "ROWHOUSE_JOB_LEASE_SECONDS": "30",
    "ROWHOUSE_TICK_SECONDS": "5",
    "ROWHOUSE_WORKERS": str(WORKERS),
}
NEW_FOLDER_EVERY = 3
ROWS = 20_000


class Supervisor:
    """Starts a worker again whenever it has ended, as a node would."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground, self.base, self.starts = ground, folder, 0
        self.folder = folder / "worker-0"
        self.family = self._start()

    def _start(self) -> Family:
        self.starts += 1
        return Family(self.ground.worker(folder=self.folder, env=ENVIRONMENT), self.folder, WORKERS)

    def look(self, *, elsewhere: bool) -> bool:
        """Start the worker again if it has ended, in the same folder or elsewhere; return whether it runs."""
        if self.family.process.poll() is None:
            return True
        if elsewhere:
            self.folder = self.base / f"worker-{self.starts}"
        self.family = self._start()
        return False

    def stop(self) -> int:
        self.family.process.terminate()
        return self.family.process.wait(30)


@dataclass(slots=True)
class Backlog:
    """Work that never ends: ledger jobs of two tenants and imports of a third."""

    ground: Ground
    refs: list[TenantRef]
    dataset: Dataset
    imported: int = 0
    current: ImportJob | None = None

    def keep_up(self) -> None:
        """Submit what is missing, and confirm the import whose preview is done."""
        for ref in self.refs[:2]:
            while len(self._active(ref)) < 2:
                submit_ledger(ref, steps=12, seconds=0.4)
        with in_tenant(self.refs[2]):
            self._import()

    def _import(self) -> None:
        if self.current is not None:
            self.current.refresh_from_db()
        if self.current is None or self.current.state == "IMPORT_SUCCEEDED":
            self.imported += self.current is not None
            self.current = create_import(
                dataset=self.dataset, file=orders(self.imported % 3 * ROWS, ROWS), name="orders.csv", by=None
            )
        elif self.current.state == "PREVIEW_SUCCEEDED":
            confirm_import(job=self.current, by=None)
        assert not self.current.error, f"import {self.current.pk} ended: {self.current.error}"

    def _active(self, ref: TenantRef) -> list[int]:
        with in_public():
            return list(Job.objects.active().filter(schema=ref.schema).values_list("pk", flat=True))

    def drain(self, look: Callable[[], object]) -> None:
        """Wait until all of it is done, and look for the records of the imports."""

        def is_done() -> bool:
            look()
            with in_tenant(self.refs[2]):
                if self.current is not None:
                    self.current.refresh_from_db()
                    if self.current.state == "PREVIEW_SUCCEEDED":
                        confirm_import(job=self.current, by=None)
                    elif self.current.state == "IMPORT_SUCCEEDED":
                        self.imported, self.current = self.imported + 1, None
            return self.current is None and not any(self._active(ref) for ref in self.refs)

        until(is_done, "the backlog's end", 120)
        table = f'"{self.refs[2].schema}".ds_{self.dataset.pk}'
        records = self.ground.sql(f"SELECT count(*) FROM {table}")[0][0]
        assert records == min(self.imported, 3) * ROWS, f"{records} records after {self.imported} imports"

    def slices(self) -> int:
        """Return how many slices of it were ever committed."""
        schemas = [ref.schema for ref in self.refs]
        return int(self.ground.sql("SELECT sum(step) FROM jobs_job WHERE schema = ANY(%s)", schemas)[0][0])


# ---- the scenario


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Kill each kind of process again and again, and measure how long the work stands still."""
    dice, kills = random.Random(seed), 1 if short else 20
    refs = ground.tenants(3, "family")
    ground.sql("UPDATE jobs_tenantshare SET cap = 1 WHERE schema = ANY(%s)", [ref.schema for ref in refs])
    backlog = Backlog(ground, refs, ground.dataset(refs[2]))
    supervisor = Supervisor(ground, ground.folder / "families")
    waits: dict[str, list[float]] = {name: [] for name in ("backlog", "own")}
    for with_others in (True, False):
        for number in range(kills * len(KINDS)):
            kind = KINDS[number % len(KINDS)]
            if (number // len(KINDS) + number * short) % 2 == with_others:  # each way half of the kills
                continue
            elsewhere = (number + with_others) % NEW_FOLDER_EVERY == 0
            seconds = _kill(supervisor, backlog, kind, dice, with_others=with_others, elsewhere=elsewhere)
            waits["backlog" if with_others else "own"].append(seconds)
            print(f"families: {kind} killed, {'backlog' if with_others else 'own job'} moves"
                  f"{' elsewhere' if elsewhere else ''} after {seconds:.2f} s", file=sys.stderr)  # fmt: skip
            assert seconds <= LIMIT_SECONDS, f"seed {seed}: {kind} killed, nothing moved for {seconds:.1f} s"
        backlog.drain(lambda: supervisor.look(elsewhere=False))
    assert supervisor.stop() == 0
    lost, doubled = check_ledgers(ground, refs)
    assert (lost, doubled) == (0, 0), f"seed {seed}: {lost} slices lost, {doubled} doubled"
    connections.close_all()
    every = [*waits["backlog"], *waits["own"]]
    return {
        "family_kills": len(every), "kills": len(every), "family_imports": backlog.imported,
        "backlog_p50_seconds": round(statistics.median(waits["backlog"]), 2),
        "backlog_max_seconds": round(max(every), 2),
        "own_job_p50_seconds": round(statistics.median(waits["own"]), 2),
        "own_job_max_seconds": round(max(waits["own"]), 2), "lost": lost, "doubled": doubled,
    }  # fmt: skip


def _kill(
    supervisor: Supervisor,
    backlog: Backlog,
    kind: str,
    dice: random.Random,
    *,
    with_others: bool,
    elsewhere: bool,
) -> float:
    """Kill a process of a family that works, and return the seconds to the first slice of the next family."""
    family = supervisor.family
    until(family.is_complete, f"a whole family in {family.folder}")
    if with_others:
        backlog.keep_up()
        slices = backlog.slices
    else:
        job = submit_ledger(backlog.refs[0], steps=4, seconds=0.5)
        slices = lambda: _steps(backlog.ground, job)  # noqa: E731 -- one of two ways to count
    before = slices()
    until(lambda: slices() > before, "a slice by the family that is about to die")
    time.sleep(dice.uniform(0, 0.3))
    victim = until(
        lambda: family.victim(kind) if family.working() else 0, f"a process of the kind {kind!r} in work"
    )
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    until(family.is_gone, f"the end of all of {family.roles}, {family.pool}", 10)
    code = family.process.wait(5)
    assert code == (-signal.SIGKILL if kind == "main" else CRASHED), f"{kind} killed: exit code {code}"
    before = slices()
    until(
        lambda: supervisor.look(elsewhere=elsewhere) and slices() > before,
        f"a slice after {kind}'s death",
        60,
    )
    seconds = time.monotonic() - killed
    if not with_others:
        until(lambda: _steps(backlog.ground, job) == 4, "the job's end")
    return seconds


def _steps(ground: Ground, job: int) -> int:
    return int(ground.sql("SELECT step FROM jobs_job WHERE id = %s", job)[0][0])
