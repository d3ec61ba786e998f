"""A day of a thousand tenants: every hour's export of each, by workers that are killed at their work.

The hours are simulated, the exports are real: the product's handler, a snapshot of its own each, files in storage. All
tenants have two small datasets, one edited every hour, the other every few hours, so that most runs write one file
and say of the other that it still holds. Workers are forked, die by SIGKILL at a point drawn for each, freeze past
their leases or lose their connection around a COMMIT, and are replaced. An hour ends when its work is done. One run of
some ten thousand has its worker killed as often as a job is tried: it is given up and says so, and is run again as an
operator would have it.

Afterwards each slot of each tenant must have exactly one run, SUCCEEDED, with exactly the files that were due, each of
them the records of that very hour; and in storage there must be these files and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import RawValue
from typing import Any

import psycopg2
from django.db import connections

from benchmarks.faults import points
from benchmarks.faults.copying import Copier
from benchmarks.faults.crew import Crew
from benchmarks.faults.ground import Ground
from core import storage
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from exporter import manifests
from exporter.models import ExportFile, ExportRun, State
from exporter.naming import latest_path
from jobs import dispatcher, doorbell, services

# In the past: the due times of every real tenant lie after it and are not reached.
START = datetime(2025, 10, 25, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
LAST_LOOK = timedelta(minutes=59, seconds=30)  # after the greatest offset into the hour
ROWS = 20
SELDOM = 6  # hours
PATIENCE_SECONDS = 600
TABLES = (
    r"^(datasets_(dataset|column)|exporter_\w+|importer_\w+|audit_event|accounts_user|ds_\d+(_history)?)$"
)
# Passed by every export; how many passes a worker lives at most. A run passes most of them two or three times.
POINTS = {
    "before-claim": 80, "after-claim": 80, "slice-begun": 80, "before-advance": 80, "after-advance": 80,
    "after-commit": 80, "after-charge": 80, "long-begun": 50, "long-done": 50, "object-written": 30,
    "before-finish": 30, "after-finish": 30, "statement": 2000, "reap": 8, "dispatch": 8,
}  # fmt: skip
HURRY = """
UPDATE jobs_job SET not_before = statement_timestamp()
 WHERE state = 'QUEUED' AND not_before > statement_timestamp() + interval '0.2 s'"""
LEFT = "SELECT count(*) FROM jobs_job WHERE schema LIKE 't_day%%' AND state IN ('QUEUED', 'RUNNING')"
GIVEN_UP = "worker-died"
FAILED = "SELECT id, schema, slug, error_code, error FROM jobs_job WHERE schema LIKE 't_day%%' AND state = 'FAILED'"


@dataclass(frozen=True, slots=True)
class Size:
    tenants: int
    hours: int
    crew: int
    lives: int  # how many times as long as POINTS says a worker lives: each new one reads the catalog of all tenants


SHORT = Size(tenants=12, hours=4, crew=3, lives=1)
LONG = Size(tenants=1000, hours=24, crew=8, lives=8)


def draw_fate(dice: random.Random, lives: int) -> points.Fate:
    """Return what becomes of a worker: mostly a death, after some dozens of slices at the latest, times `lives`."""
    what = dice.choices((points.KILL, points.FREEZE, points.LOST_BEFORE, points.LOST_AFTER), (88, 2, 5, 5))[0]
    if what in (points.LOST_BEFORE, points.LOST_AFTER):
        return points.Fate(what, "commit", dice.randint(1, 200 * lives))
    point = dice.choice(list(POINTS))
    return points.Fate(what, point, dice.randint(1, POINTS[point] * lives))


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Let the hours pass, then look at every slot, file and object."""
    size = SHORT if short else LONG
    began = time.monotonic()
    refs = _tenants(ground, size)
    print(f"hours: {len(refs)} tenants after {time.monotonic() - began:.0f} s", file=sys.stderr)
    clock = RawValue("d", START.timestamp())

    def prepare(dice: random.Random) -> None:
        # Whoever ticks sees the simulated hour; it may die there too.
        original = dispatcher.dispatch
        vars(dispatcher)["dispatch"] = lambda _now: original(datetime.fromtimestamp(clock.value, UTC))
        points.install(points.Hand(dice, ground.folder / "day-events", partial(draw_fate, lives=size.lives)))

    crew = Crew(
        size=size.crew, seed=f"{seed}-day", events=ground.folder / "day-events", faults=False, prepare=prepare
    )
    dice = random.Random(f"{seed}-strikes")
    began = time.monotonic()
    kinds, given_up = vars(dispatcher)["hourly_kinds"], 0
    try:
        # Other hourly work is none of this day's, and has no tables in tenants that are copies. Workers inherit it.
        vars(dispatcher)["hourly_kinds"] = lambda: ()
        for hour in range(1, size.hours + 1):
            _edit(ground, refs, hour)
            clock.value = (START + hour * HOUR + LAST_LOOK).timestamp()
            _pass_hour(ground, crew, clock.value, dice)
            while again := _run_again(ground):
                given_up += again
                _pass_hour(ground, crew, clock.value, dice)
            print(f"hours: {hour} of {size.hours} after {time.monotonic() - began:.0f} s,"
                  f" {crew.kills} kills", file=sys.stderr)  # fmt: skip
    finally:
        crew.dismiss()
        vars(dispatcher)["hourly_kinds"] = kinds
    seconds = time.monotonic() - began
    found = _check(refs, size)
    failed = len(ground.sql(FAILED))
    facts: dict[str, int | float] = {
        "tenants": size.tenants, "slots": size.tenants * size.hours, "runs": found["runs"],
        "files": found["files"], "still_held": found["held"], "kills": crew.kills,
        "lost": found["missing"], "doubled": found["doubled"], "untrue": found["untrue"],
        "strays": found["strays"], "run_again": given_up, "failed_jobs": failed, "seconds": round(seconds, 1),
        "runs_per_second": round(found["runs"] / seconds, 1), "peak_mb": round(crew.peak_mb, 1),
    }  # fmt: skip
    where = f"seed {seed}: {facts}"
    assert not failed and not any(found[name] for name in ("missing", "doubled", "untrue", "strays")), where
    assert crew.kills >= size.hours, f"hardly anybody died: {where}"
    return facts


