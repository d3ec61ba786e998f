"""Undo of a whole import: what it takes back, what it leaves as it is, and why."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import connection

from audit.models import Event
from core.tenancy import TenantRef
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.services import NewColumn, create_dataset
from importer.models import State
from importer.tests.tools import GOOD, import_text, make_orders, merge, person, records, versions, work
from importer.tests.undo_tools import (
    add,
    buckets,
    contents,
    edit,
    kept,
    previewed,
    remove,
    sync,
    undone,
)  # fmt: skip
from importer.undo import page_of_changes, undo_import

CHANGED = "id,status,amount,note\n1,sent,10.00,called\n2,paid,20.50,\n4,new,4.00,fresh\n"


@pytest.fixture
def filled(orders: Dataset) -> Dataset:
    """Orders 1 to 3, imported."""
    import_text(orders)
    return orders


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_created_records_are_removed_changed_ones_restored_and_others_not_touched(filled: Dataset) -> None:
    before, history = contents(filled), versions(filled)
    job = import_text(filled, CHANGED)
    made = undone(job)
    assert buckets(made) == (1, 1, 0, 0)
    assert contents(filled) == before
    assert versions(filled) == history + 2 + 2
    model = get_row_model(filled)
    newest = model.history.order_by("-history_id")[:2]
    assert Counter(one.history_type for one in newest) == {"-": 1, "~": 1}
    assert {one.history_change_reason for one in newest} == {f"import {made.pk}"}
    assert {one.history_user_id for one in newest} == {person().pk}


def test_the_preview_of_an_undo_writes_nothing_and_shows_every_cell(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    before, history = contents(filled), versions(filled)
    made = previewed(job)
    assert (contents(filled), versions(filled)) == (before, history)
    assert (buckets(made), made.read_rows, made.unchanged_rows) == ((1, 1, 0, 0), 2, 0)
    shown = {change.op: change for change in page_of_changes(made)}
    assert shown["~"].key == "1"
    assert [(cell.label, cell.old, cell.new) for cell in shown["~"].cells] == [
        ("status", "sent", "new"),
        ("note", "called", "call"),
    ]
    assert [(cell.label, cell.old, cell.new) for cell in shown["-"].cells] == [
        ("id", "4", None),
        ("status", "new", None),
        ("amount", "4.00", None),
        ("note", "fresh", None),
    ]
    note = filled.spec().columns[3].name
    assert [change.key for change in page_of_changes(made, op="~", column=note)] == ["1"]
    assert page_of_changes(made, after=max(change.at for change in shown.values())) == []
    planned = {(change.op, change.key, change.cells) for change in shown.values()}
    merged = page_of_changes(merge(made))
    assert {(change.op, change.key, change.cells) for change in merged} == planned


def test_both_jobs_say_what_became_of_them(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    made = undone(job)
    job.refresh_from_db()
    assert (job.state, made.state) == (State.UNDONE, State.IMPORT_SUCCEEDED)
    assert job.undone_at is not None
    assert str(made) == f"Import {made.pk}, undoing import {job.pk}"
    names = Event.objects.filter(target_id__in=[str(job.pk), str(made.pk)]).values_list("name", "target_id")
    told = set(names)
    assert {
        ("importer.job.undo_asked", str(made.pk)),
        ("importer.job.imported", str(made.pk)),
        ("importer.job.undone", str(job.pk)),
    } <= told


def test_what_a_sync_deleted_comes_back_under_its_old_id(filled: Dataset) -> None:
    before = contents(filled)
    job = sync(filled, "id,status,amount,note\n1,sent,10.00,call\n9,new,,\n")
    assert (job.created_rows, job.updated_rows, job.deleted_rows) == (1, 1, 2)
    made = undone(job)
    assert buckets(made) == (1, 1, 2, 0)
    assert contents(filled) == before
    add(filled, id=10, status="new")  # the numbers that came back are in nobody's way
    assert max(contents(filled)) > max(before)


def test_a_record_edited_since_is_kept_and_listed(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    edit(filled, 1, note="by hand")
    edit(filled, 4, note="by hand too")
    edit(filled, 3, note="not the import's business")
    made = undone(job)
    assert (buckets(made), made.warning_counts) == ((0, 0, 0, 2), {"edited-since": 2})
    assert kept(made) == [("1", "edited-since"), ("4", "edited-since")]
    assert [row[3] for row in records(filled)] == [
        "by hand",
        None,
        "not the import's business",
        "by hand too",
    ]
    assert len(contents(filled)) == len(before) + 1


def test_an_edit_that_was_taken_back_is_none(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    edit(filled, 1, note="by hand")
    edit(filled, 1, note="called")
    assert buckets(undone(job)) == (1, 1, 0, 0)
    assert contents(filled) == before


def test_a_record_edited_back_to_what_it_was_is_listed_too(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    edit(filled, 1, status="new", note="call")
    assert kept(undone(job)) == [("1", "edited-since")]


def test_of_records_deleted_since_only_changed_ones_are_kept(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    remove(filled, 1)
    remove(filled, 4)
    made = undone(job)
    assert (buckets(made), made.unchanged_rows) == ((0, 0, 0, 1), 1)
    assert kept(made) == [("1", "edited-since")]
    assert "stays deleted" in made.issues.get().rule
    assert [row[0] for row in records(filled)] == [2, 3]


def test_a_record_whose_key_was_given_to_another_does_not_come_back(filled: Dataset) -> None:
    job = sync(filled, "id,status\n1,new\n")
    add(filled, id=2, status="sent")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 0, 1, 1), [("2", "key-taken")])
    assert made.issues.get().column == "id"
    assert [row[:2] for row in records(filled)] == [(1, "new"), (2, "sent"), (3, "sent")]


def test_a_unique_value_held_by_another_record_is_not_taken_from_it(as_acme: TenantRef) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders, "id,status,note\n1,new,a\n2,new,b\n3,new,c\n")
    before = contents(orders)
    job = import_text(orders, "id,status,note\n1,new,x\n2,new,y\n")
    add(orders, id=9, status="new", note="a")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("1", "key-taken")])
    assert [row[3] for row in records(orders)] == ["x", "b", "c", "a"]
    remove(orders, 9)
    edit(orders, 1, note="a")
    assert contents(orders) == before


def test_a_changed_record_gives_back_the_value_of_a_deleted_one(as_acme: TenantRef) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders, "id,status,note\n1,new,a\n2,new,b\n")
    before = contents(orders)
    job = sync(orders, "id,status,note\n1,new,b\n")
    made = undone(job)
    assert (buckets(made), contents(orders)) == ((0, 1, 1, 0), before)
    back = undone(made)
    assert (buckets(back), [row[3] for row in records(orders)]) == ((1, 1, 0, 0), ["b"])


def test_who_keeps_a_value_keeps_the_record_that_wants_it_away(as_acme: TenantRef) -> None:
    orders = make_orders(unique_note=True)
    import_text(orders, "id,status,note\n1,new,a\n2,new,b\n")
    job = sync(orders, "id,status,note\n1,new,b\n")
    edit(orders, 1, status="paid")
    made = undone(job)
    assert kept(made) == [("1", "edited-since"), ("2", "key-taken")]
    assert [row[:2] for row in records(orders)] == [(1, "paid")]


def test_a_value_that_breaks_a_later_rule_does_not_come_back(filled: Dataset) -> None:
    job = import_text(filled, "id,status,amount\n1,new,99.00\n2,paid,99.00\n")
    amount = filled.spec().columns[2].name
    sql(f"ALTER TABLE ds_{filled.pk} ADD CHECK ({amount} IS NULL OR {amount} > 15)")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("1", "no-longer-fits")])
    assert made.issues.get().column == "amount"
    assert [str(row[2]) for row in records(filled)] == ["99.00", "20.50", "None"]


def test_a_value_missing_where_one_is_required_now_does_not_come_back(filled: Dataset) -> None:
    job = import_text(filled, "id,status,note\n2,paid,now\n3,sent,then\n")
    sql(f"ALTER TABLE ds_{filled.pk} ALTER {filled.spec().columns[3].name} SET NOT NULL")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("2", "no-longer-fits")])


def test_two_values_alike_under_a_later_rule_go_to_the_older_record(filled: Dataset) -> None:
    import_text(filled, "id,status,note\n1,new,same\n2,paid,same\n")
    job = import_text(filled, "id,status,note\n1,new,one\n2,paid,two\n")
    sql(f"ALTER TABLE ds_{filled.pk} ADD UNIQUE ({filled.spec().columns[3].name})")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("2", "key-taken")])
    assert [row[3] for row in records(filled)] == ["same", "two", "later"]


def test_a_column_retired_since_is_restored_with_the_others(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    column = filled.columns.get(label="note")
    filled.columns.filter(pk=column.pk).update(is_retired=True)
    Dataset.objects.filter(pk=filled.pk).update(definition_version=2)
    filled.refresh_from_db()
    assert buckets(undone(job)) == (1, 1, 0, 0)
    filled.columns.filter(pk=column.pk).update(is_retired=False)
    assert contents(filled) == before


def test_a_value_in_a_column_added_since_is_an_edit(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    column = filled.columns.create(label="extra", type="text", position=9)
    for table in (f"ds_{filled.pk}", f"ds_{filled.pk}_history"):
        sql(f"ALTER TABLE {table} ADD c{column.pk} text")
    edit(filled, 4, extra="filled in")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("4", "edited-since")])


def test_a_dataset_without_a_key_loses_what_was_added(as_acme: TenantRef) -> None:
    notes = create_dataset(title="Notes", columns=[NewColumn("note", "text")])
    import_text(notes, "note\na\na\n")
    before = contents(notes)
    job = import_text(notes, "note\na\nb\n")
    changed = max(contents(notes))
    record = get_row_model(notes)._default_manager.filter(pk=changed)
    record.update(**{notes.spec().columns[0].name: "c"})
    made = undone(job)
    assert (buckets(made), kept(made)) == ((1, 0, 0, 1), [(f"record {changed}", "edited-since")])
    assert {pk: row for pk, row in contents(notes).items() if pk != changed} == before


def test_an_import_that_changed_nothing_can_be_undone(filled: Dataset) -> None:
    job = import_text(filled, GOOD)
    assert buckets(undone(job)) == (0, 0, 0, 0)
    job.refresh_from_db()
    assert job.state == State.UNDONE


def test_undo_leaves_other_tenants_and_other_datasets_alone(filled: Dataset) -> None:
    other = make_orders("Others")
    import_text(other)
    job = import_text(filled, CHANGED)
    untouched = versions(other)
    undone(job)
    assert versions(other) == untouched
    assert len(records(other)) == 3


def test_of_many_kept_records_all_are_counted_and_the_first_are_listed(
    filled: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importer.undo_plan.KEPT_ISSUES", 2)
    job = import_text(filled, "id,status\n1,sent\n2,sent\n3,new\n")
    for key in (1, 2, 3):
        edit(filled, key, note="by hand")
    made = previewed(job)
    assert (made.kept_rows, made.issues.count()) == (3, 2)
    merge(made)
    assert work(made).kept_rows == 3


def test_asking_twice_finds_the_undo_that_is_open(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    first = undo_import(job=job, by=person())
    assert undo_import(job=job, by=person()).pk == first.pk
    assert undo_import(job=job, by=None).pk == work(first).pk
