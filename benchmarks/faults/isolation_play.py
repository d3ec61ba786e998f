"""The tasks, from the first that is submitted to the last that ends, while workers are harmed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.faults.isolation_crew import Crew
from benchmarks.faults.isolation_faults import random_acts
from benchmarks.faults.isolation_kinds import marked
from benchmarks.faults.isolation_sql import Marker
from benchmarks.faults.isolation_tenants import file_of
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from exporter.models import ExportRun
from exporter.services import request_export
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs import services as jobs
from jobs.models import ACTIVE, Job, State

WAITING = 300  # tasks in the queue at a time
PATIENCE_SECONDS = 90.0
WORKERS = 3
MAX_RETRIES = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How much is played. `errands` are imports with their exports, one for each of so many tenants."""

    tasks: int
    tenants: int
    errands: int
    faults: float  # the share of tasks that fail half-way once
    kill_every: int  # tasks, on average
    cut_every: int


LONG = Size(tasks=10_000, tenants=50, errands=50, faults=0.1, kill_every=60, cut_every=40)
SHORT = Size(tasks=200, tenants=8, errands=2, faults=0.15, kill_every=25, cut_every=15)


@dataclass(slots=True)
class Play:
    """One run of `size.tasks` tasks over the tenants."""

    size: Size
    tenants: Sequence[TenantRef]
    dice: Random
    folder: Path
    crew: Crew = field(init=False)
    tasks: set[int] = field(default_factory=set)
    retries: int = 0

    def __post_init__(self) -> None:
        self.crew = Crew(self.folder / "stop", WORKERS, self.dice, self.size.kill_every, self.size.cut_every)

    def run(self) -> None:
        """Play to the end.

        :raises AssertionError: nothing moves any more, or a task did not end well.
        """
        errands = [errand(tenant) for tenant in self.tenants[: self.size.errands]]
        moved, left = time.monotonic(), -1
        try:
            while errands or len(self.tasks) < self.size.tasks or left:
                self.crew.fill()
                before, left = left, _active()
                self.crew.harm(len(self.tasks) - left)
                if left < WAITING // 2:
                    self._submit(min(WAITING, self.size.tasks - len(self.tasks)))
                # Some at a time, in turn; one that is over drops out.
                errands = [*errands[4:], *(one for one in errands[:4] if next(one, None))]
                if left != before:
                    moved = time.monotonic()
                assert time.monotonic() - moved < PATIENCE_SECONDS, f"{left} tasks do not go on: {_states()}"
                left = left or self._retry_failed()
                time.sleep(0.05)
        finally:
            self.crew.dismiss()

    def _retry_failed(self) -> int:
        """Start tasks again that met with five disasters in a row, as an operator would; returns how many."""
        failed = list(Job.objects.filter(kind="isolation.task").exclude(state__in=(*ACTIVE, State.DONE)))
        for job in failed:
            self.retries += 1
            is_disaster = job.state == State.FAILED and "ForeignRow" not in job.error
            assert is_disaster and self.retries < MAX_RETRIES, f"job {job.pk} {job.state} {job.error}"
            jobs.retry(job.pk)
        return len(failed)

    def _submit(self, count: int) -> None:
        """Put tasks into the queue, neighbours seldom of one tenant."""
        made = []
        for number in range(len(self.tasks), len(self.tasks) + count):
            tenant = self.dice.choice(self.tenants)
            acts = random_acts(self.dice, faults=self.size.faults)
            payload = {
                "tenant": tenant.slug,
                "acts": acts,
                "seed": number,
                "sliced": self.dice.random() < 0.1,
            }
            made.append(
                Job(schema=tenant.schema, slug=tenant.slug, kind="isolation.task", target=str(number), payload=payload)
            )  # fmt: skip
        self.tasks |= {job.pk for job in Job.objects.bulk_create(made)}


def _active() -> int:
    return Job.objects.active().filter(kind__in=("isolation.task",)).count()


def _states() -> Counter[tuple[str, str]]:
    return Counter(Job.objects.active().values_list("state", "error_code"))


def errand(tenant: TenantRef) -> Iterator[bool]:
    """Import a small file as a person would and export the result, a step each time it is asked.

    What fails is begun anew: a worker that dies five times over one of them is none of our concern here.
    """
    while not (yield from _imported(tenant)):
        pass
    while not (yield from _exported(tenant)):
        pass


def _imported(tenant: TenantRef) -> Generator[bool, None, bool]:
    with _errand_in(tenant):
        dataset = Dataset.objects.get(slug="orders")
        job = create_import(dataset=dataset, file=file_of(tenant), name="orders.csv", by=None)
    while job.state != "IMPORT_SUCCEEDED":
        if "FAILED" in job.state:
            return False
        yield True
        with _errand_in(tenant):
            job = ImportJob.objects.get(pk=job.pk)
            if job.state == "PREVIEW_SUCCEEDED":
                confirm_import(job=job, by=None)
    return True


def _exported(tenant: TenantRef) -> Generator[bool, None, bool]:
    with _errand_in(tenant):
        export = request_export(by=None)
    while export.state != "SUCCEEDED":
        if "FAILED" in export.state:
            return False
        yield True
        with _errand_in(tenant):
            export = ExportRun.objects.get(pk=export.pk)
    return True


@contextmanager
def _errand_in(tenant: TenantRef) -> Iterator[None]:
    with in_public(), in_tenant(tenant), marked(Marker(tenant.slug, 0)):
        yield