def _run_again(ground: Ground) -> int:
    """Let jobs run again that were given up because their workers were killed too often; any other fault ends it."""
    found = ground.sql(FAILED)
    for job, schema, slug, code, error in found:
        assert code == GIVEN_UP, f"job {job} of {slug} failed: {code}, {error}"
        with in_tenant(TenantRef(schema, slug)):
            services.retry(job)
    return len(found)


def _tenants(ground: Ground, size: Size) -> list[TenantRef]:
    """Return tenants with the same two datasets, all but the first of them copies, with their first hour ahead."""
    model = ground.tenants(1, "day")[0]
    for title in ("Often", "Seldom"):
        ground.dataset(model, title)
    link = psycopg2.connect(ground.url)
    link.autocommit = True
    copier = Copier(link, model.schema, TABLES)
    refs = [TenantRef(f"t_day{number:06}", f"day-{number:04}") for number in range(size.tenants)]
    for ref in refs:
        copier.copy_to(ref.schema)
        services.admit_tenant(ref, now=START)
    link.close()
    ground.sql("UPDATE jobs_tenantshare SET next_hour_at = NULL WHERE schema = %s", model.schema)
    return refs


def _value(hour: int, *, is_seldom: bool) -> str:
    return f"hour {hour - (hour - 1) % SELDOM if is_seldom else hour}"


def _is_edited(hour: int, *, is_seldom: bool) -> bool:
    return not is_seldom or (hour - 1) % SELDOM == 0


def _edit(ground: Ground, refs: list[TenantRef], hour: int) -> None:
    """Write what the hour's files must say."""
    for ref in refs:
        for table, is_seldom in _tables(ref):
            if not _is_edited(hour, is_seldom=is_seldom):
                continue
            key, name, amount = table.columns
            ground.sql(
                f'INSERT INTO "{ref.schema}".{table.name} ({key}, {name}, {amount})'
                f" SELECT number, %s, {hour} FROM generate_series(1, {ROWS}) AS number"
                f" ON CONFLICT ({key}) DO UPDATE SET {name} = excluded.{name}, {amount} = excluded.{amount}",
                _value(hour, is_seldom=is_seldom),
            )


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[str, ...]


