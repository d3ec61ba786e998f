"""Running slices: exactly-once effects, failures, fences, cancel."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant, tenant_or_none
from jobs import claim, runner, services
from jobs.kinds import Slice, Step
from jobs.models import Job
from jobs.tests.conftest import EffectsOf


def run_once(job: Job) -> Job:
    with in_public():
        claimed = claim.claim_one(job.pk)
        assert claimed
        runner.run_slice(claimed)
        return Job.objects.get(pk=job.pk)


def test_a_job_runs_slice_by_slice_to_its_end(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 3})
    seen: list[tuple[str, int]] = []
    done = services.run_until_done(job.pk, on_progress=lambda s: seen.append((s.state, s.processed)))
    assert (done.state, done.step, done.processed, done.total, done.error) == ("DONE", 3, 3, 3, "")
    assert seen == [("RUNNING", 1), ("RUNNING", 2), ("DONE", 3)]
    assert effects_of(as_acme, job.pk) == ["step 0", "step 1", "step 2"]


def test_everything_pending_runs_each_in_its_own_tenant(
    acme: TenantRef, globex: TenantRef, effects_of: EffectsOf
) -> None:
    jobs = {}
    for tenant in (acme, globex):
        with in_tenant(tenant):
            jobs[tenant] = services.submit("test.append", target="orders", payload={"steps": 2})
    with in_tenant(acme):
        assert services.run_pending() == 4
        assert tenant_or_none() == acme
    assert effects_of(acme, jobs[acme].pk) == effects_of(globex, jobs[globex].pk) == ["step 0", "step 1"]
    assert effects_of(acme, jobs[globex].pk) == []


def test_a_slice_that_dies_after_its_effect_leaves_nothing_and_is_repeated(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = services.submit("test.stumble", target="orders", payload={"mark": str(tmp_path / "mark")})
    stumbled = run_once(job)
    assert (stumbled.state, stumbled.attempts, stumbled.lease) == ("QUEUED", 1, None)
    assert effects_of(as_acme, job.pk) == []
    assert services.run_until_done(job.pk).state == "DONE"
    assert effects_of(as_acme, job.pk) == ["effect"]


def test_a_slice_whose_lease_was_taken_commits_nothing(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.robbed", target="orders", payload={})
    assert run_once(job).state == "RUNNING"
    assert effects_of(as_acme, job.pk) == []


def test_a_zombie_of_an_earlier_lease_commits_nothing(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        zombie = claim.claim_one(job.pk)
        assert zombie
        Job.objects.filter(pk=job.pk).update(lease=uuid4())
        runner.run_slice(zombie)
    assert effects_of(as_acme, job.pk) == []


def test_a_refusal_fails_the_job_at_once_with_its_code_and_sentence(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.refuse", target="orders", payload={})
    failed = services.run_until_done(job.pk)
    assert (failed.state, failed.error_code, failed.attempts) == ("FAILED", "refused", 1)
    assert failed.error == "This cannot be done; do something else."
    assert effects_of(as_acme, job.pk) == ["failed: refused"]


@pytest.mark.case("I13")
def test_an_unexpected_error_is_tried_five_times_and_then_told_without_its_details(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.explode", target="orders", payload={})
    assert run_once(job).not_before > job.not_before
    failed = services.run_until_done(job.pk)
    assert (failed.state, failed.error_code, failed.attempts) == ("FAILED", "unexpected", 5)
    assert "secret" not in failed.error
    assert effects_of(as_acme, job.pk) == ["failed: unexpected"]


@pytest.mark.case("I13")
def test_a_job_whose_worker_died_five_times_fails_with_a_reason(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        for _ in range(5):
            assert claim.claim_one(job.pk)  # and nothing more is heard of it
            Job.objects.filter(pk=job.pk).update(lease_until="2020-01-01T00:00Z")
            assert claim.reap() == 1
    failed = services.run_until_done(job.pk)
    assert (failed.state, failed.error_code) == ("FAILED", "worker-died")
    assert failed.error.startswith("The worker died 5 times at step 0 of this job, so it was given up.")
    assert effects_of(as_acme, job.pk) == ["failed: worker-died"]


def test_an_app_that_cannot_hear_of_the_end_does_not_keep_the_job_alive_for_ever(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.deaf", target="orders", payload={})
    failed = services.run_until_done(job.pk)
    assert (failed.state, failed.attempts) == ("FAILED", 10)


def test_a_cancelled_job_ends_before_its_next_slice(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 3})
    run_once(job)
    assert services.cancel(job.pk)
    cancelled = services.run_until_done(job.pk)
    assert (cancelled.state, cancelled.error_code) == ("CANCELLED", "cancelled")
    assert effects_of(as_acme, job.pk) == ["step 0", "cancelled: cancelled"]
    assert not services.cancel(job.pk)


def test_a_job_that_worked_too_long_fails(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        Job.objects.filter(pk=job.pk).update(busy_seconds=1e6)
    assert services.run_until_done(job.pk).error_code == "too-long"


def test_a_failed_job_can_be_started_again_from_its_last_slice(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 2})
    run_once(job)
    services.cancel(job.pk)
    services.run_until_done(job.pk)
    services.retry(job.pk)
    assert services.run_until_done(job.pk).state == "DONE"
    assert effects_of(as_acme, job.pk) == ["step 0", "cancelled: cancelled", "step 1"]
    with pytest.raises(services.NotRetryable):
        services.retry(job.pk)


def test_a_long_statement_outlasts_the_limit_of_others(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    job = services.submit("test.slow_statement", target="orders", payload={"seconds": 0.1})
    assert services.run_until_done(job.pk).state == "DONE"


def test_work_that_is_not_yet_due_waits(as_acme: TenantRef, effects_of: EffectsOf) -> None:
    services.submit("test.append", target="orders", payload={}, not_before=now() + timedelta(hours=1))
    assert services.run_pending() == 0


def parallel_workers_of_a_slice(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return over how many processes more a query of a slice may be spread."""
    told: list[int] = []

    def look(_work: Slice) -> Step:
        with connection.cursor() as cursor:
            cursor.execute("SHOW max_parallel_workers_per_gather")
            told.append(int(cursor.fetchone()[0]))
        return Step(done=True)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot()"
        )  # what a transaction, here the test's, has seen of the others
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 2")
    monkeypatch.setattr(runner, "handler_of", lambda _kind: look)
    assert run_once(services.submit("test.append", target="orders", payload={})).state == "DONE"
    return told[0]


def test_no_statement_of_a_slice_is_spread_while_people_are_served(
    as_acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parallel_workers_of_a_slice(monkeypatch) > 0
    given = connection.get_connection_params()
    given = {name: given[name] for name in ("host", "port", "user", "password", "dbname") if name in given}
    with (
        closing(psycopg2.connect(**given, application_name=settings.WEB_NAME)) as web,
        web.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")
        assert parallel_workers_of_a_slice(monkeypatch) == 0
    assert parallel_workers_of_a_slice(monkeypatch) > 0  # the web has left
