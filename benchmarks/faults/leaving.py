"""SIGTERM in the middle of work: exit code 0 within seconds, no slice done twice, the next worker goes on.

Each worker is asked to leave at a random moment of slices that sleep, of previews and merges of large imports and
of exports; some of them are the first process of a PID namespace, as in a container, and sometimes all processes
are asked at once, as systemd does. A trigger of the harness notes each move of a job: a slice that was begun
twice was redone. Others are asked while they start, or in the moment their sentinel dies.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections

from benchmarks.faults.ground import ROOT, Ground, family_of
from benchmarks.faults.processes import (
    CRASHED,
    Family,
    check_ledgers,
    children_of,
    lives,
    orders,
    submit_ledger,
    until,
)
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from exporter.models import ExportRun
from exporter.services import ExportBusy, request_export
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs import services
from jobs.models import Job

ROWS = {True: 10_000, False: 50_000}  # of a file, in the short form and the long one
LONGEST_SECONDS = 10.0
SLICES = (0.2, 4.0)
WORKERS = 2
ENVIRONMENT = {
    "ROWHOUSE_JOB_LEASE_SECONDS": "30",
    "ROWHOUSE_TICK_SECONDS": "5",
    "ROWHOUSE_WORKERS": str(WORKERS),
}
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
CYCLE = 5  # of each five workers one is the first process of its namespace, and of one all are asked
STARTING_SECONDS = (0.7, 3.0)  # before, the interpreter itself may not listen yet

WATCH = """
CREATE TABLE IF NOT EXISTS fault_moves (
  job bigint, kind text, step int, state text, at timestamptz DEFAULT clock_timestamp());
