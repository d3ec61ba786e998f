"""Imports, exports and ledgers under fire: workers killed, frozen and misled, the server restarted, nodes lost.

A seed repeats every choice; the moments are the machine's.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.faults import checker, clusters, driver
from benchmarks.faults.checker import Site
from benchmarks.faults.crew import Crew
from benchmarks.faults.ground import Ground
from benchmarks.faults.journal import Journal
from benchmarks.faults.points import POINTS

IMPATIENT_SECONDS = 0.3
SAMPLE_SECONDS = 0.5
CAP = 6  # jobs of one tenant at once: the dead hold their places until their lease is over
# A rest after a death is for people's servers; here it would be most of the time.
HURRY = """
UPDATE jobs_job SET not_before = statement_timestamp()
 WHERE state = 'QUEUED' AND not_before > statement_timestamp() + interval '0.2 s'"""
ACTIVE = "SELECT count(*) FROM jobs_job WHERE state IN ('QUEUED', 'RUNNING') AND schema = ANY (%s)"
TWO_AT_ONE_TARGET = """
SELECT schema, kind, target, count(*) FROM jobs_job WHERE state IN ('QUEUED', 'RUNNING')
 GROUP BY schema, kind, target HAVING count(*) > 1"""


@dataclass(frozen=True, slots=True)
class Measure:
    """How much of everything. `seconds` bounds the storm; a long one must have reached its kills by then."""

    tenants: int
    crew: int
    kills: int
    restarts: int
    cluster_kills: int
    seconds: float
    odd: int
    restart_every: float
    strikes_per_second: float = 4.0


SHORT = Measure(tenants=2, crew=4, kills=120, restarts=3, cluster_kills=2, seconds=20, odd=7, restart_every=4)
LONG = Measure(
    tenants=6, crew=10, kills=2000, restarts=22, cluster_kills=21, seconds=900, odd=21, restart_every=8
)
DRAIN_SECONDS = 120.0


@dataclass(slots=True)
class Storm:
    """One run: its parts and what it counted."""

    ground: Ground
    measure: Measure
    seed: int
    site: Site
    folder: Path
    crew: Crew
    dice: Random
    clocks: dict[str, float] = field(default_factory=dict)

    def is_due(self, what: str, seconds: float) -> bool:
        """Return whether this was last done so long ago, and note that it is done now."""
        if time.monotonic() < self.clocks.get(what, 0.0):
            return False
        self.clocks[what] = time.monotonic() + seconds
        return True

    def look(self) -> None:
        """Do what is always done: nobody rests, and one target has one job."""
        if self.is_due("hurry", IMPATIENT_SECONDS):
            self.ground.sql(HURRY)
        if self.is_due("sample", SAMPLE_SECONDS):
            assert not (two := self.ground.sql(TWO_AT_ONE_TARGET)), f"seed {self.seed}: {two}"

    def rage(self) -> None:
        """Kill and restart until there was enough of both."""
        measure, until = self.measure, time.monotonic() + self.measure.seconds
        last_restart = self.ground.restarts + measure.restarts
        self.is_due("restart", measure.restart_every)
        try:
            while self.crew.kills < measure.kills or self.ground.restarts < last_restart:
                self.crew.look()
                self.look()
                if self.is_due("strike", self.dice.expovariate(measure.strikes_per_second)):
                    self.crew.strike(self.dice)
                if self.ground.restarts < last_restart and self.is_due("restart", measure.restart_every):
                    self.ground.restart()
                if self.is_due("say", 10):
                    self.say()
                if time.monotonic() > until:
                    break
                time.sleep(0.01)
        finally:
            self.crew.dismiss()
        self.say()

    def drain(self, is_over: Callable[[], bool]) -> None:
        """Let healthy workers do the rest."""
        healthy = Crew(size=3, seed=f"{self.seed}-healthy", events=self.crew.events, faults=False)
        until = time.monotonic() + DRAIN_SECONDS
        schemas = [tenant.schema for tenant in self.site.tenants]
        try:
            while not is_over() or self.ground.sql(ACTIVE, schemas)[0][0]:
                healthy.look()
                self.look()
                if time.monotonic() > until:
                    break  # the check counts what is stuck
                time.sleep(0.05)
        finally:
            healthy.dismiss()

    def say(self) -> None:
        """Say how far it is."""
        jobs = dict(self.ground.sql("SELECT state, count(*) FROM jobs_job GROUP BY state"))
        print(
            f"storm: {self.crew.kills} kills, {self.ground.restarts} restarts of PostgreSQL, jobs {jobs}",
            file=sys.stderr,
        )


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Play it, then check everything.

    :raises AssertionError: an invariant is broken; with the seed and the facts.
    """
    storm = _scene(ground, SHORT if short else LONG, seed)
    people = _people(storm)
    began, restarts = time.monotonic(), ground.restarts
    driving = driver.start(people)
    ending = _Ending(driving)
    try:
        storm.rage()
        raged = time.monotonic() - began
        lost_nodes = clusters.play(ground, storm.measure.cluster_kills, storm.dice, storm.look)
        people.stop.touch()
        storm.drain(ending.has_come)
        assert ending.has_come(), f"seed {seed}: the driver waits for something that never ends"
    finally:
        if not ending.has_come():
            os.kill(driving, signal.SIGKILL)
            os.waitpid(driving, 0)
    assert ending.code == 0, f"seed {seed}: the driver died; its traceback is above"
    found = checker.check(storm.site)
    _tell(storm, found, raged, ground.restarts - restarts)
    if not short:
        assert storm.crew.kills >= storm.measure.kills, f"only {storm.crew.kills} kills"
    found.require_none(seed)
    return {
        "kills": storm.crew.kills,
        "cluster_kills": lost_nodes,
        "pg_restarts": ground.restarts - restarts,
        "lost": found.lost,
        "doubled": found.doubled,
        "stuck": found.stuck,
        "storm_seconds": round(raged, 1),
        "imports": found.seen["imports folded"],
        "exports": found.seen["export files read"],
        "ledger_rows": found.seen["ledger rows"],
        "points_missed": len(POINTS.keys() - _points_hit(storm)),
        "peak_mb": round(storm.crew.peak_mb),
    }


