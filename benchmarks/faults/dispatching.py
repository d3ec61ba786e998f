"""Hourly work with dispatchers that die: each tenant's slot once, whoever was killed and whatever was down.

The hours are simulated, the dispatchers are processes forked from this one. At each moment several of them look
for what is due at once, each in another session time zone; a fifth of them is killed: holding rows before
COMMIT, after COMMIT before anybody reads the answer, or at random. The last look of each quarter is not killed, as
some tick of some worker always comes through; without it a slot could be missed by right. A tenth of the tenants has
slots of a quarter of an hour; their other hourly work still comes once an hour.

The hours hold the night in which the clocks of Europe go back.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil

import psycopg2
from django.db import connection, connections

from benchmarks.faults.ground import Ground
from core.tenancy import TenantRef, in_tenant
from jobs import dispatcher, services
from jobs.kinds import hourly_kinds, slot_kinds

# In the past: the due times of every real tenant lie after it and are not reached.
START = datetime(2025, 10, 25, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARTER = HOUR / 4
DEATHS = 0.2
FATES = ("before", "after", "random")
LOOKS_PER_HOUR = 4
LAST_LOOK = timedelta(minutes=59, seconds=30)  # after the greatest offset into the hour
LAST_OF_QUARTER = timedelta(minutes=14, seconds=30)
LONGEST_LIFE = 0.04  # seconds until a random kill
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
OUTAGE_HOURS = 7


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated; tenants [0, locked) and [locked, locked + paused) have an outage of their own."""

    tenants: int
    hours: int
    dispatchers: int
    apart: int  # how many are locked, and how many are paused
    away: range  # the hours of that

    @property
    def by_quarter(self) -> range:
        """The tenants whose slots are quarters."""
        return range(self.tenants - self.tenants // 10, self.tenants)


SHORT = Size(tenants=60, hours=12, dispatchers=3, apart=6, away=range(4, 8))
LONG = Size(tenants=1000, hours=168, dispatchers=4, apart=100, away=range(60, 69))


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one dispatcher: `how` is one of FATES or empty."""

    now: datetime
    how: str = ""
    life: float = 0.0
    zone: str = "UTC"


@dataclass(slots=True)
class Tally:
    """What was done to the dispatchers."""

    started: int = 0
    killed: int = 0
    by_fate: dict[str, int] = field(default_factory=dict)


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Let the hours pass and compare the jobs with the hours they should be for."""
    size, dice, tally = SHORT if short else LONG, random.Random(seed), Tally()
    refs = [TenantRef(f"t_hourly{number:06}", f"hourly-{number}") for number in range(size.tenants)]
    started = time.monotonic()
    try:
        for ref in refs:
            services.admit_tenant(ref, now=START)
        for number in size.by_quarter:
            with in_tenant(refs[number]):
                services.set_slot_minutes(15, now=START)
        _pass_hours(ground, refs, size, dice, tally)
        expected = _expected(refs, size)
        missing, double, strange = _compare(ground, expected)
        ahead = ground.sql(
            "SELECT count(*) FROM jobs_tenantshare WHERE schema LIKE 't_hourly%%' AND next_hour_at > %s"
            " AND next_hour_at <= %s",
            _end(size),
            _end(size) + HOUR,
        )[0][0]
    finally:
        _clean(ground)
    facts = {
        "slots": len(expected), "dispatchers": tally.started, "dispatchers_killed": tally.killed,
        **{f"killed_{name}": tally.by_fate.get(name, 0) for name in FATES},
        "missing": len(missing), "double": double, "strange": len(strange), "on_time_after": ahead,
        "dispatch_seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    print(f"dispatching: {facts}", file=sys.stderr)
    where = f"seed {seed}: missing {sorted(missing)[:5]}, strange {sorted(strange)[:5]}, {facts}"
    assert not missing and not double and not strange and ahead == size.tenants, where
    return {name: value for name, value in facts.items() if name not in {"strange", "on_time_after"}}


def _pass_hours(ground: Ground, refs: list[TenantRef], size: Size, dice: random.Random, tally: Tally) -> None:
    locked, paused = refs[: size.apart], refs[size.apart : 2 * size.apart]
    side = None
    for hour in range(size.hours):
        begins = START + hour * HOUR
        if hour == size.away.start:
            side = _lock(ground, locked)
            for ref in paused:
                services.pause_tenant(ref.schema)
        elif hour == size.away.stop and side is not None:
            side.close()
            for ref in paused:
                services.resume_tenant(ref.schema)
            _look([Fate(begins)], tally)
        fates = _fates(size, dice, begins)
        for quarter in range(LOOKS_PER_HOUR):
            _look(fates[quarter * size.dispatchers : (quarter + 1) * size.dispatchers], tally)
            _look([Fate(begins + quarter * QUARTER + LAST_OF_QUARTER, zone=dice.choice(ZONES))], tally)
        _look([Fate(begins + LAST_LOOK, zone=dice.choice(ZONES))], tally)
    # Nobody looks for some hours; then everybody has missed them but the last.
    after = START + (size.hours + OUTAGE_HOURS) * HOUR
    for now in (after, after, after + LAST_LOOK):
        _look([Fate(now, zone=zone) for zone in ZONES[: size.dispatchers]], tally)


def _end(size: Size) -> datetime:
    return START + (size.hours + OUTAGE_HOURS) * HOUR + LAST_LOOK


def _lock(ground: Ground, refs: list[TenantRef]) -> psycopg2.extensions.connection:
    """Hold the tenants' shares: dispatchers pass over what somebody else has locked."""
    side = psycopg2.connect(ground.url)
    with side.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM jobs_tenantshare WHERE schema = ANY(%s) FOR UPDATE", [[ref.schema for ref in refs]]
        )
    return side


def _fates(size: Size, dice: random.Random, begins: datetime) -> list[Fate]:
    """Return the dispatchers of one hour, those of each look together; at least a fifth of them dies."""
    count = LOOKS_PER_HOUR * size.dispatchers
    doomed = set(dice.sample(range(count), ceil(count * DEATHS)))
    fates = []
    for number in range(count):
        look = number // size.dispatchers
        now = begins + timedelta(minutes=60 / LOOKS_PER_HOUR * look, seconds=dice.uniform(0, 700))
        how = dice.choice(FATES) if number in doomed else ""
        fates.append(Fate(now, how, dice.uniform(0, LONGEST_LIFE), dice.choice(ZONES)))
    return fates


# ---- one look: processes that start together


def _look(fates: list[Fate], tally: Tally) -> None:
    connections.close_all()  # nothing of this process's may be shared by its children
    gate, opens = os.pipe()
    ready, is_ready = os.pipe()
    children: dict[int, Fate] = {}
    for fate in fates:
        pid = os.fork()
        if pid == 0:
            os.close(opens)
            _dispatch_and_exit(fate, gate, is_ready)
        children[pid] = fate
    os.close(is_ready)
    waiting = len(fates)
    while waiting and (came := os.read(ready, waiting)):
        waiting -= len(came)
    for end in (opens, gate, ready):
        os.close(end)
    _kill_at_random(children)
    for pid, fate in children.items():
        _, status = os.waitpid(pid, 0)
        tally.started += 1
        if os.WIFSIGNALED(status):
            tally.killed += 1
            tally.by_fate[fate.how] = tally.by_fate.get(fate.how, 0) + 1
        elif status:
            raise AssertionError(f"a dispatcher failed at {fate.now:%F %T}; its traceback stands above")


def _kill_at_random(children: dict[int, Fate]) -> None:
    begin = time.monotonic()
    lives = sorted((fate.life, pid) for pid, fate in children.items() if fate.how == "random")
    for life, pid in lives:
        time.sleep(max(0.0, begin + life - time.monotonic()))
        os.kill(pid, signal.SIGKILL)  # at worst a zombie: it is waited for afterwards


def _dispatch_and_exit(fate: Fate, gate: int, is_ready: int) -> None:
    code = 1
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE %s", [fate.zone])
        if fate.how in ("before", "after"):
            _die_at_commit(fate.how)
        dispatcher.BATCH = random.choice((20, 100, 500))  # so that several have a part of the same hour
        os.write(is_ready, b".")
        os.read(gate, 1)
        services.dispatch_hourly(now=fate.now)
        if fate.how:
            os.kill(os.getpid(), signal.SIGKILL)
        code = 0
    except BaseException:  # noqa: BLE001 -- a forked child must never go on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _die_at_commit(how: str) -> None:
    """Die at the first COMMIT of a transaction that has written or locked anything."""
    wrapper = connections["default"]
    commit = wrapper._commit  # type: ignore[attr-defined]  # the driver's own COMMIT

    def deadly() -> None:
        with wrapper.connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
            holds_rows = cursor.fetchone()[0]
        if holds_rows and how == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit()
        if holds_rows:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(wrapper)["_commit"] = deadly


# ---- what should be there, worked out without a database


def _expected(refs: list[TenantRef], size: Size) -> set[tuple[str, str, str]]:
    gone = set(range(size.hours, size.hours + OUTAGE_HOURS - 1))
    found = set()
    for number, ref in enumerate(refs):
        if number in size.by_quarter:
            found |= _expected_by_quarter(ref, size)
            continue
        # At the stroke of the hour the one before is caught up, unless the tenant's next is due at that stroke.
        is_at_the_stroke = not dispatcher.offset(ref.schema)
        missed = set(gone)
        if number < 2 * size.apart:
            missed |= set(size.away[:-1]) | ({size.away[-1]} if is_at_the_stroke else set())
        if is_at_the_stroke:
            missed.add(size.hours + OUTAGE_HOURS - 1)
        for hour in set(range(1, size.hours + OUTAGE_HOURS + 1)) - missed:
            slot = (START + hour * HOUR).isoformat()
            found |= {(ref.schema, kind, slot) for kind in hourly_kinds() + slot_kinds()}
    return found


def _expected_by_quarter(ref: TenantRef, size: Size) -> set[tuple[str, str, str]]:
    """Such a tenant begins with the quarter it was given quarters in, and with the hour of that."""
    after = size.hours + OUTAGE_HOURS
    is_at_the_stroke = not dispatcher.offset(ref.schema, 15)
    hours = {*range(size.hours), after} | (set() if is_at_the_stroke else {after - 1})
    quarters = {*range(size.hours * 4), after * 4 + 3, after * 4 - (0 if is_at_the_stroke else 1)}
    return {
        (ref.schema, kind, (START + number * length).isoformat())
        for kinds, numbers, length in ((hourly_kinds(), hours, HOUR), (slot_kinds(), quarters, QUARTER))
        for kind in kinds
        for number in numbers
    }


Slots = set[tuple[str, str, str]]


def _compare(ground: Ground, expected: Slots) -> tuple[Slots, int, Slots]:
    """Return the slots without a job, how many jobs there are too many, and slots that should have none."""
    rows = ground.sql(
        "SELECT schema, kind, target, count(*) FROM jobs_job WHERE schema LIKE 't_hourly%%'"
        " AND payload->>'slot' = target GROUP BY 1, 2, 3"
    )
    found = {(schema, kind, slot) for schema, kind, slot, _ in rows}
    return expected - found, sum(count - 1 for *_, count in rows), found - expected


def _clean(ground: Ground) -> None:
    ground.sql("DELETE FROM jobs_job WHERE schema LIKE 't_hourly%%'")
    ground.sql("DELETE FROM jobs_tenantshare WHERE schema LIKE 't_hourly%%'")
    ground.sql("DELETE FROM django_q_ormq")
    ground.sql("VACUUM ANALYZE jobs_job")
