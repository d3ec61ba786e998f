"""Starting a failed or cancelled import again, and cancelling one wherever it stands."""

from __future__ import annotations

from threading import Timer
from time import monotonic
from typing import Any

import psycopg2
import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

import jobs.services
from audit.models import Event
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from datasets.services import delete_dataset
from importer import merge as merging
from importer import preview as previewing
from importer import services, staging
from importer.models import ImportIssue, ImportJob, RejectedRow, State
from importer.rights import NoLongerPermitted
from importer.tests.test_refusals import PLANTED
from importer.tests.tools import (
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    versions,
    work,
)  # fmt: skip
from jobs.models import Job
from jobs.services import NotRetryable, retry

CALLED = [(1, "new"), (2, "paid"), (3, "sent")]


def broken(*_: Any, **__: Any) -> None:
    raise ValueError("the disk is full")


def fresh(job: ImportJob) -> ImportJob:
    return ImportJob.objects.select_related("dataset").get(pk=job.pk)


def to_the_end(number: str) -> Job:
    """Run one background job to its end, without its rests."""
    return jobs.services.run_until_done(int(number))


def failed_merge(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> ImportJob:
    job = upload(dataset)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_merge", broken)
        services.confirm_import(job=job, by=person())
        assert to_the_end(fresh(job).merge_job_id).state == "FAILED"
    job = fresh(job)
    assert (job.state, job.error_code, records(dataset)) == (State.IMPORT_FAILED, "unexpected", [])
    return job


def failed_preview(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, phase: str = "plan") -> ImportJob:
    with monkeypatch.context() as patch:
        patch.setitem(previewing.PHASES, phase, broken)
        job = upload(dataset, PLANTED)
        to_the_end(job.preview_job_id)
    job = fresh(job)
    assert (job.state, job.error_code) == (State.PREVIEW_FAILED, "unexpected")
    return job


# ---- a merge


def test_a_failed_merge_started_again_imports_what_was_previewed_and_tells_the_person(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    confirmed_at = job.confirmed_at
    with in_public():  # by an operator, who is in no tenant
        retry(int(job.merge_job_id))
    job = fresh(job)
    assert (job.state, job.error, job.ended_at) == (State.IMPORT_IN_PROGRESS, "", None)
    assert job.notice == "This import had failed and was started again."
    job = work(job)
    assert (job.state, counts(job), job.confirmed_at) == (State.IMPORT_SUCCEEDED, (3, 0, 0, 0), confirmed_at)
    assert [record[:2] for record in records(orders)] == CALLED
    assert versions(orders) == 3
    assert jobs.services.status(int(job.merge_job_id)).state == "DONE"
    assert not staging.is_whole(job)
    assert Event.objects.filter(name="importer.job.started_again", target_id=str(job.pk)).count() == 1


def test_a_failed_merge_whose_rows_are_gone_is_refused_with_what_to_do(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    staging.drop(job.pk)
    with pytest.raises(NotRetryable, match="not there any more. Upload the file again"):
        retry(int(job.merge_job_id))
    assert fresh(job).state == State.IMPORT_FAILED
    assert jobs.services.status(int(job.merge_job_id)).state == "FAILED"


def test_a_failed_merge_of_a_changed_definition_is_refused(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    Dataset.objects.filter(pk=orders.pk).update(definition_version=orders.definition_version + 1)
    with pytest.raises(NotRetryable, match="definition changed since the preview. Upload the file again"):
        retry(int(job.merge_job_id))


def test_a_merge_that_failed_by_a_changed_definition_keeps_no_rows(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    Dataset.objects.filter(pk=orders.pk).update(definition_version=orders.definition_version + 1)
    job = work(job)
    assert (job.state, job.error_code) == (State.IMPORT_FAILED, "definition-changed")
    assert not staging.is_whole(job)


def test_a_failed_merge_asks_the_rights_anew_when_it_is_started_and_when_it_runs(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    owner = person()
    groups = list(owner.groups.all())
    owner.groups.clear()
    with pytest.raises(NoLongerPermitted):
        retry(int(job.merge_job_id))
    owner.groups.set(groups)
    retry(int(job.merge_job_id))
    owner.groups.clear()
    job = work(job)
    assert (job.state, job.error_code, records(orders)) == (State.IMPORT_FAILED, "no-longer-permitted", [])
    owner.groups.set(groups)
    retry(int(job.merge_job_id))
    assert work(job).state == State.IMPORT_SUCCEEDED


def test_a_failed_merge_waits_for_another_import_into_the_dataset(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = upload(orders, "id,status\n9,new\n")
    job = failed_merge(orders, monkeypatch)
    services.confirm_import(job=other, by=person())
    with pytest.raises(NotRetryable, match="Another import into this dataset is running. Wait"):
        retry(int(job.merge_job_id))
    assert fresh(job).state == State.IMPORT_FAILED
    work(other)
    retry(int(job.merge_job_id))
    assert work(job).state == State.IMPORT_SUCCEEDED


def test_a_failed_merge_started_again_after_the_records_changed_goes_back_to_its_preview(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = upload(orders, "id,status\n1,sent\n")
    job = failed_merge(orders, monkeypatch)
    merge(other)
    retry(int(job.merge_job_id))
    job = work(job)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (2, 1, 0, 0))
    assert "since the preview" in job.notice


def test_a_merge_that_was_cancelled_is_not_started_again(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    services.cancel_import(job=fresh(job), by=person())
    job = work(job)
    with pytest.raises(NotRetryable, match="not waiting for its merge: cancelled. Upload the file"):
        retry(int(job.merge_job_id))


def test_a_merge_whose_end_the_import_never_heard_of_is_started_again(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    job = fresh(job)
    with in_public():
        Job.objects.filter(pk=job.merge_job_id).update(state="FAILED", error_code="unexpected")
    retry(int(job.merge_job_id))
    assert work(job).state == State.IMPORT_SUCCEEDED


def test_an_import_that_succeeded_is_only_tidied_when_its_job_is_started_again(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = upload(orders)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_tidy", broken)
        services.confirm_import(job=job, by=person())
        to_the_end(fresh(job).merge_job_id)
    job = fresh(job)
    assert job.state == State.IMPORT_SUCCEEDED
    assert jobs.services.status(int(job.merge_job_id)).state == "FAILED"
    assert not staging.is_whole(job)  # its end tidied up
    retry(int(job.merge_job_id))
    assert work(job).state == State.IMPORT_SUCCEEDED
    assert versions(orders) == 3
    with pytest.raises(NotRetryable, match="is done"):
        retry(int(job.merge_job_id))


def test_an_earlier_merge_of_an_import_confirmed_again_is_not_started(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    ImportJob.objects.filter(pk=job.pk).update(merge_job_id="0")
    with pytest.raises(NotRetryable, match="only its last merge"):
        retry(int(job.merge_job_id))


# ---- a preview


@pytest.mark.parametrize("phase", ["open", "refuse", "plan"])
def test_a_failed_preview_started_again_begins_anew_and_stages_no_row_twice(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    job = failed_preview(orders, monkeypatch, phase)
    retry(int(job.preview_job_id))
    job = fresh(job)
    assert (job.state, job.error, job.notice) == (
        State.CREATED, "", "Its preview had ended and was started again.",
    )  # fmt: skip
    job = work(job)
    assert (job.state, counts(job), job.read_rows) == (State.PREVIEW_SUCCEEDED, (1, 0, 0, 4), 5)
    assert ImportIssue.objects.filter(job=job).count() == RejectedRow.objects.filter(job=job).count() == 4
    status = jobs.services.status(int(job.preview_job_id))
    assert (status.state, status.processed, status.total) == ("DONE", 5, 5)
    assert merge(job).state == State.IMPORT_SUCCEEDED
    assert [record[0] for record in records(orders)] == [4]


def test_a_cancelled_preview_can_be_started_again(orders: Dataset) -> None:
    job = upload(orders)
    services.set_mapping(job=job, by=person(), overrides={"header_row": 1})
    services.cancel_import(job=fresh(job), by=person())
    job = work(job)
    assert job.state == State.CANCELLED
    retry(int(job.preview_job_id))
    assert (job := work(job)).state == State.PREVIEW_SUCCEEDED
    assert merge(job).state == State.IMPORT_SUCCEEDED


def test_a_preview_that_failed_by_a_changed_definition_is_matched_anew(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_preview(orders, monkeypatch)
    Dataset.objects.filter(pk=orders.pk).update(definition_version=orders.definition_version + 1)
    retry(int(job.preview_job_id))
    job = work(job)
    assert (job.state, job.definition_version) == (
        State.PREVIEW_SUCCEEDED,
        fresh(job).dataset.definition_version,
    )


def test_a_preview_that_was_made_again_since_is_not_started(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_preview(orders, monkeypatch)
    first = job.preview_job_id
    services.set_mapping(job=job, by=person(), overrides={"header_row": 1})
    with pytest.raises(NotRetryable, match="previewed again since"):
        retry(int(first))
    assert work(job).state == State.PREVIEW_SUCCEEDED


def test_a_preview_of_an_import_that_went_on_is_not_started(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_preview(orders, monkeypatch)
    ImportJob.objects.filter(pk=job.pk).update(state=State.PREVIEW_SUCCEEDED)
    with pytest.raises(NotRetryable, match="past its preview: waiting for confirmation"):
        retry(int(job.preview_job_id))


def test_an_import_that_went_with_its_dataset_is_not_started(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = failed_merge(orders, monkeypatch)
    delete_dataset(dataset=orders, by=person())
    with pytest.raises(NotRetryable, match="removed with its dataset"):
        retry(int(job.merge_job_id))


# ---- cancelling


def test_an_import_whose_job_ended_without_a_word_or_was_purged_can_be_cancelled(orders: Dataset) -> None:
    for change in ({"state": "FAILED", "error_code": "x"}, None):
        job = upload(orders)
        services.confirm_import(job=job, by=person())
        job = fresh(job)
        with in_public():
            own = Job.objects.filter(pk=job.merge_job_id)
            own.update(**change) if change else own.delete()
        services.cancel_import(job=job, by=person())
        assert fresh(job).state == State.CANCELLED
    assert import_text(orders).state == State.IMPORT_SUCCEEDED


def test_an_import_of_a_paused_tenant_ends_when_it_is_cancelled(orders: Dataset, as_acme: TenantRef) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    jobs.services.pause_tenant(as_acme.schema)
    services.cancel_import(job=fresh(job), by=person())
    assert work(job).state == State.CANCELLED
    assert records(orders) == []


def test_a_merge_cancelled_while_it_runs_stops_soon_and_writes_nothing(
    committed_tenants: list[TenantRef],
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.ROWHOUSE_JOB_LEASE_SECONDS = 3
    update = merging._update

    def slowly(*arguments: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return update(*arguments)

    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]):
        orders = make_orders()
        job = upload(orders)
        services.confirm_import(job=job, by=person())
        number = int(fresh(job).merge_job_id)
        Timer(0.5, _cancel_from_aside, (number,)).start()
        begun = monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(merging, "_update", slowly)
            ended = jobs.services.run_until_done(number)
        assert monotonic() - begun < 10
        assert (ended.state, ended.attempts <= 2) == ("CANCELLED", True)
        job = fresh(job)
        assert (job.state, records(orders), versions(orders)) == (State.CANCELLED, [], 0)
        assert job.ended_at
        assert import_text(orders, "id,status\n1,new\n").state == State.IMPORT_SUCCEEDED


def _cancel_from_aside(number: int) -> None:
    aside = psycopg2.connect(**connection.get_connection_params())
    with aside, aside.cursor() as cursor:
        cursor.execute("UPDATE public.jobs_job SET cancel_requested = true WHERE id = %s", [number])
    aside.close()
