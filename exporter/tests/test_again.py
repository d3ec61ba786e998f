"""Starting a failed or cancelled export again, and cancelling one wherever it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import User
from audit.models import Event
from core.tenancy import TenantRef, in_public
from datasets.models import Dataset
from datasets.services import delete_dataset
from exporter import running, tasks
from exporter.models import ExportFile, ExportRun, State
from exporter.naming import path_of_try
from exporter.running import MOST_TRIES
from exporter.services import NotCancellable, cancel_export, request_export
from exporter.snapshot import snapshot
from exporter.tests.helpers import dataset_with, stored_keys
from jobs import services as jobs
from jobs.models import Job

SLOT = datetime(2026, 11, 20, 23, tzinfo=UTC)


def broken(*_: Any, **__: Any) -> None:
    raise ValueError("the storage is full")


def finished(number: int | None) -> str:
    assert number is not None
    return jobs.run_until_done(number).state


def failed_run(monkeypatch: pytest.MonkeyPatch, *datasets: Dataset, by: User | None = None) -> ExportRun:
    run = request_export(by=by, datasets=datasets or None)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "write_files", broken)
        assert finished(run.job_id) == "FAILED"
    run.refresh_from_db()
    assert (run.state, run.error_code) == (State.FAILED, "unexpected")
    return run


def hour(**values: Any) -> int:
    """Submit the hour's job as the dispatcher does."""
    return jobs.submit(
        "exporter.run", target=SLOT.isoformat(), payload={"slot": SLOT.isoformat()}, **values
    ).pk


def retry(run: ExportRun) -> None:
    assert run.job_id is not None
    with in_public():  # by an operator, who is in no tenant
        jobs.retry(run.job_id)
    run.refresh_from_db()


@pytest.mark.parametrize("outcome", [State.FAILED, State.CANCELLED])
def test_a_run_that_ended_is_queued_again_and_writes_its_files_once(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch, outcome: State
) -> None:
    dataset_with([["1", "a"]])
    if outcome == State.FAILED:
        run = failed_run(monkeypatch)
    else:
        run = request_export(by=None)
        cancel_export(run=run, by=None)
        finished(run.job_id)

    retry(run)

    assert (run.state, run.error, run.finished_at) == (State.QUEUED, "", None)
    assert finished(run.job_id) == "DONE"
    run.refresh_from_db()
    assert (run.state, run.error_code, run.files.count()) == (State.SUCCEEDED, "", 1)
    assert len(stored_keys()) == 1
    assert Event.objects.filter(name="exporter.run.started-again", target_id=str(run.pk)).count() == 1


