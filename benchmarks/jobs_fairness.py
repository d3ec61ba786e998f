"""How long others wait while one tenant imports: with our worker, and the naive way with the library alone."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from django.db import connection, transaction

from benchmarks import jobs_peer
from benchmarks.jobs_apps import NOTHING
from benchmarks.jobs_file import make_file
from benchmarks.jobs_ground import Ground, quantile, until
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import delete_dataset
from exporter.models import ExportRun, Trigger
from importer.models import ImportJob, State
from importer.services import confirm_import, create_import
from jobs import services
from jobs.models import Job
from jobs.models import State as JobState

HandOver = Callable[[Job], None]
OTHERS = 4
EXPORTED_ROWS = 1000
PAUSES = 0.4, 0.5  # seconds between two requests of one tenant


@dataclass(frozen=True, slots=True)
class Site:
    """One tenant that imports and those who only want their exports."""

    ground: Ground
    big: TenantRef
    others: list[tuple[TenantRef, Dataset]]
    file: Path
    rows: int
    rng: random.Random


def open_site(ground: Ground, rows: int, rng: random.Random) -> Site:
    """Make the tenants, what the others export, and the file of `rows` rows."""
    big = ground.tenant("big")
    small, file = ground.folder / "small.csv", ground.folder / "runways.csv"
    make_file(small, EXPORTED_ROWS)
    make_file(file, rows)
    others = []
    for number in range(OTHERS):
        tenant = ground.tenant(f"other-{number}")
        dataset = ground.dataset(tenant, "Runways")
        with in_tenant(tenant), small.open("rb") as stream:
            job = create_import(dataset=dataset, file=stream, name=small.name, by=None)
            services.run_until_done(int(job.preview_job_id))
            job.refresh_from_db()
            confirm_import(job=job, by=None)
            job.refresh_from_db()
            services.run_until_done(int(job.merge_job_id))
        others.append((tenant, dataset))
    return Site(ground, big, others, file, rows, rng)


@dataclass(slots=True)
class Waits:
    """What the requests of one phase met, in seconds by the database's clock."""

    starts: list[float]
    ends: list[float]

    def figures(self, name: str) -> dict[str, float]:
        return {
            f"{name}_exports": len(self.starts),
            f"{name}_start_p50_seconds": round(quantile(self.starts, 0.5), 3),
            f"{name}_start_p95_seconds": round(quantile(self.starts, 0.95), 3),
            f"{name}_start_max_seconds": round(max(self.starts), 3),
            f"{name}_end_p95_seconds": round(quantile(self.ends, 0.95), 3),
        }


def run(site: Site, *, quiet_seconds: float) -> dict[str, float]:
    """Measure quiet, then the imports alone, then both at once, then both the naive way."""
    figures: dict[str, float] = {}
    with _working(site):
        with _requests(site, "quiet") as quiet:
            time.sleep(quiet_seconds)
        alone = _imports(site, "alone")
        with _requests(site, "busy") as busy:
            meanwhile = _imports(site, "meanwhile")
    figures |= quiet.figures("quiet") | busy.figures("busy")
    figures["ratio_start_p95"] = _ratio(figures["busy_start_p95_seconds"], figures["quiet_start_p95_seconds"])
    figures["import_alone_rows_per_second"] = round(alone)
    figures["import_busy_rows_per_second"] = round(meanwhile)
    figures["ratio_import"] = _ratio(meanwhile, alone)
    figures |= _peer(site)
    figures["ratio_peer_start_p95"] = _ratio(
        figures["peer_start_p95_seconds"], figures["busy_start_p95_seconds"]
    )
    return figures


@contextmanager
def _working(site: Site, hand_over: HandOver | None = None) -> Iterator[None]:
    """Run a worker, ours or with `hand_over` the library's, from its first job on."""
    peer = {"settings": "benchmarks.jobs_peer_settings"} if hand_over else {}
    with site.ground.worker(*(["qcluster"] if hand_over else []), **peer):
        with in_tenant(site.big), transaction.atomic():
            first = services.submit(NOTHING, target="the first", payload={})
            if hand_over:
                hand_over(first)
        until(lambda: _state(first.pk) == JobState.DONE, "the worker's first job")
        yield


def _peer(site: Site) -> dict[str, float]:
    with _working(site, jobs_peer.hand_over), _requests(site, "peer", jobs_peer.hand_over) as waits:
        meanwhile = _imports(site, "peer", is_peer=True)
    return {**waits.figures("peer"), "peer_import_rows_per_second": round(meanwhile)}


