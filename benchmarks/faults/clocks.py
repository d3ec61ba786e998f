"""Workers whose clock is wrong, and whole families that stand still for longer than their leases.

What workers hold is held by the database's clock alone, so neither loses or doubles anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.faults.ground import family_of
from benchmarks.faults.processes import YARD_WORKERS, Yard, until

Figures = dict[str, int | float]
SKEW_SECONDS = 600
# Loaded by the interpreter itself, before anything asks for the time.
CLOCK = """
import os, time
import django.utils.timezone as zone
from datetime import UTC, datetime, timedelta
shift = int(os.environ["FAULT_CLOCK_SECONDS"])
true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + shift
time.time_ns = lambda: true_time_ns() + shift * 10**9
zone.now = lambda: datetime.now(tz=UTC) + timedelta(seconds=shift)
"""


def clocks(yard: Yard) -> Figures:
    """Workers ten minutes ahead and behind, beside a right one: jobs once, hourly work once and not too early."""
    folder = yard.folder / "clock"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(CLOCK)
    ahead, behind = (_clock(folder, seconds) for seconds in (SKEW_SECONDS, -SKEW_SECONDS))
    schemas = [ref.schema for ref in yard.refs]
    last = yard.ground.sql("SELECT coalesce(max(id), 0) FROM jobs_job")[0][0]
    with yard.workers(ahead, behind, {}):
        jobs = yard.submit(12, steps=6, seconds=0.15)
        for _ in range(2):  # the second time the hour has its job already
            _pass_an_hour(yard, schemas)
        yard.finish(jobs)
        hourly = (
            "SELECT schema, target, count(*), min(state) = 'DONE' FROM jobs_job WHERE kind = 'exporter.run'"
            " AND schema = ANY(%s) GROUP BY 1, 2"
        )
        until(lambda: all(row[3] for row in yard.ground.sql(hourly, schemas)), "the end of the hourly work")
        slots = yard.ground.sql(hourly, schemas)
    assert {schema for schema, *_ in slots} == set(schemas) and {row[2] for row in slots} == {1}, slots
    attempts = yard.ground.sql("SELECT count(*) FROM jobs_job WHERE id > %s AND attempts > 0", last)[0][0]
    assert attempts == 0, "wrong clocks cost attempts"
    return {"skewed_workers": 2, "skewed_jobs": len(jobs)}


def _pass_an_hour(yard: Yard, schemas: list[str]) -> None:
    """Let hourly work be due in a moment, and see that nobody makes it before."""
    yard.ground.sql(
        "UPDATE jobs_tenantshare SET next_hour_at = statement_timestamp() + interval '3 s'"
        " WHERE schema = ANY(%s)",
        schemas,
    )
    due = yard.ground.sql("SELECT max(next_hour_at) FROM jobs_tenantshare WHERE schema = ANY(%s)", schemas)[
        0
    ][0]
    passed = (
        "SELECT bool_and(next_hour_at > %s), statement_timestamp() < %s FROM jobs_tenantshare"
        " WHERE schema = ANY(%s)"
    )

    def has_passed() -> bool:
        is_passed, is_early = yard.ground.sql(passed, due, due, schemas)[0]
        assert not (is_passed and is_early), "a clock that is ahead made hourly work too early"
        return bool(is_passed)

    until(has_passed, "the hourly work of every tenant")


def _clock(folder: Path, seconds: int) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong, after a look that it is."""
    env = {
        "FAULT_CLOCK_SECONDS": str(seconds),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]),
    }
    code = "import time; from core.clock import now; print(time.time(), now().timestamp())"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, check=True, capture_output=True, text=True
    )
    off = [abs(float(each) - time.time() - seconds) for each in told.stdout.split()]
    assert max(off) < 30, f"the clock of the trial is not wrong: {told.stdout}"
    return env


def frozen(yard: Yard) -> Figures:
    """A whole family stands still for longer than its leases, others take over, and it comes back."""
    with yard.workers({}, may_die=True) as (family,):  # whoever was silent for that long may also give up
        jobs = yard.submit(4, steps=3, seconds=0.8)
        until(lambda: len(family.working()) == YARD_WORKERS, "slices in every process")
        time.sleep(0.2)
        still = [family.process.pid, *family_of(family.process.pid)]
        for pid in still:
            os.kill(pid, signal.SIGSTOP)
        held = yard.ground.sql("SELECT id FROM jobs_job WHERE state = 'RUNNING' AND id = ANY(%s)", jobs)
        try:
            with yard.workers({}):
                yard.finish(jobs)
        finally:
            for pid in reversed(still):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        until(lambda: not family.working() or family.process.poll() is not None, "the end of frozen slices")
    return {"frozen_families": 1, "fenced_slices": len(held)}
