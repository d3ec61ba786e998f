"""Starting a failed or cancelled job again: its app is asked, and agrees, moves the start, or refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.tenancy import TenantRef, in_public
from jobs import services
from jobs.kinds import UnknownKind, registry
from jobs.models import Job
from jobs.tests.conftest import EffectsOf
from jobs.tests.kinds_again import KINDS, NotAgain


@pytest.fixture(autouse=True)
def added_kinds(own_kinds: None) -> None:
    registry().update(KINDS)  # forgotten with the registry of the test


def failed(tmp_path: Path, kind: str, **payload: object) -> Job:
    """Return a job that did its first step, then failed; from now on it would succeed."""
    mark = tmp_path / "mark"
    job = services.submit(kind, target="orders", payload={"mark": str(mark), **payload})
    job = services.run_until_done(job.pk)
    assert (job.state, job.error_code, job.processed) == ("FAILED", "not-again", 1)
    mark.touch()
    return job


def test_the_app_is_asked_in_the_jobs_tenant_and_the_job_goes_on_where_it_stood(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.agreed")
    services.retry(job.pk)
    done = services.run_until_done(job.pk)
    assert (done.state, done.processed, done.total) == ("DONE", 2, 2)
    asked = "asked in acme: not-again at second"
    assert effects_of(as_acme, job.pk) == ["first", "failed: not-again", asked, "second"]


def test_an_operator_outside_of_tenants_starts_it_again_in_its_tenant(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.agreed")
    with in_public():
        assert services.retry(job.pk).state == "QUEUED"
    assert effects_of(as_acme, job.pk)[-1] == "asked in acme: not-again at second"


def test_an_app_may_send_it_back_to_its_beginning_and_nothing_is_counted_twice(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.agreed", go_on={})
    again = services.retry(job.pk)
    assert (again.step, again.processed, again.total, again.started_at) == (0, 0, None, None)
    done = services.run_until_done(job.pk)
    assert (done.state, done.processed, done.total) == ("DONE", 2, 2)


def test_an_app_that_refuses_leaves_everything_as_it_was(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.refused")
    with pytest.raises(NotAgain, match="do it anew"):
        services.retry(job.pk)
    with in_public():
        assert Job.objects.filter(pk=job.pk, state="FAILED", error=job.error).exists()
    assert effects_of(as_acme, job.pk) == ["first", "failed: not-again"]


def test_a_retry_while_another_job_is_at_its_target_undoes_what_the_app_did(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.agreed")
    services.submit("again.agreed", target="orders", payload={})
    with pytest.raises(services.TargetBusy):
        services.retry(job.pk)
    assert effects_of(as_acme, job.pk) == ["first", "failed: not-again"]


def test_two_clicks_start_it_once(as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path) -> None:
    job = failed(tmp_path, "again.agreed")
    services.retry(job.pk)
    with pytest.raises(services.NotRetryable, match="is queued"):
        services.retry(job.pk)


def test_another_tenants_job_cannot_be_started_again(
    as_acme: TenantRef, globex: TenantRef, effects_of: EffectsOf
) -> None:
    with in_public():
        theirs = Job.objects.create(schema=globex.schema, kind="test.append", target="o", state="FAILED")
    with pytest.raises(services.JobNotFound):
        services.retry(theirs.pk)


def test_a_job_whose_app_is_gone_cannot_be_started_again(as_acme: TenantRef) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        Job.objects.filter(pk=job.pk).update(kind="gone.kind", state="FAILED")
    with pytest.raises(UnknownKind):
        services.retry(job.pk)


def test_a_retry_in_a_paused_tenant_waits_and_says_so(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path
) -> None:
    job = failed(tmp_path, "again.agreed")
    services.pause_tenant(as_acme.schema)
    services.retry(job.pk)
    assert services.run_pending() == 0
    assert services.status(job.pk).is_paused
    services.resume_tenant(as_acme.schema)
    services.run_pending()
    status = services.status(job.pk)
    assert (status.state, status.is_paused) == ("DONE", False)
