"""Sync: the dataset becomes what the file says, and what it deletes is agreed to by its number."""

from __future__ import annotations

import io

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.services import NewColumn, create_dataset, grant_right
from importer import plan, preview, services, staging
from importer.changes import page_of_changes
from importer.models import ImportJob, State
from importer.rules import set_rules
from importer.tests.tools import (
    ShortSlice,
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    versions,
    work,
)
from jobs.kinds import Step

LESS = "id,status,amount,note\n1,new,10.00,call\n4,paid,4.00,\n"


def ids(dataset: Dataset) -> list[int]:
    return [record[0] for record in records(dataset)]


def test_records_the_file_does_not_have_are_deleted_with_history(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, LESS, mode="sync")
    assert (counts(job), job.missing_rows, job.deleted_rows) == ((1, 0, 1, 0), 2, 2)
    before = versions(orders)
    job = merge(job, deletes=2)
    assert (job.state, ids(orders)) == (State.IMPORT_SUCCEEDED, [1, 4])
    history = get_row_model(orders).history
    assert versions(orders) == before + 3
    gone = history.filter(history_type="-")
    assert {entry.history_change_reason for entry in gone} == {job.reason}


@pytest.mark.parametrize("deletes", [None, 1, 3])
def test_another_number_than_the_plans_is_refused(orders: Dataset, deletes: int | None) -> None:
    import_text(orders)
    job = upload(orders, LESS, mode="sync")
    with pytest.raises(services.NotConfirmable, match="2"):
        services.confirm_import(job=job, by=person(), deletes=deletes)
    assert ids(orders) == [1, 2, 3]


def test_with_none_agreed_to_none_is_deleted(orders: Dataset) -> None:
    import_text(orders)
    job = merge(upload(orders, LESS, mode="sync"), deletes=0)
    assert (job.state, job.missing_rows, job.deleted_rows) == (State.IMPORT_SUCCEEDED, 2, 0)
    assert ids(orders) == [1, 2, 3, 4]