CREATE OR REPLACE FUNCTION fault_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO public.fault_moves (job, kind, step, state) VALUES (NEW.id, NEW.kind, NEW.step, NEW.state);
  RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER fault_moves AFTER UPDATE ON jobs_job FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION fault_note()"""
UNWATCH = """
DROP TRIGGER IF EXISTS fault_moves ON jobs_job;
DROP FUNCTION IF EXISTS fault_note;
DROP TABLE IF EXISTS fault_moves"""
REDONE = """
SELECT kind, job, step, count(*) FROM fault_moves WHERE state = 'RUNNING' GROUP BY 1, 2, 3 HAVING count(*) > 1"""


@dataclass(slots=True)
class Work:
    """What the workers are kept busy with: one tenant each of ledger jobs, imports and exports."""

    ledgers: TenantRef
    imports: TenantRef
    exports: TenantRef
    dataset: Dataset
    exported: Dataset
    dice: random.Random
    current: ImportJob | None = None
    rows: int = 0
    imported: int = 0
    export: ExportRun | None = None
    exports_done: int = 0

    def keep_up(self, *, is_last: bool = False) -> bool:
        """Submit what is missing, or nothing more at the end; return whether something is left to do."""
        with in_public():
            active = Job.objects.active().filter(schema=self.ledgers.schema).count()
        if not is_last and active < 2:
            submit_ledger(self.ledgers, steps=8, seconds=round(self.dice.uniform(*SLICES), 1))
        with in_tenant(self.imports):
            imports = self._import(is_last=is_last)
        with in_tenant(self.exports):
            exports = self._export(is_last=is_last)
        return bool(active) or imports or exports

    def _import(self, *, is_last: bool) -> bool:
        job = self.current
        if job is not None:
            job.refresh_from_db()
            assert not job.error, f"import {job.pk} ended: {job.error}"
            if job.state == "PREVIEW_SUCCEEDED":
                confirm_import(job=job, by=None)
                return True
            if job.state != "IMPORT_SUCCEEDED":
                return True
            self.imported, self.current = self.imported + 1, None
        if not is_last:
            file = orders(self.imported % 4 * self.rows, self.rows)
            self.current = create_import(dataset=self.dataset, file=file, name="orders.csv", by=None)
        return self.current is not None

    def _export(self, *, is_last: bool) -> bool:
        if self.export is not None:
            self.export.refresh_from_db()
            if self.export.state in ("FAILED", "CANCELLED"):
                raise AssertionError(f"export {self.export.pk} ended: {self.export.error}")
            if self.export.state != "SUCCEEDED":
                return True
            self.exports_done, self.export = self.exports_done + 1, None
        if not is_last:
            with suppress(ExportBusy):  # its file is there, its job still removes old ones
                self.export = request_export(by=None, datasets=[self.exported])
        with in_public():
            return Job.objects.active().filter(schema=self.exports.schema).exists()


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Ask worker after worker to leave, and look at what it left behind."""
    leaves, dice = 3 if short else 60, random.Random(seed)
    can_be_first = _has_namespaces()
    ledgers, imports, exports = refs = ground.tenants(3, "leaving")
    exported = _filled(ground, exports, 4 * ROWS[short])
    work = Work(ledgers, imports, exports, ground.dataset(imports), exported, dice, rows=ROWS[short])
    ground.sql(WATCH)
    seconds: list[float] = []
    first = 0
    try:
        for number in range(leaves):
            is_first = can_be_first and number % CYCLE == 2
            first += is_first
            seconds.append(_leave(ground, work, number, is_first=is_first, asks_all=number % CYCLE == 1))
            redone = ground.sql(REDONE)
            assert not redone, f"seed {seed}: redone after leave {number}: {redone}"
        _finish(ground, work)
        redone = ground.sql(REDONE)
        for number in range(1 if short else 6):
            for is_first in {False, can_be_first}:
                _leave_while_starting(ground, f"starting-{number}-{is_first:d}", dice, is_first=is_first)
            _leave_without_sentinel(ground, f"orphaned-{number}")
    finally:
        ground.sql(UNWATCH)
        connections.close_all()
    lost, doubled = check_ledgers(ground, refs)
    seconds.sort()
    longest = seconds[min(len(seconds) - 1, round(len(seconds) * 0.99))]
    facts = {
        "leaves": leaves, "leaves_as_first_process": first, "leave_p50_seconds": round(seconds[leaves // 2], 2),
        "leave_p99_seconds": round(longest, 2), "leave_max_seconds": round(seconds[-1], 2),
        "slices_redone": len(redone), "leave_imports": work.imported, "leave_exports": work.exports_done,
        "lost": lost, "doubled": doubled,
    }  # fmt: skip
    assert (len(redone), lost, doubled) == (0, 0, 0) and longest <= LONGEST_SECONDS, f"seed {seed}: {facts}"
    return facts


def _leave(ground: Ground, work: Work, number: int, *, is_first: bool, asks_all: bool) -> float:
    """Start a worker, ask it to leave while it works, and return how long that took."""
    folder = ground.folder / "leaving" / f"worker-{number}"
    process, main = _start(ground, folder, is_first=is_first)

    def works() -> bool:
        work.keep_up()
        return any(folder.glob("slice-*"))

    until(works, f"a slice of worker {number}")
    for _ in range(work.dice.randrange(1, 30)):  # at most 3 s
        work.keep_up()
        time.sleep(0.1 * work.dice.random())
    family = family_of(main)
    asked = time.monotonic()
    for pid in [main, *family] if asks_all else [main]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    code = process.wait(60)
    seconds = time.monotonic() - asked
    how = " as first process" if is_first else " when all were asked" if asks_all else ""
    print(f"leaving: worker {number} left{how} in {seconds:.2f} s", file=sys.stderr)
    assert code == 0, f"worker {number} left with exit code {code}; {folder}.log says why"
    assert not any(map(lives, family)), f"worker {number} left processes behind"
    left = _left_behind(ground)
    assert not left, f"worker {number} left jobs held or counted: {left}"
    return seconds


def _leave_while_starting(ground: Ground, name: str, dice: random.Random, *, is_first: bool) -> None:
    """Ask a worker to leave that has hardly begun. A first process ignores what it has no handler for."""
    process, main = _start(ground, ground.folder / "leaving" / name, is_first=is_first)
    moment = dice.uniform(*STARTING_SECONDS)
    time.sleep(moment)
    os.kill(main, signal.SIGTERM)
    try:
        code = process.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"asked to leave {moment:.1f} s after its start, {name} stays") from None
    assert code == 0, f"asked to leave {moment:.1f} s after its start, {name} ended with exit code {code}"


def _leave_without_sentinel(ground: Ground, name: str) -> None:
    """Ask a worker to leave in the moment its sentinel has died: main must not wait for an answer."""
    folder = ground.folder / "leaving" / name
    process, main = _start(ground, folder, is_first=False)
    family = Family(process, folder, WORKERS)
    until(family.is_complete, f"a whole family in {folder}")
    os.kill(family.roles["sentinel"], signal.SIGKILL)
    os.kill(main, signal.SIGTERM)
    try:
        code = process.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{name} waits for ever for its sentinel, which is dead") from None
    assert code == CRASHED and family.is_gone(), f"{name} ended with exit code {code}"


def _left_behind(ground: Ground) -> list[tuple[Any, ...]]:
    return ground.sql(
        "SELECT id, kind, state, attempts, lease, error FROM jobs_job WHERE slug LIKE 'leaving-%%' AND"
        " (state = 'RUNNING' OR attempts > 0 OR lease IS NOT NULL OR state = 'FAILED')"
    )


def _finish(ground: Ground, work: Work) -> None:
    """Let a last worker do the rest."""
    process = ground.worker(folder=ground.folder / "leaving" / "last", env=ENVIRONMENT)
    until(lambda: not work.keep_up(is_last=True), "the end of all work", 120)
    process.terminate()
    assert process.wait(30) == 0


def _filled(ground: Ground, ref: TenantRef, rows: int) -> Dataset:
    """Return a dataset with rows, for exports that take a while."""
    dataset = ground.dataset(ref)
    with in_tenant(ref):
        job = create_import(dataset=dataset, file=orders(0, rows), name="orders.csv", by=None)
        services.run_until_done(int(job.preview_job_id))
        confirm_import(job=job, by=None)
        job.refresh_from_db()
        services.run_until_done(int(job.merge_job_id))
    return dataset


def _has_namespaces() -> bool:
    """Return whether this machine lets us make a PID namespace, and say so if not."""
    if shutil.which(NAMESPACE[0]):
        tried = subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True)
        if tried.returncode == 0:
            return True
    print(
        "leaving: no PID namespaces on this machine, so no worker leaves as its first process",
        file=sys.stderr,
    )
    return False


def _start(ground: Ground, folder: Path, *, is_first: bool) -> tuple[subprocess.Popen[bytes], int]:
    """Start a worker and return what to wait for, and whom to ask."""
    if not is_first:
        process = ground.worker(folder=folder, env=ENVIRONMENT)
        return process, process.pid
    process = _start_first(ground, folder)
    return process, until(lambda: children_of(process.pid), "the namespace's first process")[0]


def _start_first(ground: Ground, folder: Path) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*NAMESPACE, sys.executable, "-m", "rowhouse", "worker", "--folder", str(folder)],
            env={**os.environ, **ENVIRONMENT},
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ground.workers.append(process)
    return process
