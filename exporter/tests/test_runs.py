"""The life of a run: one snapshot, once per hour, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.db import OperationalError, connection, transaction

from accounts.models import User
from audit.models import Event
from core import storage
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile, ExportRun, Fault, State, Trigger
from exporter.running import RunHeld, RunSucceeded, begin_run, write_files
from exporter.services import ExportBusy, NothingToExport, cancel_export, request_export, verify_exports
from exporter.tests.helpers import content, dataset_with, export, insert, parsed, stored_keys
from exporter.tests.s3 import HOWS, S3Server
from jobs import services as jobs

SLOT = datetime(2026, 11, 20, 23, tzinfo=UTC)


def never() -> bool:
    return False


@contextmanager
def another_connection(tenant: TenantRef) -> Iterator[Any]:
    """Give a connection that commits each statement in the tenant's schema."""
    aside = psycopg2.connect(**connection.get_connection_params())
    aside.autocommit = True
    try:
        with aside.cursor() as cursor:
            cursor.execute(f'SET search_path = "{tenant.schema}"')
            yield cursor
    finally:
        aside.close()


def scheduled(slot: datetime = SLOT) -> int:
    """Submit the hour's job as the dispatcher does and run it; returns the job's number."""
    job = jobs.submit("exporter.run", target=slot.isoformat(), payload={"slot": slot.isoformat()})
    assert jobs.run_until_done(job.pk).state == "DONE"
    return job.pk


def write(run: ExportRun, is_cancelled: Callable[[], bool] = never, number: int = 1) -> int | None:
    with transaction.atomic():
        return write_files(run, number=number, is_cancelled=is_cancelled, now=now)


def manual_run(*datasets: Dataset) -> ExportRun:
    run = ExportRun.objects.create(trigger=Trigger.MANUAL, chosen=[one.pk for one in datasets])
    with transaction.atomic():
        begin_run(run, now=now())
    return run


@pytest.mark.case("C11")
def test_all_files_of_a_run_show_one_moment(t1: TenantRef) -> None:
    first = dataset_with([["1", "before"]], slug="first")
    second = dataset_with([["1", "before"]], slug="second")
    run = manual_run(first, second)

    with another_connection(t1) as aside:

        def change_both() -> bool:  # called when each file's first bytes arrive
            changes = [
                f"UPDATE ds_{one.pk} SET {one.spec().columns[1].name} = 'after'" for one in (first, second)
            ]
            aside.execute("; ".join(["BEGIN", *changes, "COMMIT"]))
            return False

        assert write(run, change_both) == 2

    assert {content(file) for file in run.files.all()} == {b"id,note\n1,before\n"}
    assert {content(file) for file in export().files.all()} == {b"id,note\n1,after\n"}


def test_what_is_committed_during_an_export_is_in_the_next_one(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    run = manual_run(dataset)
    insert(dataset, [["2", "b"]])  # after the plan, before the snapshot

    write(run)

    assert len(parsed(content(run.files.get()))) == 3


def test_a_scheduled_run_exists_once_per_hour(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])

    job = scheduled()
    before = ExportFile.objects.get()
    scheduled()  # the same hour again, by another job

    run = ExportRun.objects.get()
    assert (run.trigger, run.slot, run.state, run.job_id) == (Trigger.SCHEDULED, SLOT, State.SUCCEEDED, job)
    assert stored_keys() == ["t1/exports/orders/2026/11/20/orders_20261120T230000Z.csv"]
    assert (ExportFile.objects.get(), ExportFile.objects.get().sha256) == (before, before.sha256)
    with pytest.raises(RunSucceeded):
        write(run)