@dataclass(slots=True)
class _Ending:
    """Waits for the driver without waiting."""

    pid: int
    code: int | None = None

    def has_come(self) -> bool:
        if self.code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if found else None
        return self.code is not None


def _scene(ground: Ground, measure: Measure, seed: int) -> Storm:
    folder = ground.folder / f"storm-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    tenants = ground.tenants(measure.tenants, f"storm{seed}")
    # The same titles and the same keys everywhere: nothing but the schema keeps them apart.
    datasets = {
        tenant.slug: [ground.dataset(tenant, title).pk for title in ("Orders", "Returns")]
        for tenant in tenants
    }
    ground.sql("UPDATE jobs_tenantshare SET cap = %s WHERE slug LIKE %s", CAP, f"storm{seed}-%")
    return Storm(
        ground,
        measure,
        seed,
        Site(tenants, datasets, Journal(folder / "journal.jsonl")),
        folder,
        Crew(size=measure.crew, seed=f"{seed}-crew", events=folder / "events"),
        Random(f"{seed}-storm"),
    )


def _people(storm: Storm) -> driver.Driver:
    assert storm.site.journal is not None
    return driver.Driver(
        [driver.People(tenant, storm.site.datasets[tenant.slug]) for tenant in storm.site.tenants],
        storm.site.journal,
        storm.folder / "stop",
        Random(f"{storm.seed}-driver"),
        odd_left=storm.measure.odd,
        events=storm.folder / "people-events",
    )


def _points_hit(storm: Storm) -> set[str]:
    events = storm.crew.events.read_text(encoding="utf-8").splitlines() if storm.crew.events.exists() else []
    return {event.removeprefix("kill ") for event in events if event.startswith("kill ")}


def _tell(storm: Storm, found: checker.Findings, seconds: float, restarts: int) -> None:
    told: Counter[str] = Counter()
    for whose in ("events", "people-events"):
        with suppress(FileNotFoundError):
            told.update((storm.folder / whose).read_text(encoding="utf-8").splitlines())
    kills = storm.crew.kills
    print(
        f"storm: {kills} kills and {restarts} restarts in {seconds:.0f} s, seed {storm.seed}", file=sys.stderr
    )
    for title, counts in (("hit", told), ("seen", found.seen)):
        for what, count in sorted(counts.items()):
            print(f"  {title}: {what:<32} {count:>7}", file=sys.stderr)
