"""One suite for both engines: the queue with real worker processes, and the immediate one without any."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from django.db import transaction
from pytest_django import Settings

from core.tenancy import TenantRef, in_tenant, tenant_or_none
from jobs import doorbell, engine, services
from jobs.models import Job
from jobs.tests.conftest import make_effects, read_effects
from jobs.tests.test_worker import eventually, worker


@dataclass(frozen=True)
class Engine:
    """How the work of a test gets done: `finish` returns when the job has ended."""

    name: str
    ours: TenantRef
    theirs: TenantRef
    nudge: Callable[[], None]

    def submit(self, kind: str, target: str = "orders", **payload: object) -> int:
        with in_tenant(self.ours):
            return services.submit(kind, target=target, payload=payload).pk

    def finish(self, job_id: int) -> services.JobStatus:
        def ended() -> services.JobStatus | None:
            self.nudge()
            status = services.status(job_id)
            return status if status.has_ended else None

        return cast("services.JobStatus", eventually(ended))


@pytest.fixture(scope="module", params=["queue", "immediate"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def by(
    engine_name: str, committed_tenants: list[TenantRef], tmp_path: Path, settings: Settings
) -> Iterator[Engine]:
    for tenant in committed_tenants:
        make_effects(tenant)
    ours, theirs = committed_tenants[:2]
    if engine_name == "immediate":
        settings.ROWHOUSE_JOB_ENGINE = "immediate"
        yield Engine(engine_name, ours, theirs, doorbell.tick)
        return
    with worker(tmp_path / "worker"):
        yield Engine(engine_name, ours, theirs, lambda: None)


def test_slices_are_done_once_and_in_order(by: Engine) -> None:
    job = by.submit("test.append", steps=4)
    assert by.finish(job).processed == 4
    assert read_effects(by.ours, job) == ["step 0", "step 1", "step 2", "step 3"]
    assert read_effects(by.theirs, job) == []


def test_a_slice_that_failed_left_nothing_and_is_done_again(by: Engine, tmp_path: Path) -> None:
    job = by.submit("test.stumble", mark=str(tmp_path / "mark"))
    assert by.finish(job).state == "DONE"
    assert read_effects(by.ours, job) == ["effect"]


def test_a_refusal_ends_the_job_with_its_sentence(by: Engine) -> None:
    job = by.submit("test.refuse")
    status = by.finish(job)
    assert (status.state, status.error_code) == ("FAILED", "refused")
    assert status.error == "This cannot be done; do something else."
    assert read_effects(by.ours, job) == ["failed: refused"]


def test_a_bell_of_a_transaction_that_rolled_back_never_rang(by: Engine) -> None:
    with in_tenant(by.ours):
        try:
            with transaction.atomic():
                job = services.submit("test.append", target="orders", payload={}).pk
                raise ValueError("the caller thinks better of it")
        except ValueError:
            pass
    by.finish(by.submit("test.append", target="others"))
    assert not Job.objects.filter(pk=job).exists()
    assert engine.pending() <= 1


def test_work_asked_for_in_a_transaction_begins_after_it(by: Engine) -> None:
    with in_tenant(by.ours), transaction.atomic():
        job = services.submit("test.append", target="orders", payload={}).pk
        time.sleep(0.2)
        assert services.status(job).state == "QUEUED"
    assert by.finish(job).state == "DONE"


def test_the_callers_tenant_is_still_bound_after_the_work(by: Engine) -> None:
    with in_tenant(by.ours):
        job = services.submit("test.append", target="orders", payload={}).pk
        assert tenant_or_none() == by.ours
    by.finish(job)
    assert tenant_or_none() is None


def test_a_cancelled_job_of_a_paused_tenant_ends(by: Engine) -> None:
    services.pause_tenant(by.ours.schema)
    job = by.submit("test.append", steps=2)
    other = by.submit("test.append", target="others")
    services.cancel(job)
    assert by.finish(job).state == "CANCELLED"
    assert services.status(other).state == "QUEUED"
    services.resume_tenant(by.ours.schema)
    assert by.finish(other).state == "DONE"
