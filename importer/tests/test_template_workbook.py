"""The empty workbook to fill in: what it looks like inside, and that it comes back without a click."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pytest
from openpyxl import load_workbook

from core.tenancy import TenantRef
from datasets.columntypes import TYPES
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from datasets.workbook import template_workbook
from importer import services
from importer.generation import Order, make_rows
from importer.generation_files import FORMS
from importer.models import ImportJob, State
from importer.tests.tools import merge, person, work

MANY = tuple(f"choice number {number}" for number in range(60))
COLUMNS = (
    NewColumn("Code"),
    NewColumn("Name", is_required=True, options=ColumnOptions(max_length=20)),
    NewColumn("Pieces", "integer", options=ColumnOptions(minimum="0", maximum="500")),
    NewColumn("Price", "decimal", options=ColumnOptions(precision=10, scale=2)),
    NewColumn("Exact", "decimal", options=ColumnOptions(precision=30, scale=10)),
    NewColumn("Active", "boolean"),
    NewColumn("Since", "date", options=ColumnOptions(minimum="2000-01-01")),
    NewColumn("Born", "date", options=ColumnOptions(minimum="1800-01-01")),
    NewColumn("Seen at", "timestamp"),
    NewColumn("State", "choice", options=ColumnOptions(choices=("new", "paid", "sent"))),
    NewColumn("Place", "choice", options=ColumnOptions(choices=MANY)),
    NewColumn("Note", "long_text"),
)


def filled(dataset: Dataset, *rows: list[Any]) -> bytes:
    """Return the dataset's workbook with these rows typed into it."""
    book = load_workbook(io.BytesIO(template_workbook(dataset.spec())))
    sheet = book.active
    assert sheet is not None
    for number, row in enumerate(rows, start=2):
        for at, value in enumerate(row, start=1):
            cell = sheet.cell(number, at, value)
            if isinstance(value, str):
                cell.data_type = "s"  # typed into a cell that is formatted as text
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def imported(dataset: Dataset, data: bytes) -> ImportJob:
    """Upload and preview without a choice of any kind; everything must fit; then confirm."""
    job = services.create_import(dataset=dataset, file=io.BytesIO(data), name="filled.xlsx", by=person())
    job = work(job)
    assert (job.state, job.rejected_rows) == (State.PREVIEW_SUCCEEDED, 0), job.error
    assert {match["reason"] for match in job.mapping} == {"exact"}
    return merge(job)


def values(dataset: Dataset) -> list[tuple[Any, ...]]:
    names = [column.name for column in dataset.spec().columns]
    return list(get_row_model(dataset).objects.order_by("id").values_list(*names))


def test_a_filled_in_workbook_is_imported_without_a_click_and_every_value_is_what_was_typed(
    as_acme: TenantRef,
) -> None:
    dataset = create_dataset(title="Parts: all/types", columns=COLUMNS, key=["Code"])
    day, moment = dt.date(2026, 12, 31), dt.datetime(2026, 12, 31, 14, 30, 5)  # noqa: DTZ001 -- as typed
    exact = "12345678901234567890.0123456789"
    row = ["007", "Äpfel", 12, 9.99, exact, "true", day, "1850-02-03", moment, "paid", MANY[59], "a\nb"]
    rest = ["=1+1", "x"] + [None] * 10
    imported(dataset, filled(dataset, row, rest))
    assert values(dataset) == [
        ("007", "Äpfel", 12, Decimal("9.99"), Decimal(exact), True, day, dt.date(1850, 2, 3),
         moment.replace(tzinfo=dt.UTC), "paid", MANY[59], "a\nb"),
        ("=1+1", "x") + (None,) * 10,
    ]  # fmt: skip


