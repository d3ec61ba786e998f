"""Cells, bulk changes, reverts and undo: the services."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs.services
from accounts.models import User
from core.tenancy import TenantRef
from datasets import cells, changesets
from datasets.cells import CellEdit, edit_cells
from datasets.changeset import ChangeSet, State
from datasets.models import Dataset
from datasets.operations import ADD, CLEAR, REPLACE, SET, Operation
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.tests.conftest import add_record, make_dataset, name_of, person

Contents = dict[int, tuple[Any, ...]]


def contents(dataset: Dataset) -> Contents:
    """All values of every record, by its id."""
    names = [one.name for one in dataset.spec().columns]
    rows = get_row_model(dataset).objects.values_list("id", *names)
    return {row[0]: row[1:] for row in rows}


def column(dataset: Dataset, label: str, *values: Any) -> list[Any]:
    """The values of a column, oldest record first."""
    return list(get_row_model(dataset).objects.order_by("id").values_list(name_of(dataset, label), flat=True))


def bulk(
    dataset: Dataset, by: User, label: str, how: str, value: str = "", records: Any = None, **more: Any
) -> ChangeSet:
    """Plan a bulk edit of all records, or of some."""
    operation = Operation(name_of(dataset, label), how, value, **more)
    chosen = get_row_model(dataset).objects.all() if records is None else records
    return changesets.plan_edit(dataset=dataset, records=chosen, operation=operation, by=by)


def confirmed(changes: ChangeSet, by: User, **more: Any) -> ChangeSet:
    return changesets.confirm_changes(changes=changes, by=by, seen=changes.plans, **more)


def figures(changes: ChangeSet) -> tuple[int, int, int, int, int]:
    """Picked, created, updated, deleted, kept."""
    return (
        changes.picked_records, changes.created_records, changes.updated_records, changes.deleted_records,
        changes.kept_records,
    )  # fmt: skip


@pytest.fixture
def owner(acme: TenantRef) -> User:
    return person(acme, "owner")


# ---- cells


def test_a_cell_is_saved_by_what_the_person_saw_and_its_change_can_be_undone(
    orders: Dataset, owner: User
) -> None:
    record = add_record(orders, Order_no="A1", Amount="12.50")
    amount = name_of(orders, "Amount")
    done = edit_cells(dataset=orders, edits=[CellEdit(record.pk, amount, "12.50", " 13 ")], by=owner)
    assert [(cell.status, cell.now) for cell in done.cells] == [("saved", "13.00")]
    assert done.changes is not None
    assert (done.changes.title, figures(done.changes)) == ("Changed “Amount” of A1", (1, 0, 1, 0, 0))
    newest = record.history.latest()
    assert (newest.history_change_reason, newest.history_user_id) == (done.changes.reason, owner.pk)
    undo = confirmed(changesets.plan_undo(changes=done.changes, by=owner), owner)
    assert (undo.state, str(column(orders, "Amount")[0])) == (State.DONE, "12.50")
    redone = confirmed(changesets.plan_undo(changes=undo, by=owner), owner)
    assert (redone.state, str(column(orders, "Amount")[0])) == (State.DONE, "13.00")
    done.changes.refresh_from_db()
    assert done.changes.state == State.DONE


def test_a_cell_somebody_changed_meanwhile_is_not_overwritten_and_both_values_are_told(
    orders: Dataset, owner: User, acme: TenantRef
) -> None:
    record, other = add_record(orders, Order_no="A1", Pieces=1), add_record(orders, Order_no="A2", Pieces=5)
    pieces = name_of(orders, "Pieces")
    editor = person(acme, "editor")
    edit_cells(dataset=orders, edits=[CellEdit(record.pk, pieces, "1", "7")], by=editor)
    late = [CellEdit(record.pk, pieces, "1", "2"), CellEdit(other.pk, pieces, "5", "6")]
    done = edit_cells(dataset=orders, edits=late, by=owner)
    said = f"{editor} changed this cell meanwhile: you saw “1”, and it is “7” now. Nothing was overwritten."
    told = [(cell.status, cell.now, cell.rule) for cell in done.cells]
    assert told == [("conflict", "7", said), ("ready", "6", "")]
    assert (done.changes, column(orders, "Pieces")) == (None, [7, 5])
    same = edit_cells(dataset=orders, edits=[CellEdit(record.pk, pieces, "1", "7")], by=owner)
    assert same.cells[0].status == "same"  # both wanted the same


def test_a_refused_cell_says_the_column_types_own_sentence_and_a_block_is_saved_whole_or_not_at_all(
    orders: Dataset, owner: User
) -> None:
    one, two = add_record(orders, Order_no="A1", Pieces=1), add_record(orders, Order_no="A2", Pieces=2)
    pieces, number, state = (name_of(orders, label) for label in ("Pieces", "Order no", "State"))
    block = [
        CellEdit(one.pk, pieces, "1", "1e3"),
        CellEdit(one.pk, number, "A1", ""),
        CellEdit(two.pk, number, "A2", "A1"),
        CellEdit(two.pk, state, None, "lost"),
        CellEdit(two.pk, pieces, "2", "20"),
        CellEdit(10**9, pieces, None, "1"),
    ]
    tried = edit_cells(dataset=orders, edits=block, by=owner, dry_run=True)
    assert [(cell.status, cell.rule) for cell in tried.cells] == [
        ("refused", "Write the number in full, without an exponent."),
        ("refused", "This column needs a value."),
        ("refused", "Another record has this key (Order no)."),
        ("refused", "Not an allowed choice. Allowed: “new”, “open”, “done”."),
        ("refused", "Another record has this key (Order no)."),  # its record is written whole or not at all
        ("gone", "This record was deleted meanwhile; nothing was saved."),
    ]
    assert ChangeSet.objects.count() == 0
    whole = edit_cells(dataset=orders, edits=block[:5], by=owner)
    assert (whole.changes, column(orders, "Pieces")) == (None, [1, 2])
    part = edit_cells(dataset=orders, edits=[block[0], block[4]], by=owner, skips_refused=True)
    assert ([cell.status for cell in part.cells], column(orders, "Pieces")) == (["refused", "saved"], [1, 20])


def test_who_may_only_view_saves_no_cell(orders: Dataset, acme: TenantRef) -> None:
    record = add_record(orders, Order_no="A1")
    with pytest.raises(PermissionDenied):
        edit_cells(
            dataset=orders, edits=[CellEdit(record.pk, name_of(orders, "Pieces"), None, "1")],
            by=person(acme, "viewer"),
        )  # fmt: skip


# ---- many records


def test_a_bulk_edit_is_worked_out_shown_and_written(orders: Dataset, owner: User) -> None:
    for number, state in enumerate(("new", "open", "done", None)):
        add_record(orders, Order_no=f"A{number}", State=state)
    made = bulk(orders, owner, "State", SET, "done")
    assert (made.state, figures(made), made.unchanged_records) == (State.PLANNED, (4, 0, 3, 0, 0), 1)
    assert column(orders, "State") == ["new", "open", "done", None]
    done = confirmed(made, owner)
    assert (done.state, column(orders, "State")) == (State.DONE, ["done"] * 4)
    assert done.title == "Set “State” to “done”"
    with pytest.raises(changesets.NotConfirmable):
        confirmed(made, owner)


@pytest.mark.parametrize(
    ("label", "how", "value", "more", "expected", "kept"),
    [
        ("Customer", REPLACE, "GmbH", {"find": "gmbh"}, ["Ada GmbH", None, "Gmbh & Co", ""], 0),
        ("Customer", REPLACE, "AG", {"find": "GMBH", "match_case": False}, ["Ada AG", None, "AG & Co", ""], 0),
        ("Customer", REPLACE, "", {"find": "Ada gmbh"}, [None, None, "Gmbh & Co", ""], 0),
        ("Customer", REPLACE, r"\1", {"find": "(.*)"}, ["Ada gmbh", None, "Gmbh & Co", ""], 0),
        ("Customer", CLEAR, "", {}, [None] * 4, 0),
        ("Pieces", ADD, "-2", {}, [-1, 0, None, 9223372036854775805], 0),
        ("Pieces", ADD, "1", {}, [2, 3, None, 9223372036854775807], 1),
        ("Pieces", ADD, "0.5", {}, [1, 2, None, 9223372036854775807], 3),
        ("Amount", ADD, "0.005", {}, ["1.00", "2.50", None, "99999999.99"], 3),
        ("Amount", ADD, "1.10", {}, ["2.10", "3.60", None, "99999999.99"], 1),
    ],
)  # fmt: skip
def test_what_a_bulk_edit_makes_of_values(
    orders: Dataset, owner: User, label: str, how: str, value: str, more: Any, expected: list[Any], kept: int
) -> None:
    rows = (
        ("A0", "Ada gmbh", 1, "1.00"),
        ("A1", None, 2, "2.50"),
        ("A2", "Gmbh & Co", None, None),
        ("A3", "", 2**63 - 1, "99999999.99"),
    )
    for number, customer, pieces, amount in rows:
        add_record(orders, Order_no=number, Customer=customer, Pieces=pieces, Amount=amount)
    before = contents(orders)
    made = confirmed(bulk(orders, owner, label, how, value, **more), owner)
    found = [str(one) if label == "Amount" and one is not None else one for one in column(orders, label)]
    assert (found, made.kept_records, len(made.problems)) == (expected, kept, kept)
    confirmed(changesets.plan_undo(changes=made, by=owner), owner)
    assert contents(orders) == before


def test_a_bulk_edit_refuses_what_the_column_or_another_record_forbids(orders: Dataset, owner: User) -> None:
    for number in ("A1", "A2", "B1"):
        add_record(orders, Order_no=number)
    with pytest.raises(changesets.InvalidOperation, match="This column needs a value"):
        bulk(orders, owner, "Order no", CLEAR)
    with pytest.raises(changesets.InvalidOperation, match="Not an allowed choice"):
        bulk(orders, owner, "State", SET, "lost")
    same = bulk(orders, owner, "Order no", SET, "C")
    assert (same.updated_records, same.kept_records) == (0, 3)
    some = confirmed(bulk(orders, owner, "Order no", REPLACE, "B", find="A"), owner)
    assert column(orders, "Order no") == ["A1", "B2", "B1"]
    assert [(one["name"], one["value"], one["rule"]) for one in some.problems] == [
        ("A1", "A1", "Another record has, or would get, this value, and it must be unique.")
    ]


def test_records_changed_since_the_page_are_said_and_nothing_is_written(orders: Dataset, owner: User) -> None:
    one, two = add_record(orders, Order_no="A1", Pieces=1), add_record(orders, Order_no="A2", Pieces=2)
    made = bulk(orders, owner, "Pieces", ADD, "10")
    edit_cells(dataset=orders, edits=[CellEdit(one.pk, name_of(orders, "Pieces"), "1", "5")], by=owner)
    seen = made.plans
    again = confirmed(made, owner)
    assert (again.state, column(orders, "Pieces")) == (State.PLANNED, [5, 2])
    assert again.notice == (
        "1 record changed since this was worked out, so nothing was written. It was worked out again; look at it and"
        " confirm. Changed: A1."
    )
    with pytest.raises(changesets.NotConfirmable, match="worked out again"):
        changesets.confirm_changes(changes=made, by=owner, seen=seen)
    assert (confirmed(again, owner).state, column(orders, "Pieces")) == (State.DONE, [15, 12])
    two.delete()


def test_a_filter_that_finds_others_by_now_is_said_and_nothing_is_written(
    orders: Dataset, owner: User
) -> None:
    for number in ("A1", "A2"):
        add_record(orders, Order_no=number, State="new")
    found = get_row_model(orders).objects.filter(**{name_of(orders, "State"): "new"})
    made = changesets.plan_delete(dataset=orders, records=found, by=owner, query="state=new")
    add_record(orders, Order_no="A3", State="new")
    again = confirmed(made, owner, records=found.all())
    assert (again.state, again.deleted_records, len(contents(orders))) == (State.PLANNED, 3, 3)
    assert again.notice.startswith(
        "The list's filter found 2 records when this was worked out, and now 3 records"
    )
    assert confirmed(again, owner, records=found.all()).state == State.DONE
    assert contents(orders) == {}


def test_a_deletion_of_many_wants_its_number_typed_and_comes_back_whole(
    orders: Dataset, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changesets, "TYPED_RECORDS", 2)
    for number in range(4):
        add_record(orders, Order_no=f"A{number}", Pieces=number, Note="two\nlines")
    before = contents(orders)
    made = changesets.plan_delete(dataset=orders, records=get_row_model(orders).objects.all(), by=owner)
    for typed in (None, 3):
        with pytest.raises(changesets.NotConfirmable, match="4 records would be deleted"):
            confirmed(made, owner, typed=typed)
    done = confirmed(made, owner, typed=4)
    assert (done.state, contents(orders)) == (State.DONE, {})
    add_record(orders, Order_no="A2")  # the key is taken meanwhile
    undo = changesets.plan_undo(changes=done, by=owner)
    assert (figures(undo), [(one["name"], one["rule"]) for one in undo.problems]) == (
        (4, 3, 0, 0, 1),
        [("A2", "Another record has its former value now, and it must be unique.")],
    )
    confirmed(undo, owner)
    there = contents(orders)
    assert {pk: row for pk, row in before.items() if row[0] != "A2"}.items() <= there.items()
    assert len(there) == 4


def test_undo_keeps_and_lists_what_was_edited_since(orders: Dataset, owner: User) -> None:
    one, two = add_record(orders, Order_no="A1"), add_record(orders, Order_no="A2")
    done = confirmed(bulk(orders, owner, "State", SET, "open"), owner)
    edit_cells(dataset=orders, edits=[CellEdit(one.pk, name_of(orders, "Customer"), None, "Ada")], by=owner)
    undo = changesets.plan_undo(changes=done, by=owner)
    assert changesets.plan_undo(changes=done, by=owner).pk == undo.pk
    assert [(row["id"], row["rule"]) for row in undo.problems] == [
        (one.pk, "This record was changed since and stays as it is.")
    ]
    confirmed(undo, owner)
    assert column(orders, "State") == ["open", None]
    done.refresh_from_db()
    with pytest.raises(changesets.NotUndoable, match="is undone already, by change"):
        changesets.plan_undo(changes=done, by=owner)
    two.delete()


def test_many_records_are_worked_out_and_written_in_the_background(
    orders: Dataset, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changesets, "BACKGROUND_RECORDS", 3)
    monkeypatch.setattr("datasets.changeset_plan.AT_ONCE", 2)
    for number in range(7):
        add_record(orders, Order_no=f"A{number}", Pieces=number)
    made = bulk(orders, owner, "Pieces", ADD, "1")
    assert made.state == State.PLANNING
    job = jobs.services.run_until_done(int(made.job_id))
    made.refresh_from_db()
    assert (made.state, figures(made), job.processed) == (State.PLANNED, (7, 0, 7, 0, 0), 7)
    done = confirmed(made, owner)
    assert (done.state, column(orders, "Pieces")) == (State.WORKING, list(range(7)))
    jobs.services.run_until_done(int(done.job_id))
    done.refresh_from_db()
    assert (done.state, column(orders, "Pieces")) == (State.DONE, list(range(1, 8)))
    changesets.write_changes(done)  # delivered twice, it writes nothing
    assert column(orders, "Pieces") == list(range(1, 8))


def test_who_lost_the_right_before_the_write_writes_nothing(
    orders: Dataset, acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changesets, "BACKGROUND_RECORDS", 0)
    editor = person(acme, "editor")
    add_record(orders, Order_no="A1", Pieces=1)
    made = bulk(orders, editor, "Pieces", ADD, "1")
    jobs.services.run_until_done(int(made.job_id))
    made.refresh_from_db()
    done = confirmed(made, editor)
    editor.groups.clear()
    jobs.services.run_until_done(int(done.job_id))
    done.refresh_from_db()
    assert (done.state, column(orders, "Pieces")) == (State.FAILED, [1])
    assert done.error == "The person who confirmed this may not do it any more. Nothing was written."


# ---- one record's past


def test_a_record_goes_back_to_a_version_whole_or_by_one_field(orders: Dataset, owner: User) -> None:
    record = add_record(orders, Order_no="A1", Pieces=1, Customer="Ada")
    first = record.history.latest().pk
    pieces, customer = name_of(orders, "Pieces"), name_of(orders, "Customer")
    edit_cells(
        dataset=orders, by=owner,
        edits=[CellEdit(record.pk, pieces, "1", "2"), CellEdit(record.pk, customer, "Ada", "Grace")],
    )  # fmt: skip
    seen = record.history.latest().pk
    made = cells.revert_record(
        dataset=orders, record_id=record.pk, version_id=first, seen=seen, by=owner, columns=[pieces]
    )
    assert (column(orders, "Pieces"), column(orders, "Customer")) == ([1], ["Grace"])
    assert made is not None and made.title == f"Reverted “Pieces” of A1 to version {first}"
    with pytest.raises(cells.RecordChanged, match="changed this record since you opened its page"):
        cells.revert_record(dataset=orders, record_id=record.pk, version_id=first, seen=seen, by=owner)
    seen = record.history.latest().pk
    cells.revert_record(dataset=orders, record_id=record.pk, version_id=first, seen=seen, by=owner)
    assert column(orders, "Customer") == ["Ada"]
    seen = record.history.latest().pk
    again = cells.revert_record(dataset=orders, record_id=record.pk, version_id=first, seen=seen, by=owner)
    assert again is None
    other = add_record(orders, Order_no="A2").history.latest().pk
    with pytest.raises(cells.NoSuchVersion):
        cells.revert_record(dataset=orders, record_id=record.pk, version_id=other, seen=seen, by=owner)


def test_a_deleted_record_comes_back_under_its_number_unless_its_key_is_taken(
    as_acme: TenantRef, owner: User
) -> None:
    things = make_dataset("Things", [NewColumn("Key", "text"), NewColumn("Word", "text")], ["Key"])
    record = add_record(things, Key="K", Word="w")
    pk, first = record.pk, record.history.latest().pk
    record.delete()
    model = get_row_model(things)
    seen = model.history.filter(id=pk).latest().pk
    taker = add_record(things, Key="K")
    with pytest.raises(cells.VersionUnfit, match="Another record has this key"):
        cells.bring_back(dataset=things, record_id=pk, version_id=first, seen=seen, by=owner)
    taker.delete()
    made = cells.bring_back(dataset=things, record_id=pk, version_id=first, seen=seen, by=owner)
    assert contents(things) == {pk: ("K", "w")}
    assert made.title == "Brought back K"
    confirmed(changesets.plan_undo(changes=made, by=owner), owner)
    assert contents(things) == {}
