"""kill -9 of a worker at every step of a change of a definition: all or nothing, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from core.tenancy import TenantRef, in_public, in_tenant
from datasets import changing
from datasets.change_models import Change
from datasets.change_work import PHASES
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.tests.test_changing import catalog
from jobs.models import Job
from tests.test_kills import Worker, until

RECORDS = 12_000  # more than an index is built over at once


@pytest.fixture
def worker(tmp_path: Path, committed_tenants: list[TenantRef]) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.stop()


def made() -> Dataset:
    dataset = create_dataset(title="Things", columns=[NewColumn("no", "text"), NewColumn("w")], key=["no"])
    no = dataset.spec().columns[0].name
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ds_{dataset.pk} ({no}) SELECT ' ' || n FROM generate_series(1, {RECORDS}) n"
        )
    return dataset


def phase_of(change: Change) -> str:
    with in_public():
        job = Job.objects.get(pk=int(change.job_id))
        return str(job.cursor.get("phase", "begin")) if job.state in ("QUEUED", "RUNNING") else "over"


def followed(change: Change) -> Change:
    def is_over() -> bool:
        change.refresh_from_db()
        return change.state not in ("CHECK_IN_PROGRESS", "CHANGE_IN_PROGRESS") and phase_of(change) == "over"

    until(is_over)
    return change


@pytest.mark.slow
@pytest.mark.case("I04")
def test_a_worker_killed_at_any_step_of_a_change_leaves_it_whole_or_not_begun(
    worker: Worker, committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker
) -> None:
    hits = set()
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]):
        dataset = made()
        stands = catalog(dataset)
        worker.start()
        column = dataset.columns.get(label="no")
        for phase in PHASES:
            kind = {"text": "integer", "integer": "text"}[column.type]
            change = followed(changing.propose_change(dataset=dataset, column=column, type=kind))
            changing.confirm_change(change=change)
            seen = phase_of(change)
            while seen != phase and seen != "over":
                seen = phase_of(change)
            worker.kill()
            hits |= {phase} if seen == phase else set()
            worker.start()
            assert followed(change).state == "CHANGE_SUCCEEDED", (phase, change.error)
            column.refresh_from_db()
            assert column.type == kind
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT count(*), count(DISTINCT t.c{column.pk}), count(*) FILTER (WHERE t.c{column.pk}::text"
                    f" IS DISTINCT FROM h.c{column.pk}::text), sum(trim(t.c{column.pk}::text)::bigint)"
                    f" FROM ds_{dataset.pk} t JOIN ds_{dataset.pk}_history h USING (id)"
                )
                assert cursor.fetchone() == (RECORDS, RECORDS, 0, RECORDS * (RECORDS + 1) // 2)
            if kind == "text":
                assert catalog(dataset) == stands
        print(f"killed in {sorted(hits)}")  # noqa: T201 -- figures of the run
        assert len(hits) >= 3


@pytest.mark.slow
def test_a_change_given_up_at_any_step_leaves_nothing(
    worker: Worker, committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]):
        dataset = made()
        stands = catalog(dataset)
        worker.start()
        column = dataset.columns.get(label="no")
        for phase in ("begin", "records", "versions", "catch_up", "index"):
            change = followed(changing.propose_change(dataset=dataset, column=column, type="integer"))
            changing.confirm_change(change=change)
            seen = phase_of(change)
            while seen != phase and seen != "over":
                seen = phase_of(change)
            try:
                changing.cancel_change(change=change)
            except changing.ChangeOver:
                pass
            followed(change)
            with in_public():
                until(
                    lambda: (
                        not Job.objects.filter(
                            kind="datasets.tidy_change", state__in=("QUEUED", "RUNNING")
                        ).exists()
                    )
                )
            if change.state == "CANCELLED":
                assert catalog(dataset) == stands, phase
                continue
            back = followed(changing.revert_change(change=change))
            changing.confirm_change(change=back)
            assert followed(back).state == "CHANGE_SUCCEEDED"
            assert catalog(dataset) == stands
