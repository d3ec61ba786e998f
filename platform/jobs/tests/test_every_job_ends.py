"""No path leaves a job active for ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from jobs import claim, runner, services
from jobs.kinds import registry
from jobs.limits import MAX_ATTEMPTS, MAX_ENDING_ATTEMPTS
from jobs.models import Job, TenantShare
from jobs.tests.conftest import EffectsOf
from jobs.tests.kinds_again import KINDS

LONG_AGO = "2020-01-01T00:00Z"


@pytest.fixture(autouse=True)
def added_kinds(own_kinds: None) -> None:
    registry().update(KINDS)


def change(job: Job, **values: object) -> None:
    with in_public():
        Job.objects.filter(pk=job.pk).update(**values)


def row(job: Job) -> Job:
    with in_public():
        return Job.objects.get(pk=job.pk)


def ended(job: Job) -> tuple[str, str]:
    """Run a job as workers do, whatever rests it gets, and return how it ended."""
    with in_public():
        for _ in range(2 * MAX_ENDING_ATTEMPTS):
            Job.objects.filter(pk=job.pk).update(not_before=LONG_AGO)
            taken = claim.claim()
            if taken is None:
                break
            runner.run_slice(taken)
    job = row(job)
    assert job.has_ended
    return job.state, job.error_code


def test_a_kind_that_no_app_declares_any_more(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={})
    change(job, kind="gone.kind")
    assert ended(job) == ("FAILED", "unknown-kind")


def test_a_kind_that_another_release_declares_waits_for_its_workers(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={})
    kind = registry().pop("test.append")
    services.run_pending()
    waiting = row(job)
    assert (waiting.state, waiting.error_code) == ("QUEUED", "unknown-kind")
    assert waiting.not_before - now() > timedelta(seconds=50)
    registry()["test.append"] = kind
    assert ended(job) == ("DONE", "")


def test_a_handler_that_is_not_there(as_acme: TenantRef) -> None:
    job = services.submit("again.missing", target="orders", payload={})
    assert ended(job) == ("FAILED", "unexpected")
    assert row(job).attempts == MAX_ENDING_ATTEMPTS
    assert "ModuleNotFoundError" in row(job).error


def test_an_app_that_cannot_be_told_keeps_the_first_reason(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.deaf", target="orders", payload={})
    assert ended(job) == ("FAILED", "refused")
    job = row(job)
    assert (job.attempts, job.error) == (MAX_ENDING_ATTEMPTS, "This cannot be done; do something else.")


def test_a_process_that_dies_of_telling_the_end(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("again.deadly", target="orders", payload={})
    change(job, attempts=MAX_ENDING_ATTEMPTS)
    assert ended(job) == ("FAILED", "worker-died")


def test_a_tenant_whose_schema_is_gone(db: None) -> None:
    with in_tenant(TenantRef("t_gonegone", "gone")):
        job = services.submit("test.append", target="orders", payload={})
    assert ended(job) == ("FAILED", "unexpected")


def test_a_tenant_that_is_forgotten_while_its_slice_runs(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        taken = claim.claim_one(job.pk)
        assert taken
        services.forget_tenant(as_acme.schema)
        runner.run_slice(taken)
        assert not Job.objects.filter(pk=job.pk).exists()
    assert effects_of(as_acme, job.pk) == []


def test_a_paused_tenants_job_that_is_cancelled_ends_without_its_resume(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 2})
    services.pause_tenant(as_acme.schema)
    assert services.run_pending() == 0
    assert services.cancel(job.pk)
    services.run_pending()
    assert services.status(job.pk).state == "CANCELLED"
    assert effects_of(as_acme, job.pk) == ["cancelled: cancelled"]
    with in_public():
        assert TenantShare.objects.get(schema=as_acme.schema).state == "PAUSED"


def test_work_for_a_far_future_is_refused_and_for_a_near_one_can_be_cancelled(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    with pytest.raises(ValueError, match="at most 31 days ahead"):
        services.submit("test.append", target="o", payload={}, not_before=now() + timedelta(days=400))
    job = services.submit("test.append", target="o", payload={}, not_before=now() + timedelta(days=30))
    services.cancel(job.pk)
    services.run_pending()
    assert services.status(job.pk).state == "CANCELLED"


def test_a_cancel_does_not_wait_for_a_rest(as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path) -> None:
    job = services.submit("test.explode", target="orders", payload={})
    services.run_pending()
    assert services.run_pending() == 0  # it rests
    services.cancel(job.pk)
    assert services.run_pending() == 1
    assert services.status(job.pk).state == "CANCELLED"


def test_work_given_back_again_and_again_ends_by_its_limit(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    from jobs import ending  # noqa: PLC0415 -- beside its one use

    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        for _ in range(MAX_ATTEMPTS + 2):
            taken = claim.claim_one(job.pk)
            assert taken
            ending.give_back(taken, seconds=3600.0)
    assert ended(job) == ("FAILED", "too-long")


def test_attempts_that_fail_count_towards_the_limit(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    from jobs import ending  # noqa: PLC0415 -- beside its one use

    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        taken = claim.claim_one(job.pk)
        assert taken
        ending.release(taken, ValueError("it was stopped"), seconds=1e6)
    assert ended(job) == ("FAILED", "too-long")


def test_a_cancel_that_nobody_here_can_tell_waits_for_a_worker_that_can(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={})
    kind = registry().pop("test.append")
    services.cancel(job.pk)
    assert services.run_pending() == 1
    waiting = row(job)
    assert (waiting.state, waiting.attempts) == ("QUEUED", 1)
    assert waiting.not_before - now() > timedelta(seconds=50)
    registry()["test.append"] = kind
    assert ended(job) == ("CANCELLED", "cancelled")
    assert effects_of(as_acme, job.pk) == ["cancelled: cancelled"]
