"""What becomes of imports, mappings and undos when columns of their dataset come and go."""

from __future__ import annotations

from datetime import timedelta

import pytest

import jobs.services
from core import clock
from core.tenancy import in_public
from datasets import editing
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from importer import services
from importer.models import ImportJob, State
from importer.saved_mappings import save_as
from importer.signals import ImportRunning
from importer.tests.tools import GOOD, import_text, merge, person, records, upload, work
from importer.undo import undo_import
from jobs.models import Job

CHANGED = "id,status,amount,note\n1,paid,10.00,changed\n4,new,1.00,added\n"


def note_of(dataset: Dataset) -> Column:
    return Column.objects.get(dataset=dataset, label="note")


def undone(job: ImportJob) -> ImportJob:
    return merge(work(undo_import(job=job, by=person())))


@pytest.mark.case("C07")
def test_a_preview_from_before_a_change_is_refused_at_its_confirm_and_is_made_again(orders: Dataset) -> None:
    job = upload(orders)
    editing.retire_column(dataset=orders, column=note_of(orders))
    job.refresh_from_db()
    with pytest.raises(services.NotConfirmable, match="waiting for its preview"):
        services.confirm_import(job=job, by=person())
    assert records(orders) == []
    job = work(job)
    assert (job.state, [match["column"] is None for match in job.mapping]) == (
        State.PREVIEW_SUCCEEDED, [False, False, False, True],
    )  # fmt: skip
    assert "The column that “note” went to is gone; it is left out." in job.notice
    merge(job)
    assert len(records(orders)) == 3


def test_a_mapping_that_names_a_retired_column_leaves_its_label_out_and_says_so(orders: Dataset) -> None:
    other = "No,State,Value,Remark\n1,new,10.00,call\n"
    mapping = {"No": "id", "State": "status", "Value": "amount", "Remark": "note"}
    save_as(job=upload(orders, other, columns=mapping), name="theirs", by=person())
    import_text(orders, other, columns="theirs")
    editing.retire_column(dataset=orders, column=note_of(orders))
    for options in ({"columns": "theirs"}, {}):  # by its name, and remembered for these labels
        job = upload(orders, other.replace("10.00", "11.00"), **options)
        assert job.state == State.PREVIEW_SUCCEEDED, job.error
        assert "Remark" in job.notice and job.mapping[3]["column"] is None
        services.cancel_import(job=job, by=person())
    editing.bring_back_column(dataset=orders, column=note_of(orders))
    assert import_text(orders, other.replace("call", "back"), columns="theirs").updated_rows == 1
    assert [row[3] for row in records(orders)] == ["back"]


def test_nothing_is_changed_while_an_import_runs(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    for change in (
        lambda: editing.add_columns(dataset=orders, columns=[NewColumn("more")]),
        lambda: editing.retire_column(dataset=orders, column=note_of(orders)),
        lambda: editing.arrange_columns(dataset=orders, order=[note_of(orders).pk]),
    ):
        with pytest.raises(
            ImportRunning, match="was confirmed before and goes first. Wait until it has ended"
        ):
            change()
    assert work(job).state == State.IMPORT_SUCCEEDED


@pytest.mark.parametrize("is_purged", [False, True])
def test_an_import_from_before_a_change_can_still_be_undone(orders: Dataset, is_purged: bool) -> None:
    import_text(orders, GOOD)
    before = records(orders)
    job = import_text(orders, CHANGED)
    editing.add_columns(dataset=orders, columns=[NewColumn("more")])
    note = note_of(orders)
    editing.retire_column(dataset=orders, column=note)
    if is_purged:
        editing.order_purge(dataset=orders, column=note, typed="note", at_once=True)
        with in_public():
            Job.objects.filter(kind="datasets.purge").update(not_before=clock.now() - timedelta(seconds=1))
        jobs.services.run_pending()
        assert not Column.objects.filter(pk=note.pk).exists()
    orders.refresh_from_db()
    job.refresh_from_db()
    assert undone(job).state == State.IMPORT_SUCCEEDED
    if not is_purged:
        editing.bring_back_column(dataset=orders, column=note)
    kept = 3 if is_purged else 4
    assert [row[:kept] for row in records(orders)] == [row[:kept] for row in before]
