"""Every export run is one state of the tenant, over all its datasets, whatever is edited and imported meanwhile."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import psycopg2
import pytest
from django.db import connection, connections
from pytest_django.plugin import DjangoDbBlocker

from core import storage
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from exporter import running, writing
from exporter.models import ExportFile, ExportRun, State
from exporter.services import request_export
from exporter.snapshot import Snapshot
from exporter.writing import Written
from importer.services import confirm_import, create_import
from jobs import services as jobs

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
RECORDS, AMOUNT = 200, 1000
TOTAL = 2 * RECORDS * AMOUNT
SLOTS = 6
Table = tuple[str, str, str]  # the dataset's table and its columns id and amount


@pytest.fixture
def datasets(
    committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker, tmp_path: Any, settings: Any
) -> Iterator[dict[str, Dataset]]:
    """Give acme two datasets between which amounts are moved, one that is imported into, and one at rest."""
    columns = [NewColumn("id", "integer", is_required=True), NewColumn("amount", "integer")]
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]):
        made = {
            slug: create_dataset(title=slug.title(), slug=slug, columns=columns, key=["id"])
            for slug in ("left", "right", "stock", "quiet")
        }
        with connection.cursor() as cursor:
            for one in made.values():
                table, key, amount = table_of(one)
                cursor.execute(
                    f"INSERT INTO {table} ({key}, {amount}) SELECT n, {AMOUNT} FROM generate_series(1, {RECORDS}) n"
                )
        yield made


def table_of(dataset: Dataset) -> Table:
    spec = dataset.spec()
    return spec.table, spec.columns[0].name, spec.columns[1].name


class Traffic:
    """Two people who move amounts from one dataset to the other, and one who imports, until told to stop."""

    def __init__(self, tenant: TenantRef, datasets: dict[str, Dataset]) -> None:
        self.tenant, self.datasets = tenant, datasets
        self.left, self.right = table_of(datasets["left"]), table_of(datasets["right"])
        self.moved = self.imported = 0
        self.is_over = Event()
        self.problems: list[BaseException] = []

    def move(self, link: Any, dice: random.Random) -> None:
        """Take from a record here, give to one there; and replace one by another, in one transaction."""
        (left, key, amount), (right, other_key, other_amount) = self.left, self.right
        one, other, sum_ = dice.randint(1, RECORDS // 2), dice.randint(1, RECORDS // 2), dice.randint(1, 9)
        gone, new = dice.randint(RECORDS // 2 + 1, RECORDS), dice.randint(10**6, 10**9)
        with link.cursor() as cursor:
            cursor.execute(f"UPDATE {left} SET {amount} = {amount} - %s WHERE {key} = %s", [sum_, one])
            cursor.execute(
                f"UPDATE {right} SET {other_amount} = {other_amount} + %s WHERE {other_key} = %s",
                [sum_, other],
            )
            cursor.execute(f"DELETE FROM {right} WHERE {other_key} = %s RETURNING {other_amount}", [gone])
            for (freed,) in cursor.fetchall():
                cursor.execute(f"INSERT INTO {left} ({key}, {amount}) VALUES (%s, %s)", [new, freed])
        link.commit()
        self.moved += 1

    def linked(self) -> Any:
        link = psycopg2.connect(**connection.get_connection_params())
        with link.cursor() as cursor:
            cursor.execute(f'SET search_path = "{self.tenant.schema}"')
        link.commit()
        return link

    def _edit(self, seed: int) -> None:
        dice, link = random.Random(seed), self.linked()
        while not self.is_over.is_set():
            self.move(link, dice)
        link.close()

    def _import(self) -> None:
        dice = random.Random(3)
        with in_tenant(self.tenant):
            while not self.is_over.is_set():
                rows = "".join(f"{number},{dice.randint(1, 99)}\n" for number in dice.sample(range(400), 150))
                file = io.BytesIO(f"id,amount\n{rows}".encode())
                job = create_import(dataset=self.datasets["stock"], file=file, name="stock.csv", by=None)
                jobs.run_until_done(int(job.current_job_id))
                job.refresh_from_db()
                confirm_import(job=job, by=None)
                job.refresh_from_db()
                jobs.run_until_done(int(job.current_job_id))
                self.imported += 1

    def _guarded(self, act: Any, *values: Any) -> None:
        try:
            act(*values)
        except BaseException as problem:  # noqa: BLE001 -- told by the test
            self.problems.append(problem)
        finally:
            connections.close_all()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        threads = [
            Thread(target=self._guarded, args=act)
            for act in ((self._edit, 1), (self._edit, 2), (self._import,))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join()
        assert not self.problems, self.problems


def scheduled(number: int) -> ExportRun:
    slot = START + timedelta(hours=number)
    job = jobs.submit("exporter.run", target=slot.isoformat(), payload={"slot": slot.isoformat()})
    assert jobs.run_until_done(job.pk).state == "DONE"
    return ExportRun.objects.get(slot=slot)


def by_hand() -> ExportRun:
    run = request_export(by=None)
    assert run.job_id is not None
    jobs.run_until_done(run.job_id)
    run.refresh_from_db()
    return run


def check(run: ExportRun, datasets: dict[str, Dataset]) -> None:
    """Compare what a run says of each dataset, in its files and those that still hold, with its one snapshot."""
    assert run.state == State.SUCCEEDED, run.error
    files = {file.dataset_slug: file for file in run.files.all()}
    for entry in run.skipped:
        files[entry["slug"]] = ExportFile.objects.get(pk=entry["file"])
    assert set(files) == set(datasets)
    found = {slug: records_in(file) for slug, file in files.items()}
    for slug, dataset in datasets.items():
        assert found[slug] == records_seen(dataset, run.snapshot), slug
    total = sum(found["left"].values()) + sum(found["right"].values())
    assert total == TOTAL, f"{total - TOTAL} in both datasets, or in none"


def records_in(file: ExportFile) -> dict[int, int]:
    with storage.open_read(file.key) as stored:
        rows = list(csv.reader(io.StringIO(stored.read().decode(), newline="")))[1:]
    assert len(rows) == file.rows
    return {int(key): int(amount) for key, amount in rows}


def records_seen(dataset: Dataset, snapshot: str) -> dict[int, int]:
    """Return what a snapshot sees, put together from history: of each record the last version it sees."""
    _, key, amount = table_of(dataset)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, {amount} FROM (SELECT DISTINCT ON (id) * FROM {dataset.spec().history_table}"
            " WHERE pg_visible_in_snapshot(history_xid, %s::pg_snapshot) ORDER BY id, history_id DESC) seen"
            " WHERE history_type <> '-'",
            [snapshot],
        )
        return dict(cursor.fetchall())


@pytest.mark.case("C11")
def test_each_run_equals_one_snapshot_while_people_edit_and_import(
    committed_tenants: list[TenantRef], datasets: dict[str, Dataset], django_db_blocker: DjangoDbBlocker
) -> None:
    tenant = committed_tenants[0]
    traffic, runs = Traffic(tenant, datasets), []
    with django_db_blocker.unblock(), in_tenant(tenant):
        quiet = table_of(datasets["quiet"])
        with traffic.flowing():
            for number in range(SLOTS):
                before = traffic.moved
                runs.append(by_hand() if number == 2 else scheduled(number))
                while traffic.moved == before and not traffic.problems:
                    traffic.is_over.wait(0.01)
                if number == 3:
                    with connection.cursor() as cursor:
                        cursor.execute(f"UPDATE {quiet[0]} SET {quiet[2]} = 5 WHERE {quiet[1]} = 5")
        for run in runs:
            check(run, datasets)
        held = [[entry["slug"] for entry in run.skipped if entry["slug"] == "quiet"] for run in runs]
        assert held == [[], ["quiet"], [], ["quiet"], [], ["quiet"]]  # the third was asked for by hand
        assert traffic.imported > 0


def test_a_snapshot_for_each_dataset_is_caught(
    committed_tenants: list[TenantRef],
    datasets: dict[str, Dataset],
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = committed_tenants[0]
    traffic, written = Traffic(tenant, datasets), writing.write_dataset
    with django_db_blocker.unblock(), in_tenant(tenant):
        link = traffic.linked()

        def anew(source: Snapshot, *rest: Any, **named: Any) -> Written:
            traffic.move(link, random.Random(7))
            with source.cursor() as cursor:
                cursor.execute("COMMIT")
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return written(source, *rest, **named)

        monkeypatch.setattr(running, "write_dataset", anew)
        run = by_hand()
        link.close()
        with pytest.raises(AssertionError, match="left|right"):
            check(run, datasets)
        found = {file.dataset_slug: sum(records_in(file).values()) for file in run.files.all()}
        assert found["left"] + found["right"] != TOTAL
