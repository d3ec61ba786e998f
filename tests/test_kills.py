"""kill -9 of a real worker at random moments of preview, merge and export: nothing lost, twice or stuck."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from core import storage
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from exporter.models import ExportFile
from exporter.naming import latest_path
from exporter.services import request_export
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs.models import ACTIVE, Job, State

KILLS = 10
ROWS = 100_000
LEASE_SECONDS = 4
# About how long each takes with so many rows, in seconds.
LONGEST_MOMENT = {"preview": 0.8, "merge": 0.7, "export": 0.2}
PATIENCE_SECONDS = 90


class Worker:
    """A real `rowhouse worker`, started again after each kill."""

    def __init__(self, folder: Path) -> None:
        database = connection.settings_dict
        host = quote(str(database["HOST"]), safe="")
        url = f"postgresql://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}?host={host}"
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "ROWHOUSE_DATA": str(folder),
            "ROWHOUSE_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "ROWHOUSE_LOG_LEVEL": "ERROR",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "rowhouse", "worker"], env=self.environment)

    def kill(self) -> None:
        """Kill whichever of its processes works, or the main one: as a node that loses power would."""
        assert self.process is not None
        for pid in [*_descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def _descendants(pid: int) -> list[int]:
    """Return the process ids below `pid`, as Linux lists them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [*_descendants(int(child)), int(child)]
    return found


@pytest.fixture
def worker(tmp_path: Path, committed_tenants: list[TenantRef]) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.stop()


def make_dataset() -> Dataset:
    columns = [
        NewColumn("id", "integer", is_required=True),
        NewColumn("name", "text"),
        NewColumn("amount", "integer"),
    ]
    return create_dataset(title="Orders", columns=columns, key=["id"], by=None)


def file_of(first: int) -> io.BytesIO:
    """Return a file of ROWS orders from `first` on."""
    lines = ["id,name,amount", *(f"{first + at},order {first + at},{at}" for at in range(ROWS))]
    return io.BytesIO("\n".join(lines).encode())


def kill_in(worker: Worker, tenant: TenantRef, moment: float) -> bool:
    """Start a worker, kill it `moment` seconds after it took the work up, and let another finish it.

    Returns whether the work was not done yet when the kill came.
    """
    worker.start()
    until(lambda: running_jobs(tenant) or not active_jobs(tenant))
    time.sleep(moment)
    worker.kill()
    was_hit = active_jobs(tenant) > 0
    worker.start()
    until(lambda: not active_jobs(tenant))
    worker.stop()
    return was_hit


def finish(worker: Worker, tenant: TenantRef) -> None:
    worker.start()
    until(lambda: not active_jobs(tenant))
    worker.stop()


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the work is stuck"
        time.sleep(0.02)


def running_jobs(tenant: TenantRef) -> int:
    with in_public():
        return Job.objects.filter(schema=tenant.schema, state=State.RUNNING).count()


def active_jobs(tenant: TenantRef) -> int:
    with in_public():
        return Job.objects.filter(schema=tenant.schema, state__in=ACTIVE).count()


@pytest.mark.slow
@pytest.mark.case("I04")
def test_a_killed_worker_loses_nothing_and_does_nothing_twice(
    worker: Worker, committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker
) -> None:
    seed = int(os.environ.get("ROWHOUSE_SEED", random.randrange(10**6)))
    print(f"seed {seed}")  # noqa: T201 -- to repeat a failure
    dice = random.Random(seed)
    tenant = committed_tenants[0]
    with django_db_blocker.unblock(), in_tenant(tenant):
        dataset = make_dataset()
        imported = hits = 0
        for number in range(KILLS):
            phase = ("preview", "merge", "export")[number % 3]
            moment = dice.uniform(0, LONGEST_MOMENT[phase])
            if phase == "export":
                run = request_export(by=None, datasets=[dataset])
                hits += kill_in(worker, tenant, moment)
                check_export(run.pk, imported)
                continue
            job = create_import(dataset=dataset, file=file_of(imported), name="orders.csv", by=None)
            if phase == "preview":
                hits += kill_in(worker, tenant, moment)
            else:
                finish(worker, tenant)
            confirm_import(job=job, by=None)
            if phase == "merge":
                hits += kill_in(worker, tenant, moment)
            else:
                finish(worker, tenant)
            imported += ROWS
            check_import(job, dataset, imported)
        print(f"{hits} of {KILLS} kills hit work that was going on")  # noqa: T201 -- figures of the run
        assert hits > 0


def check_import(job: ImportJob, dataset: Dataset, records: int) -> None:
    job.refresh_from_db()
    assert (job.state, job.created_rows, job.rejected_rows) == ("IMPORT_SUCCEEDED", ROWS, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), (SELECT count(*) FROM ds_{dataset.pk}_history),"
            f" (SELECT count(DISTINCT id) FROM ds_{dataset.pk}_history),"
            f" (SELECT count(*) FROM ds_{dataset.pk}_history WHERE history_change_reason = %s)"
            f" FROM ds_{dataset.pk}",
            [f"import {job.pk}"],
        )
        assert cursor.fetchone() == (records, records, records, ROWS)


def check_export(run_id: int, records: int) -> None:
    file = ExportFile.objects.get(run_id=run_id)
    with storage.open_read(file.key) as stored:
        content = stored.read()
    assert (file.run.state, file.rows) == ("SUCCEEDED", records)
    assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert content.count(b"\n") == records + 1
    keys = [key for key, _size in storage.list_keys("exports")]
    known = {key for pair in ExportFile.objects.values_list("key", "run__manifest_key") for key in pair}
    assert set(keys) == {*known, storage.key_of(latest_path(file.dataset_slug))}