_known: list[tuple[Table, bool]] = []


def _tables(ref: TenantRef) -> list[tuple[Table, bool]]:
    """Return the tables of the two datasets: every tenant's are alike."""
    if not _known:
        with in_tenant(ref):
            for one in Dataset.objects.order_by("pk"):
                spec = one.spec()
                table = Table(spec.table, tuple(column.name for column in spec.columns))
                _known.append((table, one.slug == "seldom"))
    return _known


def _pass_hour(ground: Ground, crew: Crew, now: float, dice: random.Random) -> None:
    """Let the crew do the hour's work, however many of it die; some tick of some worker always comes through."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    is_asked = False
    ground.sql("DELETE FROM django_q_ormq")
    while True:
        crew.look()
        with in_public():
            doorbell.tick(datetime.fromtimestamp(now, UTC))
        connections.close_all()
        ground.sql(HURRY)
        if is_asked and not ground.sql(LEFT)[0][0]:
            return
        is_asked = True
        if dice.random() < 0.3:
            crew.strike(dice)
        assert time.monotonic() < deadline, f"after {PATIENCE_SECONDS} s the hour's work is not done"
        time.sleep(0.25)


# ---- what should be there


def _check(refs: list[TenantRef], size: Size) -> Counter[str]:
    found: Counter[str] = Counter()
    for ref in refs:
        with in_tenant(ref):
            _check_tenant(size, found)
    return found


def _check_tenant(size: Size, found: Counter[str]) -> None:
    wanted = {START + hour * HOUR: hour for hour in range(1, size.hours + 1)}
    runs = list(ExportRun.objects.prefetch_related("files"))
    slots = Counter(run.slot for run in runs)
    found["missing"] += len(wanted.keys() - slots.keys())
    found["doubled"] += sum(count - 1 for count in slots.values())
    found["untrue"] += len(slots.keys() - wanted.keys())
    keys = {key for key, _ in storage.list_keys()}
    for run in runs:
        found["runs"] += run.state == State.SUCCEEDED
        found["untrue"] += run.state != State.SUCCEEDED
        assert run.slot is not None
        _check_run(run, wanted.get(run.slot, 0), keys, found)
    _check_pointers(keys, found)
    found["strays"] += len(keys)  # those that are no run's


def _check_pointers(keys: set[str], found: Counter[str]) -> None:
    for slug in ("often", "seldom"):
        key = storage.key_of(latest_path(slug))
        if key not in keys:
            found["missing"] += 1
            continue
        keys.remove(key)
        with storage.open_read(key) as stored:
            pointed = json.loads(stored.read())["key"]
        newest = ExportFile.objects.filter(dataset_slug=slug).order_by("-created_at", "-pk").first()
        found["untrue"] += newest is None or pointed != newest.key


def _check_run(run: ExportRun, hour: int, keys: set[str], found: Counter[str]) -> None:
    due = {slug for slug in ("often", "seldom") if _is_edited(hour, is_seldom=slug == "seldom")}
    files = {file.dataset_slug: file for file in run.files.all()}
    held = {entry["slug"] for entry in run.skipped}
    found["held"] += len(held)
    found["untrue"] += (set(files), held) != (due, {"often", "seldom"} - due)
    if run.manifest_key in keys:
        keys.remove(run.manifest_key)
        found["untrue"] += manifests.fault_of(run) != ""
    else:
        found["missing"] += bool(files)
    for slug, file in files.items():
        found["files"] += 1
        if file.key not in keys:
            found["missing"] += 1
            continue
        keys.remove(file.key)
        with storage.open_read(file.key) as stored:
            content = stored.read()
        facts: tuple[Any, ...] = (file.bytes, file.sha256, file.rows)
        is_whole = facts == (len(content), hashlib.sha256(content).hexdigest(), ROWS)
        found["untrue"] += not is_whole or content != _content(hour, is_seldom=slug == "seldom")


def _content(hour: int, *, is_seldom: bool) -> bytes:
    value = _value(hour, is_seldom=is_seldom)
    rows = "".join(f"{number},{value},{hour}\n" for number in range(1, ROWS + 1))
    return f"id,name,amount\n{rows}".encode()
