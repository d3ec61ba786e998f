"""What a slot makes: the datasets that are due, without the unchanged ones, and a word about what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from django.db import connection

from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from datasets.services import delete_dataset
from exporter import tasks
from exporter.models import DatasetSlot, ExportFile, ExportRun, ExportSettings, Fault, State, Trigger
from exporter.scheduling import keep_slots
from exporter.services import verify_exports
from exporter.tests.helpers import content, dataset_with, export, insert
from jobs import services as jobs
from jobs.models import TenantShare

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def as_before(t1: TenantRef) -> Iterator[None]:
    yield
    with in_public():
        TenantShare.objects.filter(pk=t1.schema).update(
            slot_minutes=60, paused_at=None, resumed_at=None, paused_by="", state="ACTIVE"
        )
    with in_tenant(t1):
        ExportSettings.objects.all().delete()


def asked(slot: datetime) -> int:
    """Ask for a slot's export as the dispatcher does."""
    name = slot.isoformat()
    return jobs.submit("exporter.run", target=name, payload={"slot": name}, idem_key=f"slot:{name}").pk


def come(slot: datetime) -> ExportRun | None:
    """Let a slot come and its job be done; returns its run."""
    assert jobs.run_until_done(asked(slot)).state == "DONE"
    return ExportRun.objects.filter(slot=slot).exclude(state=State.MISSED).first()


def every(schedule: str, dataset: Dataset | None = None, **values: Any) -> None:
    ExportSettings.objects.update_or_create(dataset=dataset, defaults={"every": schedule, **values})


def written(run: ExportRun | None) -> list[str]:
    return [] if run is None else sorted(run.files.values_list("dataset_slug", flat=True))


def change(dataset: Dataset, note: str = "changed") -> None:
    spec = dataset.spec()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {spec.table} SET {spec.columns[1].name} = %s", [note])


@contextmanager
def aside(tenant: TenantRef) -> Iterator[Any]:
    """Give a cursor of a transaction that commits at the end of the block."""
    other = psycopg2.connect(**connection.get_connection_params())
    try:
        with other.cursor() as cursor:
            cursor.execute(f'SET search_path = "{tenant.schema}"')
            yield cursor
        other.commit()
    finally:
        other.close()


# ---- what is due


def test_each_slot_exports_the_datasets_that_are_due_in_it(t1: TenantRef) -> None:
    often, daily = dataset_with([["1", "a"]], slug="often"), dataset_with([["1", "a"]], slug="daily")
    dataset_with([["1", "a"]], slug="never")
    every("NEVER", Dataset.objects.get(slug="never"))
    every("QUARTER", often)
    every("DAY", daily, time_zone="Europe/Berlin")
    runs = []
    for number in range(13 * 4):  # the day in Berlin begins at 23:00
        change(often, f"v{number}")
        change(daily, f"v{number}")
        runs.append(written(come(NOON + number * QUARTER)))
    at_first, midnight = 0, 11 * 4
    assert runs == [["daily", "often"] if n in (at_first, midnight) else ["often"] for n in range(13 * 4)]


