"""The export of a list: exactly its records, order and columns, for who may export, in both forms."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pytest
from openpyxl import load_workbook

from audit.models import Event
from core.tenancy import TenantRef
from datasets import services
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, make_dataset, name_of, newcomer, person, twins
from datasets.tests.pages import Visitor

__all__ = ["twins"]


def url(dataset: Dataset, query: str = "") -> str:
    return f"/admin/exporter/exportfile/view/{dataset.pk}/?{query}"


def taken(visitor: Visitor, dataset: Dataset, query: str = "", **form: str) -> bytes:
    answer = visitor.post(url(dataset, query), {"form": "csv", **form})
    assert answer.status_code == 200, answer.status_code
    return b"".join(answer.streaming_content)


@pytest.fixture
def orders(as_acme: TenantRef) -> Dataset:
    dataset = make_dataset()
    add_record(dataset, Order_no="A1", Customer="=1+1", Amount=Decimal("5.50"), Pieces=1, Paid=True, State="new",
               Ordered_on=dt.date(2026, 1, 2), Shipped_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC))  # fmt: skip
    add_record(dataset, Order_no="A2", Customer="Zoë, “x”\n5%", Amount=Decimal("-7.00"), Pieces=2)
    add_record(dataset, Order_no="B1", Customer=None, Amount=Decimal("50.00"), Pieces=3)
    return dataset


@pytest.fixture
def owner(client_of: Any, acme: TenantRef) -> Visitor:
    return Visitor(client_of(acme))


def test_the_file_holds_what_the_list_shows_and_nothing_else(orders: Dataset, owner: Visitor) -> None:
    order, amount, customer = (name_of(orders, label) for label in ("Order no", "Amount", "Customer"))
    query = f"q=A&{amount}__to=10&sort=-{amount}&cols={amount}.{order}.{customer}"
    assert taken(owner, orders, query).decode() == (
        'Amount,Order no,Customer\n5.50,A1,=1+1\n-7.00,A2,"Zoë, “x”\n5%"\n'
    )
    event = Event.objects.get(name="exporter.view.exported")
    assert event.data == {"form": "csv", "rows": 2, "columns": 3, "filters": 1, "is_for_spreadsheets": False}


def test_without_chosen_columns_every_one_is_written_the_newest_first(
    orders: Dataset, owner: Visitor
) -> None:
    rows = list(csv.reader(io.StringIO(taken(owner, orders).decode(), newline="")))
    assert rows[0] == [column.label for column in orders.spec().columns]
    assert [row[0] for row in rows[1:]] == ["B1", "A2", "A1"]
    assert rows[3] == ["A1", "=1+1", "5.50", "1", "true", "2026-01-02", "2026-01-02T03:04:05Z", "new", ""]


def test_a_file_for_spreadsheets_runs_no_formula_and_leaves_numbers_alone(
    orders: Dataset, owner: Visitor
) -> None:
    amount, customer = name_of(orders, "Amount"), name_of(orders, "Customer")
    made = taken(owner, orders, f"cols={customer}.{amount}&sort={amount}", spreadsheets="1").decode(
        "utf-8-sig"
    )
    assert list(csv.reader(io.StringIO(made, newline=""))) == [
        ["Customer", "Amount"], ["Zoë, “x”\n5%", "-7.00"], ["'=1+1", "5.50"], ["", "50.00"],
    ]  # fmt: skip


def test_a_workbook_holds_values_of_their_kind_and_no_formula(orders: Dataset, owner: Visitor) -> None:
    answer = taken(owner, orders, f"sort={name_of(orders, 'Order no')}", form="xlsx")
    sheet = load_workbook(io.BytesIO(answer)).active
    assert sheet is not None
    first = [cell.value for cell in sheet[2]]
    assert first == [
        "A1",
        "=1+1",
        5.5,
        1,
        True,
        dt.datetime(2026, 1, 2),  # noqa: DTZ001 -- a workbook knows no zones
        dt.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 -- as above
        "new",
        None,
    ]
    assert sheet["B2"].data_type == "s" and sheet.max_row == 4


def test_what_no_workbook_can_hold_is_refused_with_a_sentence(orders: Dataset, owner: Visitor) -> None:
    add_record(orders, Order_no="C1", Note="x" * 32_768)
    answer = owner.post(url(orders), {"form": "xlsx"})
    assert answer.status_code == 302
    assert (
        "is 32,768 characters long; a cell of a workbook holds 32,767"
        in owner.get(answer["Location"]).content.decode()
    )
    assert b"x" * 32_768 in taken(owner, orders)


def test_a_list_that_fits_nothing_is_a_header(orders: Dataset, owner: Visitor) -> None:
    amount = name_of(orders, "Amount")
    assert taken(owner, orders, f"{amount}__from=abc&cols={amount}") == b"Amount\n"
    assert taken(owner, orders, f"{amount}__from=1000&cols={amount}") == b"Amount\n"


def test_a_large_list_passes_through_in_pieces(orders: Dataset, owner: Visitor) -> None:
    model, name = get_row_model(orders), name_of(orders, "Order no")
    model.objects.bulk_create(model(**{name: f"M{number:05}"}) for number in range(3_000))
    rows = taken(owner, orders, f"{name}__starts=m&sort={name}&cols={name}").decode().splitlines()
    assert rows == ["Order no", *(f"M{number:05}" for number in range(3_000))]


def test_only_who_may_export_gets_the_page_or_the_link(
    orders: Dataset, owner: Visitor, client_of: Any, acme: TenantRef
) -> None:
    viewer = Visitor(client_of(acme, "viewer"))
    list_url = f"/admin/datasets/dataset/{orders.pk}/rows/"
    assert "Export this list" in owner.get(list_url).content.decode()
    assert "Export this list" not in viewer.get(list_url).content.decode()
    assert viewer.get(url(orders)).status_code == 404
    assert viewer.post(url(orders), {"form": "csv"}).status_code == 404
    stranger = newcomer("stranger@acme.example")
    services.grant_right(right="export", to=stranger, dataset=orders, by=person(acme, "owner"))
    assert taken(Visitor(client_of(acme, stranger.email)), orders).startswith(b"Order no")


@pytest.mark.case("O17")
def test_a_column_a_person_does_not_see_is_neither_written_nor_asked(
    orders: Dataset, owner: Visitor, monkeypatch: Any
) -> None:
    customer, order = name_of(orders, "Customer"), name_of(orders, "Order no")
    seen = tuple(column for column in orders.spec().columns if column.name != customer)
    monkeypatch.setattr("datasets.access.visible_columns", lambda user, dataset: seen)
    assert b"Customer" not in taken(owner, orders)
    assert taken(owner, orders, f"{customer}__is=x&cols={order}.{customer}") == b"Order no\n"


def test_each_tenant_exports_its_own_dataset_of_the_same_number(
    twins: dict[str, Dataset], owner: Visitor, client_of: Any, globex: TenantRef
) -> None:
    theirs = Visitor(client_of(globex))
    assert taken(theirs, twins["globex"]) == b"Serial,Hall\n"
    assert taken(owner, twins["acme"]).startswith(b"Order no,Customer")


@pytest.mark.parametrize("query", ["x=1", "c1__regex=a", "p=2", "after=x"])
def test_an_address_that_is_no_list_is_refused(orders: Dataset, owner: Visitor, query: str) -> None:
    assert owner.get(url(orders, query)).status_code == 400


def test_a_form_nobody_knows_is_refused(orders: Dataset, owner: Visitor) -> None:
    assert owner.post(url(orders), {"form": "exe"}).status_code == 302