def test_made_up_rows_of_every_type_go_through_the_workbook(as_acme: TenantRef) -> None:
    choices = ColumnOptions(choices=("a", "b=c", "=d"))
    columns = [
        NewColumn(name, name, options=choices if "choice" in name else ColumnOptions())
        for name in TYPES
        if name != "reference"
    ]
    dataset = create_dataset(title="All", columns=[NewColumn("no", "integer"), *columns], key=["no"])
    spec = dataset.spec()
    forms = [FORMS.get(column.type, str) for column in spec.columns]
    made = [
        [None if cell is None else form(cell) for cell, form in zip(row.cells, forms, strict=True)]
        for row in make_rows(spec, Order(50, 0, 7, is_workbook=True))
    ]
    job = imported(dataset, filled(dataset, *made))
    assert (job.created_rows, len(values(dataset))) == (50, 50)


def test_each_column_is_formatted_and_checked_by_its_type_and_rules(as_acme: TenantRef) -> None:
    dataset = create_dataset(title="Parts: all/types", columns=COLUMNS, key=["Code"])
    book = load_workbook(io.BytesIO(template_workbook(dataset.spec())))
    sheet = book.active
    assert sheet is not None
    assert (sheet.title, sheet.freeze_panes) == ("Parts  all types", "A2")
    letters = "ABCDEFGHIJKL"
    assert [sheet.column_dimensions[letter].number_format for letter in letters] == [
        "@", "@", "0", "0.00", "@", "@", "yyyy-mm-dd", "@", "yyyy-mm-dd hh:mm:ss", "@", "@", "@",
    ]  # fmt: skip
    checks = {
        str(check.sqref)[0]: (check.type, check.operator, check.formula1, check.formula2, check.errorStyle)
        for check in sheet.data_validations.dataValidation
    }
    most = "999999999999999"
    assert checks == {
        "B": ("textLength", "lessThanOrEqual", "20", None, "stop"),
        "C": ("whole", "between", "0", "500", "stop"),
        "D": ("decimal", "between", f"-{most}", most, "warning"),
        "F": ("list", None, '"true,false"', None, "stop"),
        "G": ("date", "greaterThanOrEqual", "36526", None, "stop"),
        "I": ("date", "greaterThanOrEqual", "1", None, "warning"),
        "J": ("list", None, '"new,paid,sent"', None, "stop"),
        "K": ("list", None, "'lists'!$A$1:$A$60", None, "stop"),
    }
    assert book["lists"].sheet_state == "hidden"
    assert [cell.value for (cell,) in book["lists"].iter_rows(max_col=1)] == list(MANY)
    assert sheet["A1"].comment is not None and "Key: names one record" in sheet["A1"].comment.text
    assert sheet["C1"].comment is not None
    assert sheet["C1"].comment.text == "Whole number.\nFrom 0.\nTo 500."


@pytest.mark.case("O04")
def test_labels_and_choices_are_texts_whatever_they_begin_with(as_acme: TenantRef) -> None:
    formula = '=HYPERLINK("http://x.example")'
    labels = (formula, "@SUM(1)", "_x0041_", "a,b", '"quoted"', "=cmd|' /C calc'!A0")
    choices = (*labels, "+1", "-2", "#N/A", "TRUE", "2026-01-01")
    columns = [NewColumn(label) for label in labels]
    columns.append(NewColumn("pick", "choice", options=ColumnOptions(choices=choices)))
    dataset = create_dataset(title="=1+1", columns=columns, key=[formula])
    data = template_workbook(dataset.spec())
    book = load_workbook(io.BytesIO(data))
    sheet = book.active
    assert sheet is not None
    assert {cell.data_type for cell in [*sheet[1], *book["lists"]["A"]]} == {"s"}
    rows = [[choice] * len(columns) for choice in choices if choice != "_x0041_"]
    assert imported(dataset, filled(dataset, *rows)).created_rows == len(rows)
    assert sorted(list(row) for row in values(dataset)) == sorted(rows)


def test_labels_that_look_like_numbers_are_labels_still(as_acme: TenantRef) -> None:
    columns = [NewColumn("Account"), NewColumn("2025", "integer"), NewColumn("2026", "integer")]
    dataset = create_dataset(title="Years", columns=columns, key=["Account"])
    imported(dataset, filled(dataset, ["0100", 5, 6], ["0200", 7, None]))
    assert values(dataset) == [("0100", 5, 6), ("0200", 7, None)]