def test_a_record_whose_row_was_rejected_is_not_missing(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n1,lost,,\n2,paid,2.00,x\n2,new,,\n", mode="sync")
    assert (job.rejected_rows, job.missing_rows) == (2, 1)
    assert merge(job, deletes=1).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == [1, 2]


def test_nothing_is_deleted_while_a_rejected_rows_key_cannot_be_read(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status,amount,note\nl,new,,\n2,paid,2.00,x\n", mode="sync")
    with pytest.raises(services.NotConfirmable, match="key of 1 rejected row cannot be read"):
        services.confirm_import(job=job, by=person(), deletes=2)
    assert merge(job, deletes=0).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == [1, 2, 3]


def test_who_may_not_delete_may_not_confirm_a_deletion(orders: Dataset) -> None:
    import_text(orders)
    clerk = person("viewer")
    for right in ("import", "add", "change"):
        grant_right(right=right, to=clerk, dataset=orders)
    job = upload(orders, LESS, mode="sync", by=clerk)
    with pytest.raises(PermissionDenied, match="delete"):
        services.confirm_import(job=job, by=clerk, deletes=2)
    assert merge(job, by=clerk, deletes=0).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == [1, 2, 3, 4]


def test_a_record_made_since_the_preview_is_shown_before_it_is_deleted(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, LESS, mode="sync")
    import_text(orders, "id,status\n9,new\n", mode="insert")
    job = merge(job, deletes=2)
    assert (job.state, job.missing_rows) == (State.PREVIEW_SUCCEEDED, 3)
    assert job.notice.startswith("1 record changed since the preview.")
    assert merge(job, deletes=3).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == [1, 4]


def test_a_unique_value_of_a_record_that_goes_may_be_taken(as_acme: object) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n7,new,,call\n", mode="sync")
    assert (counts(job), job.deleted_rows) == ((1, 0, 0, 0), 3)
    assert merge(job, deletes=3).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == [7]


def test_a_unique_value_of_a_record_that_stays_may_not(as_acme: object) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n1,lost,,\n7,new,,call\n", mode="sync")
    assert (job.rejected_rows, job.missing_rows) == (2, 2)


def test_an_empty_file_deletes_all_only_by_its_number(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n", mode="sync")
    assert job.deleted_rows == 3
    assert merge(job, deletes=3).state == State.IMPORT_SUCCEEDED
    assert ids(orders) == []


def test_a_dataset_without_a_key_cannot_be_synced(as_acme: object) -> None:
    logs = create_dataset(title="Logs", columns=(NewColumn("line", "text"),), by=None)
    with pytest.raises(services.NoKey):
        services.create_import(
            dataset=logs, file=io.BytesIO(b"line\nx\n"), name="x.csv", by=person(), mode="sync"
        )


@pytest.mark.parametrize("mode", ["upsert", "insert", "update"])
def test_other_modes_count_what_is_missing_and_delete_nothing(orders: Dataset, mode: str) -> None:
    import_text(orders)
    job = upload(orders, "id,status\n1,paid\n9,new\n2,lost\n", mode=mode)
    assert (job.missing_rows, job.deleted_rows) == (1, 0)
    merge(job)
    assert {1, 2, 3} <= set(ids(orders))


def test_entries_of_records_that_go_come_after_the_files_rows(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, LESS, mode="sync")
    assert plan.DELETIONS_FROM > 1_000_000_000
    assert plan.planned(job) == f"diff_{job.pk}"


@pytest.mark.parametrize("row", [b"caf\xe9,1\n", b'"caf\xc3\xa9,1\n', b"caf\x00,1\n"])
def test_a_record_whose_rows_key_shows_something_else_is_not_said_to_be_missing(
    as_acme: object, row: bytes
) -> None:
    places = create_dataset(
        title="Places",
        columns=(NewColumn("name", "text"), NewColumn("size", "integer")),
        key=("name",),
        by=None,
    )
    import_text(places, "name,size\ncafé,1\nbar,2\n")
    job = upload(places, b"name,size\n" + row + b"bar,2\n", mode="sync", overrides={"encoding": "utf-8"})
    assert (job.rejected_rows, job.head["keyless"]) == (1, 1)
    with pytest.raises(services.NotConfirmable, match="cannot be read"):
        services.confirm_import(job=job, by=person(), deletes=job.deleted_rows)


def test_without_its_deletions_a_file_cannot_take_the_values_of_what_stays(as_acme: object) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n7,new,,call\n", mode="sync")
    with pytest.raises(services.NotConfirmable, match="1 row of the file would take a unique value"):
        services.confirm_import(job=job, by=person(), deletes=0)
    assert merge(job, deletes=3).state == State.IMPORT_SUCCEEDED


def test_nothing_is_deleted_that_nobody_agreed_to(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, LESS, mode="sync")
    services.confirm_import(job=job, by=person(), deletes=2)
    head = {name: value for name, value in job.head.items() if name != "agreed"}
    ImportJob.objects.filter(pk=job.pk).update(head=head)  # as an older release would confirm it
    job = work(job)
    assert (job.state, ids(orders)) == (State.PREVIEW_SUCCEEDED, [1, 2, 3])
    assert job.notice.startswith("Nobody has agreed")


def test_keys_lost_in_a_crash_before_a_row_was_staged_are_read_again(orders: Dataset) -> None:
    import_text(orders)
    job = services.create_import(
        dataset=orders,
        file=io.BytesIO(b"id,status\n1,lost\n2,lost\n"),
        name="x.csv",
        by=person(),
        mode="sync",
    )
    step = Step(done=False)
    while step.cursor.get("phase") != "refuse":
        job = ImportJob.objects.select_related("dataset").get(pk=job.pk)
        step = preview.run(job, ShortSlice(step.cursor))
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {staging.staging_table(job.pk)}, {staging.keys_table(job.pk)}")
    assert preview.run(job, ShortSlice(step.cursor)).cursor == {"phase": "open"}
    assert work(job).missing_rows == 1


def test_the_preview_shows_kept_values_by_the_datasets_rules(orders: Dataset) -> None:
    import_text(orders)
    set_rules(dataset=orders, by=None, policy="good_rows", max_rejected_percent=None, blank="keep")
    job = upload(orders, "id,status,amount,note\n1,paid,,\n")
    (change,) = page_of_changes(job)
    assert [(cell.label, cell.old, cell.new) for cell in change.cells] == [("status", "new", "paid")]