def _ratio(one: float, other: float) -> float:
    return round(one / max(other, 0.001), 2)


# ---- the others


@contextmanager
def _requests(site: Site, phase: str, hand_over: HandOver | None = None) -> Iterator[Waits]:
    """Have each of the others ask for an export again and again, whether or not the last one has ended."""
    waits, over, failures = Waits([], []), Event(), list[BaseException]()
    threads = [
        Thread(target=_ask, args=(tenant, dataset, phase, over, site.rng.random(), hand_over, failures))
        for tenant, dataset in site.others
    ]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    asked = Job.objects.filter(kind="exporter.run", target__startswith=f"{phase} ")
    until(lambda: not asked.active().exists(), f"the exports of phase {phase}")
    for job in asked:
        assert job.state == JobState.DONE and job.started_at and job.finished_at, (job.pk, job.error)
        waits.starts.append((job.started_at - job.created_at).total_seconds())
        waits.ends.append((job.finished_at - job.created_at).total_seconds())
    print(f"{phase}: {len(waits.starts)} exports", file=sys.stderr)


def _ask(
    tenant: TenantRef,
    dataset: Dataset,
    phase: str,
    over: Event,
    seed: float,
    hand_over: HandOver | None,
    failures: list[BaseException],
) -> None:
    rng = random.Random(seed)
    number = 0
    try:
        while not over.wait(rng.uniform(*PAUSES)):
            number += 1
            with in_tenant(tenant), transaction.atomic():
                job = _export(dataset, f"{phase} {number}")
                if hand_over:
                    hand_over(job)
    except BaseException as error:  # noqa: BLE001 -- raised by whoever waits for this thread
        failures.append(error)
    finally:
        connection.close()


def _export(dataset: Dataset, target: str) -> Job:
    """Ask for an export as `request_export` does, but as many at once as one likes."""
    run = ExportRun.objects.create(trigger=Trigger.MANUAL, chosen=[dataset.pk])
    job = services.submit("exporter.run", target=target, payload={"run": run.pk})
    ExportRun.objects.filter(pk=run.pk).update(job_id=job.pk)
    return job


# ---- the one that imports


def _imports(site: Site, phase: str, *, is_peer: bool = False) -> float:
    """Import the file into one new dataset, then into two at once; returns rows per second."""
    titles = [f"Runways {phase} {number}" for number in range(3)]
    datasets = [site.ground.dataset(site.big, title) for title in titles]
    started = time.perf_counter()
    for at_once in (datasets[:1], datasets[1:]):
        _at_once([partial(_import, site, dataset, is_peer=is_peer) for dataset in at_once])
    seconds = time.perf_counter() - started
    print(f"{phase}: 3 x {site.rows:,} rows imported in {seconds:.1f} s", file=sys.stderr)
    _remove(site, datasets)
    return len(datasets) * site.rows / seconds


def _at_once(acts: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def act_of(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 -- raised by whoever waits for this thread
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=act_of, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _import(site: Site, dataset: Dataset, *, is_peer: bool) -> None:
    with in_tenant(site.big):
        with site.file.open("rb") as file, transaction.atomic():
            job = create_import(dataset=dataset, file=file, name=site.file.name, by=None)
            if is_peer:
                jobs_peer.hand_over_import(site.big, job.pk)
        if not is_peer:
            _reach(job, State.PREVIEW_SUCCEEDED)
            confirm_import(job=job, by=None)
        _reach(job, State.IMPORT_SUCCEEDED)
        assert job.created_rows == site.rows, job.created_rows


def _reach(job: ImportJob, state: str) -> None:
    def is_there() -> bool:
        job.refresh_from_db()
        assert state == job.state or not job.error, job.error
        return bool(state == job.state)

    until(is_there, f"{state} of an import", pause=0.2)


def _remove(site: Site, datasets: list[Dataset]) -> None:
    """Give the disk back, and let autovacuum find nothing to do in the next phase."""
    theirs = Job.objects.filter(schema=site.big.schema)
    until(lambda: not theirs.active().exists(), "the tidying after the imports")
    with in_tenant(site.big):
        for dataset in datasets:
            delete_dataset(dataset=dataset)


def _state(pk: int) -> str:
    return Job.objects.values_list("state", flat=True).get(pk=pk)