def test_a_slot_in_which_nothing_is_due_leaves_no_run(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    every("WEEK")
    assert written(come(NOON)) == ["orders"]
    for number in range(1, 4):
        assert come(NOON + number * HOUR) is None
    assert ExportRun.objects.count() == 1
    # It was looked at, though: with another schedule from now on, nothing in between counts as missed.
    assert DatasetSlot.objects.get(dataset=dataset).slot == NOON + 3 * HOUR
    every("HOUR")
    assert come(NOON + 4 * HOUR) is not None
    assert not ExportRun.objects.filter(state=State.MISSED).exists()


def test_a_dataset_whose_run_failed_is_due_again_in_the_next_slot(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("the storage is full")

    dataset_with([["1", "a"]])
    every("WEEK")
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "write_files", broken)
        assert jobs.run_until_done(asked(NOON)).state == "FAILED"
    assert not DatasetSlot.objects.exists()
    assert written(come(NOON + HOUR)) == ["orders"]
    assert list(ExportRun.objects.order_by("slot").values_list("state", flat=True)) == ["FAILED", "SUCCEEDED"]


def test_what_was_looked_at_only_rises(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    come(NOON + HOUR)
    change(dataset)
    assert come(NOON) is None  # taken late: the later slot's file holds more
    assert DatasetSlot.objects.get().slot == NOON + HOUR
    assert ExportFile.objects.count() == 1


def test_slots_are_as_long_as_the_schedules_need(t1: TenantRef) -> None:
    def minutes() -> int:
        with in_public():
            return TenantShare.objects.get(pk=t1.schema).slot_minutes

    dataset = dataset_with([["1", "a"]])
    every("CRON", dataset, cron="30 6 * * *")
    keep_slots(now=now())
    assert minutes() == 15
    delete_dataset(dataset=dataset)  # its settings go with it
    dataset_with([["1", "a"]], slug="other")
    come(NOON)
    assert minutes() == 60


def test_settings_nobody_understands_any_more_mean_every_hour(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    every("CRON", dataset, cron="once in a while", time_zone="Mars/Olympus")
    for number in range(3):
        change(dataset, f"v{number}")
        assert written(come(NOON + number * HOUR)) == ["orders"]


# ---- what is unchanged


def test_an_unchanged_dataset_is_skipped_and_the_run_says_which_file_holds(t1: TenantRef) -> None:
    still = dataset_with([["1", "a"]], slug="still")
    moving = dataset_with([["1", "a"]], slug="moving")
    come(NOON)
    held = ExportFile.objects.get(dataset=still)
    change(moving)

    run = come(NOON + HOUR)

    assert run is not None
    assert (run.state, written(run)) == (State.SUCCEEDED, ["moving"])
    entry = {"dataset": still.pk, "slug": "still", "title": "Still", "reason": "unchanged", "file": held.pk}
    assert run.skipped == [entry]
    assert set(DatasetSlot.objects.values_list("slot", flat=True)) == {NOON + HOUR}
    last = come(NOON + 2 * HOUR)
    assert last is not None
    assert (last.state, written(last), len(last.skipped)) == (State.SUCCEEDED, [], 2)


def test_a_change_that_comes_to_nothing_is_a_change_still(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    come(NOON)
    change(dataset, "b")
    change(dataset, "a")
    assert written(come(NOON + HOUR)) == ["orders"]


def test_a_change_committed_after_a_snapshot_but_begun_before_it_is_seen_by_the_next_run(
    t1: TenantRef,
) -> None:
    dataset = dataset_with([["1", "a"]])
    spec = dataset.spec()
    with aside(t1) as cursor:
        cursor.execute(f"UPDATE {spec.table} SET {spec.columns[1].name} = 'open'")
        before = come(NOON)  # does not see it, and ends before it is committed
    assert before is not None
    assert content(before.files.get()) == b"id,note\n1,a\n"
    after = come(NOON + HOUR)
    assert after is not None
    assert content(after.files.get()) == b"id,note\n1,open\n"


def test_only_a_file_that_is_stored_whole_and_written_alike_still_holds(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    slot, first = NOON, dataset.spec().columns[0]
    come(slot)
    ways: list[Any] = [
        lambda file: ExportFile.objects.filter(pk=file.pk).update(deleted_at=now()),
        lambda file: ExportFile.objects.filter(pk=file.pk).update(fault=Fault.ALTERED),
        lambda file: ExportFile.objects.filter(pk=file.pk).update(content="INCREMENTAL"),
        lambda file: every("HOUR", delimiter=";"),
        lambda file: every("HOUR", dataset, columns=[{"column": first.pk, "label": "No."}]),
        lambda file: Dataset.objects.filter(pk=dataset.pk).update(definition_version=99),
        lambda file: ExportRun.objects.filter(pk=file.run_id).update(snapshot=""),
    ]
    for spoil in ways:
        spoil(ExportFile.objects.first())
        slot += HOUR
        assert written(come(slot)) == ["orders"]
        slot += HOUR
        assert written(come(slot)) == []  # and the new one holds


def test_a_restored_database_that_counts_its_transactions_anew_hides_no_change(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    come(NOON)
    # As if the file had been written by a server far ahead of this one: it claims to see whatever comes.
    ExportRun.objects.update(snapshot="900000000000:900000000000:")
    assert written(come(NOON + HOUR)) == []
    ExportRun.objects.update(snapshot="900000000000:900000000000:")
    change(dataset)
    assert written(come(NOON + 2 * HOUR)) == ["orders"]


def test_an_export_by_hand_skips_nothing(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    come(NOON)
    assert written(export()) == ["orders"]
    # And what it wrote holds for the next slot.
    assert written(come(NOON + HOUR)) == []


# ---- what was missed


def missed() -> list[tuple[datetime | None, int, str]]:
    runs = ExportRun.objects.filter(state=State.MISSED).order_by("slot")
    return list(runs.values_list("slot", "missed", "error_code"))


@pytest.mark.case("I11")
def test_after_an_outage_one_run_catches_up_and_one_row_tells_what_was_missed(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    come(NOON)
    change(dataset)

    assert written(come(NOON + 7 * HOUR)) == ["orders"]

    assert missed() == [(NOON + HOUR, 6, "no-worker")]
    told = ExportRun.objects.get(state=State.MISSED)
    assert told.error == (
        "6 exports were not made, for 20 November 2026, 13:00 to 20 November 2026, 18:00 UTC:"
        " no worker was there to make them."
    )
    assert Event.objects.get(name="exporter.run.missed", target_id=str(told.pk)).data["slots"] == 6
    change(dataset, "again")
    assert written(come(NOON + 8 * HOUR)) == ["orders"]
    assert len(missed()) == 1


def test_a_run_that_fails_after_an_outage_tells_of_it_once(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("the storage is full")

    dataset_with([["1", "a"]])
    come(NOON)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "write_files", broken)
        assert jobs.run_until_done(asked(NOON + 3 * HOUR)).state == "FAILED"
    come(NOON + 4 * HOUR)
    assert missed() == [(NOON + HOUR, 2, "no-worker")]


def test_a_slot_whose_job_waits_is_late_and_not_missed(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    come(NOON)
    waiting = asked(NOON + HOUR)
    change(dataset)
    assert written(come(NOON + 2 * HOUR)) == ["orders"]
    assert jobs.run_until_done(waiting).state == "DONE"
    assert missed() == []
    assert set(ExportRun.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def test_only_slots_in_which_something_was_due_are_missed(t1: TenantRef) -> None:
    dataset_with([["1", "a"]], slug="daily")
    every("DAY")
    come(NOON)
    come(NOON + 11 * HOUR)
    come(NOON + 15 * HOUR)  # midnight passed with nobody there, and is made up for
    assert missed() == []
    come(NOON + 15 * HOUR + timedelta(days=3))
    assert missed() == [(datetime(2026, 11, 22, tzinfo=UTC), 2, "no-worker")]


def test_the_hours_of_a_suspended_tenant_show_as_such_when_it_is_back(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    come(NOON)
    with in_public():
        TenantShare.objects.filter(pk=t1.schema).update(
            paused_at=NOON + timedelta(hours=2, minutes=10), resumed_at=NOON + timedelta(hours=6, minutes=20),
            paused_by="SUSPENDED",
        )  # fmt: skip

    come(NOON + 6 * HOUR)

    assert missed() == [(NOON + HOUR, 5, "suspended")]
    assert ExportRun.objects.get(state=State.MISSED).error == (
        "5 exports were not made, for 20 November 2026, 13:00 to 20 November 2026, 17:00 UTC:"
        " the tenant was suspended from 20 November 2026, 14:10 to 20 November 2026, 18:20 UTC;"
        " for 1 of them no worker was there to make them."
    )


def test_a_slot_that_was_told_as_missed_is_not_exported_after_all(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    come(NOON)
    come(NOON + 3 * HOUR)
    files = ExportFile.objects.count()
    assert jobs.run_until_done(asked(NOON + HOUR)).state == "DONE"
    assert (ExportRun.objects.get(slot=NOON + HOUR).state, ExportFile.objects.count()) == (
        State.MISSED,
        files,
    )


def test_whatever_the_slots_bring_every_file_verifies_and_each_slot_has_one_run(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    for number in range(6):
        if number % 2:
            insert(dataset, [[str(number + 2), "more"]])
        come(NOON + number * HOUR)
        come(NOON + number * HOUR)
    runs = ExportRun.objects.filter(trigger=Trigger.SCHEDULED)
    assert [run.slot for run in runs.order_by("slot")] == [NOON + number * HOUR for number in range(6)]
    assert [bool(run.skipped) for run in runs.order_by("slot")] == [False, False, True, False, True, False]
    assert {file.fault for file in verify_exports(now=now())} == {Fault.NONE}