def test_a_run_started_again_writes_none_of_the_objects_it_wrote_before(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    run = failed_run(monkeypatch)
    plan = run.plan

    retry(run)
    finished(run.job_id)

    assert stored_keys() == [f"t1/{path_of_try(plan[0]['path'], MOST_TRIES + 1)}"]


def test_a_run_started_again_leaves_out_what_may_not_be_exported_any_more(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import access  # noqa: PLC0415 -- beside its one use

    orders, parts = dataset_with([["1", "a"]], slug="orders"), dataset_with([["1", "b"]], slug="parts")
    run = failed_run(monkeypatch, orders, parts, by=User.objects.get(email="editor@t1.example"))
    monkeypatch.setattr(access, "datasets_for", lambda *_: Dataset.objects.filter(pk=parts.pk))

    retry(run)
    finished(run.job_id)

    run.refresh_from_db()
    assert (run.state, [file.dataset for file in run.files.all()]) == (State.SUCCEEDED, [parts])
    assert len(stored_keys()) == 1


def test_a_run_whose_datasets_are_all_gone_is_refused_with_what_to_do(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_with([["1", "a"]])
    run = failed_run(monkeypatch, dataset)
    delete_dataset(dataset=dataset)

    with pytest.raises(jobs.NotRetryable, match="were deleted, or .* Ask for a new export"):
        retry(run)

    run.refresh_from_db()
    assert run.state == State.FAILED


def test_a_run_whose_person_lost_the_right_is_refused(t1: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_with([["1", "a"]])
    editor = User.objects.get(email="editor@t1.example")
    run = failed_run(monkeypatch, by=editor)
    groups = list(editor.groups.all())
    editor.groups.clear()
    try:
        with pytest.raises(jobs.NotRetryable):
            retry(run)
    finally:
        editor.groups.set(groups)


def test_an_hour_that_another_job_did_is_not_done_again(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "begin_run", broken)
        first = hour()
        assert finished(first) == "FAILED"
    second = hour()
    assert finished(second) == "DONE"
    before = ExportFile.objects.get().sha256

    with pytest.raises(jobs.NotRetryable, match="its files are stored"):
        jobs.retry(first)

    assert (ExportRun.objects.get().state, ExportFile.objects.get().sha256) == (State.SUCCEEDED, before)


def test_a_run_that_another_job_is_at_is_left_to_it(t1: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_with([["1", "a"]])
    run = failed_run(monkeypatch)
    other = jobs.submit("exporter.run", target="by hand", payload={"run": run.pk})
    own, run.job_id = run.job_id, other.pk
    run.save()

    assert own is not None
    with pytest.raises(jobs.NotRetryable, match=f"Job {other.pk} is at"):
        jobs.retry(own)


def test_an_hour_that_failed_before_its_run_was_made_is_done_by_its_retry(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "open_run", broken)
        patch.setattr(tasks, "end_run", lambda *_, **__: None)
        job = hour()
        assert finished(job) == "FAILED"
    assert ExportRun.objects.count() == 0

    jobs.retry(job)

    assert finished(job) == "DONE"
    assert (ExportRun.objects.get().slot, ExportRun.objects.get().state) == (SLOT, State.SUCCEEDED)


def test_a_run_that_only_could_not_prune_is_only_pruned(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    run = request_export(by=None)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "prune_exports", broken)
        assert finished(run.job_id) == "FAILED"
    run.refresh_from_db()
    assert run.state == State.SUCCEEDED
    before = run.files.get()

    retry(run)

    assert finished(run.job_id) == "DONE"
    assert (run.state, run.files.get().sha256) == (State.SUCCEEDED, before.sha256)


def test_a_second_export_by_the_same_person_makes_the_retry_wait(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    run = failed_run(monkeypatch)
    request_export(by=None)

    with pytest.raises(jobs.TargetBusy):
        retry(run)

    run.refresh_from_db()
    assert run.state == State.FAILED


# ---- cancelling


@pytest.mark.parametrize("is_purged", [False, True], ids=["ended without a word", "purged"])
def test_a_run_whose_job_is_no_more_can_be_cancelled(t1: TenantRef, is_purged: bool) -> None:
    dataset_with([["1", "a"]])
    run = request_export(by=None)
    with in_public():
        assert run.job_id is not None
        own = Job.objects.filter(pk=run.job_id)
        own.delete() if is_purged else own.update(state="FAILED", error_code="x")

    cancel_export(run=run, by=None)

    run.refresh_from_db()
    assert (run.state, run.error) == (State.CANCELLED, "It was cancelled on request.")
    with pytest.raises(NotCancellable):
        cancel_export(run=run, by=None)


def test_a_run_of_a_paused_tenant_ends_when_it_is_cancelled(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    run = request_export(by=None)
    jobs.pause_tenant(t1.schema)
    try:
        cancel_export(run=run, by=None)
        jobs.run_pending()
    finally:
        jobs.resume_tenant(t1.schema)

    run.refresh_from_db()
    assert (run.state, run.error_code, stored_keys()) == (State.CANCELLED, "cancelled", [])


def test_a_run_cancelled_while_it_is_written_leaves_nothing(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_with([["1", "a"]])
    run = request_export(by=None)

    def cancel_first(*arguments: Any) -> Any:
        cancel_export(run=run, by=None)
        return snapshot(*arguments)

    monkeypatch.setattr(running, "snapshot", cancel_first)
    assert finished(run.job_id) == "CANCELLED"

    run.refresh_from_db()
    assert (run.state, run.files.count(), stored_keys()) == (State.CANCELLED, 0, [])
