"""The same file again, into a dataset nobody touched, is not read: what it says is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audit.actor import actor
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer import preview, source
from importer.fixing import fix_rows
from importer.matching import matches_of
from importer.models import ImportJob, State
from importer.recipes import Recipe
from importer.services import set_mapping
from importer.tests.tools import GOOD, counts, import_text, make_orders, merge, person, records, upload, work
from importer.undo import undo_import

MIXED = GOOD + "4,lost,1.00,\n4,sent,x,\n1,new,,again\n\n"


def edit(dataset: Dataset) -> None:
    model, status = get_row_model(dataset), dataset.spec().columns[1].name
    with actor(person().pk, "by hand"):
        model._default_manager.filter(**{dataset.spec().key[0]: 1}).update(**{status: "sent"})


def test_it_finds_what_reading_it_would_find(orders: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import_text(orders, MIXED)
    read = upload(orders, MIXED + "\n")  # other bytes, the same rows
    known = upload(orders, MIXED)
    assert (read.is_same, known.is_same) == (False, True)
    for name in (
        "read_rows",
        "staged_rows",
        "rejected_rows",
        "issue_counts",
        "warning_counts",
        "missing_rows",
    ):
        assert getattr(known, name) == getattr(read, name)
    assert counts(known) == counts(read) == (0, 0, 3, 3)
    for rows in ("issues", "rejects"):
        of_read, of_known = getattr(read, rows), getattr(known, rows)
        assert [*of_known.order_by("pk").values_list("row", "line")] == [
            *of_read.order_by("pk").values_list("row", "line")
        ]
    assert merge(known).state == State.IMPORT_SUCCEEDED


def test_it_is_known_again_and_again(orders: Dataset) -> None:
    import_text(orders, MIXED)
    for _ in range(3):
        job = upload(orders, MIXED)
        assert (job.is_same, merge(job).state) == (True, State.IMPORT_SUCCEEDED)


def test_its_rejected_rows_can_be_corrected(orders: Dataset) -> None:
    import_text(orders, MIXED)
    job = upload(orders, MIXED)
    fix_rows(job=job, by=person(), cells={5: ["4", "new", "1.00", None]})
    job = work(job)
    assert (job.state, job.is_same, counts(job)) == (State.PREVIEW_SUCCEEDED, False, (1, 0, 3, 2))
    merge(job)
    assert [record[0] for record in records(orders)] == [1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["insert", "update", "sync"])
def test_modes_that_look_at_what_exists_read_it(orders: Dataset, mode: str) -> None:
    import_text(orders)
    assert not upload(orders, mode=mode).is_same


def test_after_an_edit_it_is_read(orders: Dataset) -> None:
    import_text(orders)
    edit(orders)
    job = upload(orders)
    assert (job.is_same, counts(job)) == (False, (0, 1, 2, 0))


def test_after_an_undo_it_is_read(orders: Dataset) -> None:
    first = import_text(orders)
    merge(work(undo_import(job=first, by=person())))
    job = upload(orders)
    assert (job.is_same, counts(job)) == (False, (3, 0, 0, 0))


def test_an_edit_after_its_preview_is_told_before_anything_is_said_to_be_done(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders)
    assert job.is_same
    edit(orders)
    job = merge(job)
    assert (job.state, job.is_same, counts(job)) == (State.PREVIEW_SUCCEEDED, False, (0, 1, 2, 0))
    assert job.notice.startswith("Records changed since the preview.")


def test_with_another_mapping_it_is_read(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders)
    matches = [
        replace(match, recipe=Recipe(case="upper")) if match.label == "note" else match
        for match in matches_of(job)
    ]
    set_mapping(job=job, by=person(), matches=[match.to_dict() for match in matches])
    job = work(job)
    assert (job.is_same, job.updated_rows) == (False, 2)


def test_with_a_unique_column_it_is_read(as_acme: object) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders)
    assert not upload(orders).is_same


def test_another_datasets_import_of_it_says_nothing(orders: Dataset) -> None:
    import_text(make_orders("Other orders"))
    job = upload(orders)
    assert (job.is_same, counts(job)) == (False, (3, 0, 0, 0))


def test_no_row_of_it_passes_through_the_reader(orders: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import_text(orders)
    monkeypatch.setattr(preview, "stage", None)
    assert ImportJob.objects.get(pk=upload(orders).pk).state == State.PREVIEW_SUCCEEDED


def test_every_one_of_a_long_row_leads_to_the_one_that_was_read(orders: Dataset) -> None:
    first = import_text(orders)
    for _ in range(3):
        job = merge(upload(orders))
        assert job.head["same_as"] == first.pk


def test_after_a_rule_of_reading_changed_it_is_read(orders: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import_text(orders)
    monkeypatch.setattr(source, "READING", source.READING + 1)
    assert not upload(orders).is_same
