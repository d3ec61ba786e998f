"""Ten thousand random tasks of fifty tenants, with faults; the server's log says in whose schema each statement ran.

The tenants are alike to the last primary key, the workers serve all of them over few connections, and what
goes wrong goes wrong at the worst moment. Then leaks are planted, and the same check has to find every one.
The scenario restarts the ground's server at both ends, because only a restart lets it log everything.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from benchmarks.faults.isolation_log import Checker, Report, entry_of

if TYPE_CHECKING:
    from benchmarks.faults.ground import Ground
    from core.tenancy import TenantRef

# What a task may touch in `public`, and nothing else of it.
SHARED = ("jobs_job", "jobs_tenantshare", "django_q_ormq")


class Violated(AssertionError):
    """A task reached beyond its tenant, or a planted leak was not seen."""


@dataclass(frozen=True, slots=True)
class Found:
    """What log and tables showed: `leaks` of honest tasks, and which plants were seen."""

    report: Report
    leaks: list[str]
    caught: set[int]


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Run the scenario.

    :raises Violated: with the seed and the first facts.
    """
    from django.db import connections  # noqa: PLC0415 -- after the settings

    from benchmarks.faults.isolation_kinds import installed  # noqa: PLC0415 -- after the settings
    from benchmarks.faults.isolation_plants import PLANTS, plant_all  # noqa: PLC0415 -- after the settings
    from benchmarks.faults.isolation_play import LONG, SHORT, Play  # noqa: PLC0415 -- after the settings
    from benchmarks.faults.isolation_server import telling, wait_until_told  # noqa: PLC0415 -- the same
    from benchmarks.faults.isolation_tenants import make_tenants  # noqa: PLC0415 -- after the settings

    size = SHORT if short else LONG
    started = time.monotonic()
    tenants = make_tenants(ground, size.tenants, prefix=f"iso-{seed}")
    connections.close_all()
    with tempfile.TemporaryDirectory(prefix="rowhouse-isolation-") as folder, telling(ground.server) as log:
        _say(started, f"{len(tenants)} tenants, {size.tasks} tasks, seed {seed}")
        with installed(Path(folder) / "once"):
            play = Play(size, tenants, Random(seed), Path(folder))
            play.run()
            _say(started, f"done, {play.crew.deaths} workers died, {play.crew.cuts} sessions were cut")
            planted = plant_all(tenants)
        connections.close_all()
        wait_until_told(ground.server, log)
        found = _examine(log, tenants, planted)
        _say(started, f"{log.stat().st_size >> 20} MiB of log read")
        connections.close_all()
    missed = [plant.name for number, plant in enumerate(PLANTS) if number not in found.caught]
    unseen = sorted(play.tasks - found.report.jobs)
    for what, facts in (
        ("leaks", found.leaks),
        ("plants not seen", missed),
        ("tasks not in the log", unseen),
    ):
        if facts:
            raise Violated(f"seed {seed}: {len(facts)} {what}, as {facts[:3]}")
    report = found.report
    return {
        "isolation_tasks": size.tasks,
        "isolation_tenants": size.tenants,
        "isolation_statements": report.statements + report.shared,
        "isolation_shared_statements": report.shared,
        "isolation_plans": report.plans,
        "isolation_sessions": report.sessions,
        "isolation_leaks": len(found.leaks),
        "planted_leaks": len(PLANTS),
        "planted_leaks_caught": len(found.caught),
        "kills": play.crew.deaths,
        "isolation_sessions_cut": play.crew.cuts,
        "isolation_retries": play.retries,
        "isolation_seconds": round(time.monotonic() - started, 1),
    }


def _examine(log: Path, tenants: Sequence[TenantRef], planted: dict[int, int]) -> Found:
    """Hold the server's log and the tenants' tables against whose the tasks were."""
    from benchmarks.faults.isolation_tenants import wrong_rows  # noqa: PLC0415 -- after the settings

    checker = Checker({tenant.slug: tenant.schema for tenant in tenants}, SHARED)
    with log.open(encoding="utf-8") as lines:
        report = checker.read(map(entry_of, lines)).finish()
    wrong = [(one.job, str(one)) for one in report.violations] + wrong_rows(tenants)
    return Found(
        report,
        [what for job, what in wrong if job not in planted],
        {planted[job] for job, _what in wrong if job in planted},
    )


def _say(started: float, what: str) -> None:
    print(f"isolation, {time.monotonic() - started:.0f} s: {what}", file=sys.stderr, flush=True)
