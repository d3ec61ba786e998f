"""Excel files on the same path."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import Workbook

from core.tenancy import TenantRef
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer import services
from importer.models import State
from importer.tests.tools import counts, merge, person, records, upload, work
from importer.tests.workbooks import number, parts, rows, sheet, text, write


def workbook(**sheets: list[list[object]]) -> bytes:
    book = Workbook(write_only=True)
    for name, lines in sheets.items():
        page = book.create_sheet(name)
        for line in lines:
            page.append(line)
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


DAYS = (
    NewColumn("id", "integer", True, False, ColumnOptions()),
    NewColumn("day", "date", False, False, ColumnOptions()),
    NewColumn("moment", "timestamp", False, False, ColumnOptions()),
)
MIDNIGHT = dt.datetime.fromisoformat("2024-01-31T00:00:00")
NOON = dt.datetime.fromisoformat("2024-01-31T12:00:00")


@pytest.fixture
def days(as_acme: TenantRef) -> Dataset:
    return create_dataset(title="Days", columns=DAYS, key=("id",), by=None)


def test_a_midnight_fits_a_date_and_a_day_a_timestamp(days: Dataset) -> None:
    """A spreadsheet has one type for both, so what a cell shows cannot decide."""
    lines: list[list[object]] = [
        ["id", "day", "moment"],
        [1, MIDNIGHT, MIDNIGHT.date()],
        [2, MIDNIGHT.date(), NOON],
    ]
    merge(upload(days, workbook(Days=lines), name="days.xlsx"))
    assert records(days) == [
        (1, MIDNIGHT.date(), MIDNIGHT.replace(tzinfo=dt.UTC)),
        (2, MIDNIGHT.date(), NOON.replace(tzinfo=dt.UTC)),
    ]


def test_a_noon_fits_no_date(days: Dataset) -> None:
    job = upload(days, workbook(Days=[["id", "day"], [1, NOON], [2, MIDNIGHT]]), name="days.xlsx")
    assert counts(job) == (1, 0, 0, 1)
    assert [(issue.row, issue.column, issue.value) for issue in job.issues.all()] == [
        (2, "day", "2024-01-31T12:00:00")
    ]


def test_in_a_csv_file_a_day_is_no_timestamp(days: Dataset) -> None:
    job = upload(days, "id,day,moment\n1,2024-01-31T00:00:00,2024-01-31\n", name="days.csv")
    assert sorted(issue.column for issue in job.issues.all()) == ["day", "moment"]


@pytest.mark.case("F17")
def test_a_row_above_the_header_hides_no_cell_below_it(orders: Dataset) -> None:
    lines: list[list[object]] = [
        [None, None, None, None, "printed today"],
        HEAD,
        [1, "new", 5, None, "beyond"],
        [2, "paid", 3],
    ]
    job = upload(orders, workbook(Orders=lines), name="orders.xlsx")
    assert job.head["labels"] == HEAD
    assert [(issue.code, issue.row, issue.value) for issue in job.issues.all()] == [
        ("extra-cell", 3, "beyond")
    ]
    assert counts(job) == (1, 0, 0, 1)


@pytest.mark.case("F17")
def test_a_header_chosen_below_a_wider_row_hides_none_either(orders: Dataset) -> None:
    lines: list[list[object]] = [
        ["a", "b", "c", "d", "e"],
        HEAD,
        [1, "new", 5, None, "beyond"],
        [2, "paid", 3],
    ]
    job = upload(orders, workbook(Orders=lines), name="orders.xlsx")
    services.set_mapping(job=job, by=person(), overrides={"header_row": 2})
    job = work(job)
    assert job.head["labels"] == HEAD
    assert [(issue.code, issue.row) for issue in job.issues.all()] == [("extra-cell", 3)]


@pytest.mark.case("X24")
@pytest.mark.case("X26")
def test_errors_are_issues_and_what_was_done_is_noted(orders: Dataset, tmp_path: Path) -> None:
    data = rows(
        text("A1", "id") + text("B1", "status") + text("C1", "amount"),
        number("A2", "1") + text("B2", "new") + '<c r="C2" t="e"><v>#DIV/0!</v></c>',
        number("A3", "2") + text("B3", "paid") + '<c r="C3"><f>1+1</f><v>2</v></c>',
    )
    path = write(
        tmp_path / "orders.xlsx",
        parts(sheet(data, after='<mergeCells><mergeCell ref="E1:F2"/></mergeCells>')),
    )
    job = upload(orders, path.read_bytes(), name="orders.xlsx")
    assert [(issue.row, issue.column, issue.value) for issue in job.issues.all()] == [
        (2, "amount", "#DIV/0!")
    ]
    assert job.sheet["notes"] == [
        "1 cell holds a formula; its stored result is used.",
        "1 merged cell covers 3 others: the value counts for the first cell only, the others are read as empty.",
    ]


@pytest.mark.case("X08")
def test_after_a_hostile_workbook_the_worker_runs_the_next_job(orders: Dataset, tmp_path: Path) -> None:
    bomb = write(tmp_path / "bomb.xlsx", parts(rows(text("A1", " " * 30_000_000)))).read_bytes()
    refused = upload(orders, bomb, name="bomb.xlsx")
    assert (refused.state, refused.error_code) == (State.PREVIEW_FAILED, "workbook-refused")
    assert "times its packed size" in refused.error
    merge(upload(orders, workbook(Orders=[HEAD, [1, "new", 1]]), name="orders.xlsx"))
    assert [row[0] for row in records(orders)] == [1]
