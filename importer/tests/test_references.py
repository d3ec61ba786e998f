"""Imports of references: rows whose record is not there, rows of one file that refer to each other, what cannot go."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from datasets.lookup import first_keys
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.services import NewColumn, create_dataset
from datasets.tests.references import make_customers, make_orders, make_staff, refers_to
from importer.fixing import fix_rows
from importer.generation import Order, TooFewValues, all_rows
from importer.generation_files import write_csv
from importer.models import ImportIssue, ImportJob, RejectedRow, State
from importer.tests.tools import counts, import_text, merge, person, records, upload, work
from importer.undo import undo_import

CUSTOMERS = "Customer no,Name\nC1,Ada\nC2,Bo\nC3,Cy\n"
ORDERS = "Order no,Customer\n1,C1\n2,C7\n3,\n4,C1\n"
NOBODY = "No record of “Customers” has this key. Correct the value, or add that record first."
STAFF = "Number,Name,Superior\n3,Cy,2\n2,Bo,1\n1,Ada,1\n"


def issues(job: ImportJob) -> list[tuple[Any, ...]]:
    found = ImportIssue.objects.filter(job=job).order_by("row", "value")
    return list(found.values_list("code", "row", "column", "value", "rule", "severity"))


def book(*rows: list[Any]) -> bytes:
    made, out = Workbook(), io.BytesIO()
    for row in rows:
        made.active.append(row)
    made.save(out)
    return out.getvalue()


def undo(job: ImportJob) -> ImportJob:
    return work(undo_import(job=job, by=person()))


@pytest.fixture
def customers(as_acme: TenantRef) -> Dataset:
    """Customers of acme, with three records."""
    made = make_customers()
    import_text(made, CUSTOMERS, name="customers.csv")
    return made


@pytest.fixture
def orders(customers: Dataset) -> Dataset:
    """Orders of acme, which refer to its customers."""
    return make_orders()


@pytest.fixture
def staff(as_acme: TenantRef) -> Dataset:
    """People of acme, who refer to each other."""
    return make_staff()


def test_a_row_that_refers_to_no_record_is_refused(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        import_text(make_customers(), "Customer no,Name\nC7,Theirs\n")
    with in_tenant(acme):
        import_text(make_customers(), CUSTOMERS)
        orders = make_orders()
        job = upload(orders, ORDERS)
        assert (counts(job), job.issue_counts) == ((3, 0, 0, 1), {"foreign-key": 1})
        assert issues(job) == [("foreign-key", 3, "Customer", "C7", NOBODY, "error")]
        merge(job)
        assert records(orders) == [(1, "C1"), (3, None), (4, "C1")]


def test_a_workbook_is_asked_the_same(as_acme: TenantRef) -> None:
    parts = create_dataset(
        title="Parts", columns=(NewColumn("Part no", "integer"), NewColumn("Name")), key=("Part no",)
    )
    stock = create_dataset(
        title="Stock", columns=(NewColumn("Shelf", "text"), refers_to("Part", "parts")), key=("Shelf",)
    )
    import_text(parts, "Part no,Name\n7,Bolt\n8,Nut\n")
    job = upload(stock, book(["Shelf", "Part"], ["A", 7], ["B", 9], ["C", None], ["D", "x"]), name="s.xlsx")
    assert (counts(job), job.issue_counts) == ((2, 0, 0, 2), {"foreign-key": 1, "type-error": 1})
    merge(job)
    assert records(stock) == [("A", 7), ("C", None)]


def test_a_record_that_is_added_later_lets_the_same_file_in(orders: Dataset, customers: Dataset) -> None:
    import_text(orders, ORDERS)
    again = upload(orders, ORDERS)
    assert (counts(again), again.is_same) == ((0, 0, 3, 1), False)
    import_text(customers, "Customer no,Name\nC7,Di\n")
    assert counts(upload(orders, ORDERS)) == (1, 0, 3, 0)


def test_a_corrected_row_is_asked_again_and_so_are_the_others(orders: Dataset, customers: Dataset) -> None:
    job = upload(orders, "Order no,Customer\n1,C7\n2,C8\n3,C1\n")
    assert job.issue_counts == {"foreign-key": 2}
    import_text(customers, "Customer no,Name\nC8,Di\n")
    fix_rows(job=job, by=person(), cells={2: ["1", "C9"]})
    job = work(job)
    assert (counts(job), job.issue_counts) == ((2, 0, 0, 1), {"foreign-key": 1})
    assert list(RejectedRow.objects.filter(job=job).values_list("row", "cells")) == [(2, ["1", "C9"])]
    merge(job)
    assert records(orders) == [(2, "C8"), (3, "C1")]


def test_a_record_that_goes_between_preview_and_confirm_is_noticed(
    orders: Dataset, customers: Dataset
) -> None:
    job = upload(orders, "Order no,Customer\n1,C1\n2,C2\n")
    get_row_model(customers).objects.get(pk=2).delete()
    job = merge(job)
    assert (job.state, records(orders)) == (State.PREVIEW_SUCCEEDED, [])
    assert "is not as it was at the preview" in job.notice
    assert (counts(job), job.issue_counts) == ((1, 0, 0, 1), {"foreign-key": 1})
    assert merge(job).state == State.IMPORT_SUCCEEDED
    assert records(orders) == [(1, "C1")]


def test_rows_of_one_file_refer_to_each_other_in_any_order(staff: Dataset) -> None:
    job = import_text(staff, STAFF)
    assert counts(job) == (3, 0, 0, 0)
    assert records(staff) == [(1, "Ada", 1), (2, "Bo", 1), (3, "Cy", 2)]
    # An existing record now refers to one that the file brings in: it is changed before that one is there.
    job = import_text(staff, "Number,Name,Superior\n1,Ada,9\n9,Di,1\n")
    assert (counts(job), records(staff)[0]) == ((1, 1, 0, 0), (1, "Ada", 9))


def test_who_refers_to_a_refused_row_is_refused_too(staff: Dataset) -> None:
    import_text(staff, "Number,Name,Superior\n1,Ada,\n")
    job = upload(
        staff,
        "Number,Name,Superior\n2,Bo,3\n3,Cy,x\n4,Di,2\n5,Ed,6\n6,Fo,5\n7,Gu,8\n1,Ada,2\n8,Hy,1\n8,Iv,7\n",
    )
    rule = "No record of “Staff” has this key, nor has a good row of the file."
    assert [issue[:4] for issue in issues(job)] == [
        ("foreign-key", 2, "Superior", "3"),
        ("type-error", 3, "Superior", "x"),
        ("foreign-key", 4, "Superior", "2"),
        ("foreign-key", 8, "Superior", "2"),
        ("primary-key", 10, "Number", "8"),
    ]
    assert issues(job)[0][4] == f"{rule} Correct the value, or add that record first."
    merge(job)
    assert records(staff) == [
        (1, "Ada", None), (5, "Ed", 6), (6, "Fo", 5), (7, "Gu", 8), (8, "Hy", 1),
    ]  # fmt: skip


def test_a_sync_leaves_what_records_of_others_refer_to(orders: Dataset, customers: Dataset) -> None:
    import_text(orders, "Order no,Customer\n1,C1\n2,C1\n3,C2\n")
    job = upload(customers, "Customer no,Name\nC9,New\n", mode="sync")
    assert (counts(job), job.deleted_rows, job.missing_rows) == ((1, 0, 0, 0), 1, 1)
    stays = "Others refer to this record, so it stays: "
    assert issues(job) == [
        ("still-referenced", 0, "Customer no", "C1", f"{stays}2 records of “Orders”.", "warning"),
        ("still-referenced", 0, "Customer no", "C2", f"{stays}1 record of “Orders”.", "warning"),
    ]
    merge(job, deletes=1)
    assert records(customers) == [("C1", "Ada"), ("C2", "Bo"), ("C9", "New")]
    get_row_model(orders).objects.all().delete()
    job = upload(customers, "Customer no,Name\nC9,New\n", mode="sync")
    assert (job.deleted_rows, job.warning_counts) == (2, {})


def test_a_reference_made_after_the_preview_of_a_sync_is_noticed(orders: Dataset, customers: Dataset) -> None:
    job = upload(customers, "Customer no,Name\nC1,Ada\n", mode="sync")
    assert job.deleted_rows == 2
    import_text(orders, "Order no,Customer\n1,C3\n")
    job = merge(job, deletes=2)
    assert (job.state, job.deleted_rows, len(records(customers))) == (State.PREVIEW_SUCCEEDED, 1, 3)
    assert merge(job, deletes=1).state == State.IMPORT_SUCCEEDED
    assert [key for key, _ in records(customers)] == ["C1", "C3"]


def test_a_sync_leaves_what_its_own_rows_and_kept_records_refer_to(staff: Dataset) -> None:
    import_text(staff, "Number,Name,Superior\n1,A,\n2,B,1\n3,C,2\n4,D,\n5,E,4\n6,F,6\n")
    # 3 stays for the new 7 refers to it, 2 for 3 does, 1 for 2 does; of the others none is needed.
    job = upload(staff, "Number,Name,Superior\n7,G,3\n", mode="sync")
    assert (job.deleted_rows, job.warning_counts) == (3, {"still-referenced": 3})
    assert {issue[4] for issue in issues(job)} == {
        "Others refer to this record, so it stays: 1 record of “Staff”.",
        "Others refer to this record, so it stays: Rows of the file.",
    }
    merge(job, deletes=3)
    assert [number for number, *_ in records(staff)] == [1, 2, 3, 7]


def test_a_sync_takes_a_reference_back_before_its_record_goes(staff: Dataset) -> None:
    import_text(staff, "Number,Name,Superior\n1,A,\n2,B,1\n")
    job = merge(upload(staff, "Number,Name,Superior\n2,B,\n", mode="sync"), deletes=1)
    assert (job.state, records(staff)) == (State.IMPORT_SUCCEEDED, [(2, "B", None)])


def test_an_undo_leaves_created_records_that_others_refer_to(customers: Dataset, orders: Dataset) -> None:
    job = import_text(customers, "Customer no,Name\nC7,Di\nC8,Ed\n")
    import_text(orders, "Order no,Customer\n1,C7\n")
    undone = undo(job)
    assert (undone.deleted_rows, undone.kept_rows, undone.warning_counts) == (1, 1, {"still-referenced": 1})
    assert issues(undone) == [
        (
            "still-referenced", 0, "", "C7",
            "Others refer to this record, so it stays: 1 record of “Orders”.", "warning",
        )
    ]  # fmt: skip
    assert merge(undone).state == State.IMPORT_SUCCEEDED
    assert [key for key, _ in records(customers)] == ["C1", "C2", "C3", "C7"]


def test_an_undo_leaves_values_whose_record_is_gone(customers: Dataset, orders: Dataset) -> None:
    import_text(orders, "Order no,Customer\n1,C1\n2,C2\n3,C3\n")
    job = import_text(orders, "Order no,Customer\n1,C2\n2,\n", mode="upsert")
    deleting = merge(upload(orders, "Order no,Customer\n1,C2\n2,\n", mode="sync"), deletes=1)
    get_row_model(customers).objects.filter(pk__in=[1, 3]).delete()
    undone = undo(deleting)
    assert (undone.created_rows, undone.warning_counts) == (0, {"no-longer-fits": 1})
    undone = undo(job)
    assert (undone.updated_rows, undone.warning_counts) == (1, {"no-longer-fits": 1})
    assert [issue[2:4] for issue in issues(undone)] == [("Customer", "1")]
    merge(undone)
    assert records(orders) == [(1, "C2"), (2, "C2")]


def test_an_undo_of_records_that_refer_to_each_other(staff: Dataset) -> None:
    first = import_text(staff, STAFF)
    gone = merge(upload(staff, "Number,Name,Superior\n9,Zo,\n", mode="sync"), deletes=3)
    back = merge(undo(gone))
    assert (back.state, len(records(staff))) == (State.IMPORT_SUCCEEDED, 3)
    get_row_model(staff).objects.create(**dict(zip(names(staff), (5, "Ed", 3), strict=True)))
    undone = undo(first)
    assert (undone.deleted_rows, undone.warning_counts) == (0, {"still-referenced": 3})


def names(dataset: Dataset) -> list[str]:
    return [column.name for column in dataset.spec().columns]


def test_an_undo_keeps_a_whole_chain_that_one_later_record_needs(staff: Dataset) -> None:
    first = import_text(staff, "Number,Name,Superior\n1,A,\n2,B,1\n3,C,2\n4,D,\n5,E,4\n")
    import_text(staff, "Number,Name,Superior\n6,F,3\n")
    undone = undo(first)
    assert (undone.deleted_rows, undone.warning_counts) == (2, {"still-referenced": 3})
    assert merge(undone).state == State.IMPORT_SUCCEEDED
    assert [number for number, *_ in records(staff)] == [1, 2, 3, 6]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_synced_and_undone_a_preview_is_what_happens(staff: Dataset, seed: int) -> None:
    """Random files in random modes: the merge never fails on a reference, and does what its preview counted."""
    rng = random.Random(seed)
    done: list[ImportJob] = []
    for _ in range(6):
        if done and rng.random() < 0.35:
            job = rng.choice(done)
            try:
                job = undo(job)
            except RowhouseError:  # undone already, or in the way of a later undo
                continue
        else:
            numbers = rng.sample(range(1, 12), rng.randrange(1, 9))
            rows = [
                f"{n},{rng.choice('AB')},{rng.choice(['', *map(str, range(1, 14)), 'x'])}" for n in numbers
            ]
            mode = rng.choice(["upsert", "sync", "update", "insert"])
            job = upload(staff, "\n".join(["Number,Name,Superior", *rows]) + "\n", mode=mode)
        assert job.state == State.PREVIEW_SUCCEEDED, job.error
        before = len(records(staff))
        merged = merge(job, deletes=job.deleted_rows or None) if not job.is_undo else merge(job)
        assert merged.state == State.IMPORT_SUCCEEDED, (merged.notice, merged.error)
        assert len(records(staff)) == before + job.created_rows - job.deleted_rows
        done.append(merged)


def test_made_rows_refer_to_records_that_are_there(orders: Dataset, staff: Dataset, tmp_path: Path) -> None:
    visits = create_dataset(
        title="Visits",
        columns=(
            NewColumn("Number", "integer"),
            refers_to("Customer", "customers", is_required=True),
            refers_to("Host", "staff"),
            refers_to("Earlier", "", is_unique=True),
        ),
        key=("Number",),
    )
    spec, file = visits.spec(), tmp_path / "visits.csv"
    keys = {column.name: first_keys(column, 10) for column, _ in spec.references}
    write_csv(file, all_rows(spec, Order(300, 30, 7), keys))
    job = upload(visits, file.read_bytes(), name="visits.csv")
    assert (job.created_rows, job.rejected_rows, "foreign-key" in job.issue_counts) == (270, 30, False)
    merge(job)
    found = records(visits)
    assert {customer for _, customer, _, _ in found} == {"C1", "C2", "C3"}
    assert {(host, earlier) for *_, host, earlier in found} == {(None, None)}


def test_rows_cannot_be_made_where_a_needed_record_is_nowhere(as_acme: TenantRef) -> None:
    make_customers()
    bare = create_dataset(
        title="Bare", columns=(NewColumn("No"), refers_to("Customer", "customers", is_required=True))
    )
    with pytest.raises(TooFewValues, match="“Customer” must name a record of “Customers”, which has none"):
        all_rows(bare.spec(), Order(5, 0, 1))