def test_a_run_repeated_after_a_death_leaves_one_object_and_one_row(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    run = manual_run(dataset)

    with transaction.atomic():  # the object is there, the worker dies before its row is committed
        write_files(run, number=1, is_cancelled=never, now=now)
        transaction.set_rollback(True)
    assert (len(stored_keys()), ExportFile.objects.count()) == (1, 0)
    insert(dataset, [["2", "b"]])
    run = ExportRun.objects.get()
    write(run, number=2)

    file = ExportFile.objects.get()
    assert stored_keys() == [file.key]
    assert file.key.endswith("Z.2.csv")
    assert [one.fault for one in verify_exports(now=now())] == [Fault.NONE]
    assert file.rows == 2


@pytest.mark.case("I02")
def test_a_worker_that_wakes_up_after_another_did_its_work_changes_no_stored_file(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_with([["1", "a"]])
    run = manual_run(dataset)
    frozen: list[storage.LocalWriter] = []

    def freeze(writer: storage.LocalWriter) -> None:
        frozen.append(writer)
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:  # frozen before its object appears; its transaction is lost
        patch.setattr(storage.LocalWriter, "finish", freeze)
        patch.setattr(storage.LocalWriter, "abort", lambda _writer: None)
        with pytest.raises(OperationalError):
            write(run)
    insert(dataset, [["2", "b"]])
    assert write(ExportRun.objects.get(), number=2) == 1
    frozen[0].finish()

    file = ExportFile.objects.get()
    assert [one.fault for one in verify_exports(now=now())] == [Fault.NONE]
    assert sorted(stored_keys()) == sorted([file.key, frozen[0].key])
    assert file.key != frozen[0].key


@pytest.mark.case("I02", "C08")
def test_a_failure_in_the_middle_leaves_no_object_and_a_failed_run(t1: TenantRef, tmp_path: Path) -> None:
    dataset_with([["1", "a"]], slug="first")
    dataset_with([["1", "b"]], slug="second")
    blocked = tmp_path / "storage" / "t1" / "exports" / "second"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder must be")

    run = export()

    assert (run.state, run.error_code, run.files.count()) == (State.FAILED, "unexpected", 0)
    assert "Something unexpected" in run.error
    assert [file for file in (tmp_path / "storage").rglob("*") if file.is_file()] == [blocked]
    assert Event.objects.filter(name="exporter.run.failed", target_id=str(run.pk)).count() == 1


def test_a_failed_run_succeeds_when_its_job_is_tried_again(t1: TenantRef, tmp_path: Path) -> None:
    dataset_with([["1", "a"]])
    blocked = tmp_path / "storage" / "t1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder must be")
    run = export()
    assert run.state == State.FAILED

    blocked.unlink()
    assert run.job_id is not None
    jobs.retry(run.job_id)
    jobs.run_until_done(run.job_id)

    run.refresh_from_db()
    assert (run.state, run.error, run.files.count()) == (State.SUCCEEDED, "", 1)


def test_a_run_whose_files_another_process_still_writes_waits(t1: TenantRef) -> None:
    run = manual_run(dataset_with([["1", "a"]]))

    with another_connection(t1) as aside:
        aside.execute("SELECT pg_advisory_lock(hashtext(%s), %s)", [f"exporter.run:{t1.schema}", run.pk])
        with pytest.raises(RunHeld):
            write(run)
        aside.execute("SELECT pg_advisory_unlock_all()")
    assert stored_keys() == []

    assert write(run) == 1


def test_a_cancelled_run_leaves_nothing(t1: TenantRef) -> None:
    run = manual_run(dataset_with([["1", "a"]]))

    assert write(run, lambda: True) is None

    assert (stored_keys(), ExportFile.objects.count()) == ([], 0)


def test_a_run_cancelled_while_it_waits_ends_cancelled(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    run = request_export(by=None)

    cancel_export(run=run, by=None)
    assert run.job_id is not None
    jobs.run_until_done(run.job_id)

    run.refresh_from_db()
    assert (run.state, run.error_code, run.files.count()) == (State.CANCELLED, "cancelled", 0)


@pytest.mark.case("C02")
def test_a_second_click_is_refused_while_the_first_export_runs(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    owner, editor = (User.objects.get(email=f"{role}@t1.example") for role in ("owner", "editor"))
    request_export(by=owner)

    with pytest.raises(ExportBusy):
        request_export(by=owner)
    request_export(by=editor)

    assert ExportRun.objects.count() == 2


@pytest.mark.case("O13")
def test_two_runs_in_one_second_write_two_files(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    runs = []
    for _ in range(2):
        run = ExportRun.objects.create(trigger=Trigger.MANUAL, created_at=SLOT)
        with transaction.atomic():
            begin_run(run, now=now())
        runs.append(run)
    for run in runs:
        write(run)

    keys = [f"t1/exports/{dataset.slug}/2026/11/20/orders_20261120T230000Z{mark}.csv" for mark in ("", "_2")]
    assert stored_keys() == keys
    assert [run.files.get().key for run in runs] == keys


@pytest.mark.case("C10")
def test_a_right_taken_back_before_the_run_counts(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    editor = User.objects.get(email="editor@t1.example")
    run = request_export(by=editor)
    groups = list(editor.groups.all())
    editor.groups.clear()
    try:
        assert run.job_id is not None
        jobs.run_until_done(run.job_id)
    finally:
        editor.groups.set(groups)

    run.refresh_from_db()
    assert (run.state, run.files.count(), stored_keys()) == (State.SUCCEEDED, 0, [])


def test_a_tenant_without_datasets_has_no_run_and_no_export_by_hand(t1: TenantRef) -> None:
    scheduled()

    assert not ExportRun.objects.exists()
    with pytest.raises(NothingToExport):
        request_export(by=None)


@pytest.mark.case("T18")
def test_each_tenants_files_land_under_its_own_prefix(pair: list[TenantRef]) -> None:
    for tenant in pair:
        with in_tenant(tenant):
            dataset_with([["1", tenant.slug]])
            scheduled()

    for tenant in pair:
        with in_tenant(tenant):
            assert stored_keys() == [f"{tenant.slug}/exports/orders/2026/11/20/orders_20261120T230000Z.csv"]
            assert content(ExportFile.objects.get()) == f"id,note\n1,{tenant.slug}\n".encode()


def test_a_dataset_deleted_after_the_plan_is_left_out(t1: TenantRef) -> None:
    from datasets.services import delete_dataset  # noqa: PLC0415 -- beside its one use

    first, second = dataset_with([["1", "a"]], slug="first"), dataset_with([["1", "b"]], slug="second")
    run = manual_run(first, second)
    delete_dataset(dataset=first)

    assert write(run) == 1

    assert run.files.get().dataset == second


def test_a_files_row_outlives_its_dataset(t1: TenantRef) -> None:
    from datasets.services import delete_dataset  # noqa: PLC0415 -- beside its one use

    dataset = dataset_with([["1", "a"]])
    file = export().files.get()
    delete_dataset(dataset=dataset)

    file.refresh_from_db()
    assert (file.dataset, file.dataset_slug, file.dataset_title) == (None, "orders", "Orders")
    assert verify_exports(now=now())[0].fault == Fault.NONE


@pytest.mark.case("C08")
def test_a_table_cannot_be_dropped_while_it_is_read(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    run = manual_run(dataset)

    with another_connection(t1) as aside:
        aside.execute("SET lock_timeout = '100ms'")

        def drop() -> bool:
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                aside.execute(f"DROP TABLE ds_{dataset.pk}")
            return False

        assert write(run, drop) == 1


@pytest.mark.case("I02")
@pytest.mark.parametrize("how", ["500", "lost"])
def test_an_export_that_s3_fails_once_ends_with_one_file(t1: TenantRef, on_moto: S3Server, how: str) -> None:
    dataset_with([["1", "a"]])
    on_moto.faults.plan(how, 1)

    run = export()

    file = run.files.get()
    stored = {file.key, run.manifest_key, "t1/exports/orders/latest.json"}
    assert (run.state, set(on_moto.keys()), on_moto.open_uploads()) == (State.SUCCEEDED, stored, [])
    assert [one.fault for one in verify_exports(now=now())] == [Fault.NONE]


@pytest.mark.case("I02")
@pytest.mark.slow  # its short form is the test above
@pytest.mark.parametrize("how", HOWS)
def test_an_export_whose_nth_call_to_s3_fails_ends_with_one_file(
    t1: TenantRef, on_moto: S3Server, settings: Any, how: str
) -> None:
    dataset_with([["1", "a"]])
    keys, number = {"t1/exports/orders/latest.json"}, 0
    while True:
        number += 1
        on_moto.faults.plan(how, number)
        settings.STORAGES = {**settings.STORAGES, "default": on_moto.storages()}

        run = export()

        file = run.files.get()
        was_hit = on_moto.faults.is_hit
        on_moto.faults.plan("500", 0)
        keys |= {file.key, run.manifest_key}
        assert (run.state, set(on_moto.keys()), on_moto.open_uploads()) == (State.SUCCEEDED, keys, []), number
        assert [one.fault for one in verify_exports(now=now(), files=[file])] == [Fault.NONE]
        if not was_hit:
            break
    assert number > 1
