"""Excel files on the same path."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from openpyxl import Workbook

from datasets.models import Dataset
from importer import services
from importer.models import State
from importer.tests.tools import counts, merge, person, records, upload, work


def workbook(**sheets: list[list[object]]) -> bytes:
    book = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


HEAD: list[object] = ["id", "status", "amount"]


def test_a_workbook_becomes_records(orders: Dataset) -> None:
    job = merge(
        upload(orders, workbook(Orders=[HEAD, [1, "new", 10.5], [2, "paid", None]]), name="orders.xlsx")
    )
    assert (job.state, job.kind) == (State.IMPORT_SUCCEEDED, "xlsx")
    assert [row[:3] for row in records(orders)] == [(1, "new", Decimal("10.50")), (2, "paid", None)]


@pytest.mark.case("X25")
def test_a_formula_without_a_value_is_a_row_error(orders: Dataset) -> None:
    job = upload(orders, workbook(Orders=[HEAD, [1, "new", "=1+1"], [2, "paid", 3]]), name="orders.xlsx")
    assert counts(job) == (1, 0, 0, 1)
    assert [(issue.row, issue.column) for issue in job.issues.all()] == [(2, "amount")]


@pytest.mark.case("X29")
def test_another_sheet_can_be_chosen(orders: Dataset) -> None:
    job = upload(
        orders, workbook(First=[HEAD, [1, "new", 1]], Second=[HEAD, [7, "sent", 2]]), name="orders.xlsx"
    )
    assert [sheet["name"] for sheet in job.head["sheets"]] == ["First", "Second"]
    services.set_mapping(job=job, by=person(), overrides={"sheet": "Second"})
    merge(work(job))
    assert [row[0] for row in records(orders)] == [7]


@pytest.mark.case("F35")
def test_a_workbook_named_csv_is_read_by_its_content(orders: Dataset) -> None:
    job = upload(orders, workbook(Orders=[HEAD, [1, "new", 1]]), name="orders.csv")
    assert (job.kind, job.state) == ("xlsx", State.PREVIEW_SUCCEEDED)
