"""Paging, columns and forms of the list of records, through its pages and in any order."""

from __future__ import annotations

import datetime as dt
import random
import re
from decimal import Decimal
from html import unescape
from itertools import product
from typing import Any

import pytest
from django.db import connection

from datasets.keyset import Order, page_beside, place_of, read_place
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of
from datasets.tests.pages import Visitor, by_name, page, rows_url

SIZE = 7


@pytest.fixture
def mixed(orders: Dataset) -> Dataset:
    """Sixty orders with equal values, missing values, empty texts and long ones."""
    chance = random.Random(7)
    model = get_row_model(orders)
    records = []
    for number in range(60):
        values = {
            "Order_no": f"No-{chance.randrange(10**6)}-{number}",
            "Customer": chance.choice([None, "", "Ada", "ada", "Zoë", "x" * 3_000, "x" * 2_999 + "y"]),
            "Amount": chance.choice([None, Decimal("-1.50"), Decimal("0.00"), Decimal("12.34")]),
            "Paid": chance.choice([None, True, False]),
            "Shipped_at": chance.choice(
                [None, dt.datetime(2026, 1, 1, 0, 0, 0, chance.randrange(3), tzinfo=dt.UTC)]
            ),
        }
        records.append(model(**by_name(orders, values)))
    model.objects.bulk_create(records)
    return orders


SORTS = [
    [],
    *(
        [(label, down)]
        for label in ("Order no", "Customer", "Amount", "Paid", "Shipped at")
        for down in (0, 1)
    ),
]
SORTS += [[("Paid", a), ("Amount", b)] for a, b in product((0, 1), repeat=2)]
SORTS += [[("Customer", 1), ("Shipped at", 0), ("Order no", 1)]]


@pytest.mark.parametrize("sort", SORTS, ids=str)
def test_walking_forth_and_back_meets_every_record_once_in_the_order_of_the_database(
    mixed: Dataset, sort: list[tuple[str, bool]]
) -> None:
    columns = {column.label: column for column in mixed.spec().columns}
    order = Order(tuple((columns[label], bool(down)) for label, down in sort))
    records = get_row_model(mixed).objects.all()
    everything = [one.pk for one in records.order_by(*order.fields(is_back=False))]

    def walk(start: Any, *, is_back: bool) -> list[int]:
        met: list[int] = []
        at = start
        while True:
            place = read_place(place_of(at, order), order, records)
            assert place is not None
            found = page_beside(records, order, place, SIZE, is_back=is_back)
            met = [one.pk for one in found] + met if is_back else met + [one.pk for one in found]
            if len(found) < SIZE:
                return met
            at = found[0] if is_back else found[-1]

    assert walk(records.get(pk=everything[0]), is_back=False) == everything[1:]
    assert walk(records.get(pk=everything[-1]), is_back=True) == everything[:-1]


def shown(html: str) -> list[str]:
    return re.findall(r"\bA\d{3}\b(?=</a>)", html)


def link(html: str, way: str) -> str:
    found = re.search(rf'rel="{way}" href="([^"]+)"', html)
    return unescape(found[1]) if found else ""


def test_next_and_previous_stand_still_while_records_come(orders: Dataset, at_acme: Visitor) -> None:
    model, name = get_row_model(orders), name_of(orders, "Order no")
    model.objects.bulk_create(model(**{name: f"A{number:03}"}) for number in range(60))
    first = page(at_acme, rows_url(orders) + f"?n=25&sort={name}")
    assert shown(first)[0] == "A000" and link(first, "prev") == ""
    add_record(orders, Order_no="A000a")  # on the first page, in front of what follows
    second = page(at_acme, rows_url(orders) + link(first, "next"))
    assert shown(second) == [f"A{number:03}" for number in range(25, 50)]
    assert 'aria-current="page">2<' in second
    third = page(at_acme, rows_url(orders) + link(second, "next"))
    assert shown(third) == [f"A{number:03}" for number in range(50, 60)] and link(third, "next") == ""
    back = page(at_acme, rows_url(orders) + link(third, "prev"))
    assert shown(back) == shown(second)
    start = page(at_acme, rows_url(orders) + link(back, "prev"))
    assert shown(start)[:2] == ["A001", "A002"] and shown(start)[-1] == "A024"


def test_pages_go_on_behind_the_last_number(orders: Dataset, at_acme: Visitor, monkeypatch: Any) -> None:
    model, name = get_row_model(orders), name_of(orders, "Order no")
    model.objects.bulk_create(model(**{name: f"A{number:03}"}) for number in range(110))
    monkeypatch.setattr("datasets.paginator.EXACT_UP_TO", 50)
    last = page(at_acme, rows_url(orders) + f"?n=25&p=2&sort={name}")
    assert "Page 3" not in last
    beyond = page(at_acme, rows_url(orders) + link(last, "next"))
    assert shown(beyond) == [f"A{number:03}" for number in range(50, 75)]


@pytest.mark.parametrize(
    "token", ["x", "e30", "W10", "WzFd", "WzEsMiwzXQ", "WyJhIl0", "%00", "W1tbW1tbW1tb", "²" * 9, "x" * 9_000]
)
def test_a_place_that_is_none_leads_to_the_first_page(orders: Dataset, at_acme: Visitor, token: str) -> None:
    add_record(orders, Order_no="A001")
    for sort in ("", f"&sort={name_of(orders, 'Amount')}"):
        for way in ("after", "before"):
            assert at_acme.get(f"{rows_url(orders)}?{way}={token}{sort}").status_code == 200


def headers(html: str) -> list[str]:
    return [text.strip() for text in re.findall(r'<a href="\?[^"]*sort=[^"]*">\s*([^<]+?)\s*</a>', html)]


def test_columns_are_chosen_and_ordered_by_a_form_and_kept_in_the_address(
    orders: Dataset, at_acme: Visitor
) -> None:
    add_record(orders, Order_no="A001", Pieces=3)
    customer, pieces, note = (name_of(orders, label) for label in ("Customer", "Pieces", "Note"))
    form = {
        "_cols": "1",
        "col": [customer, pieces, "c0"],
        f"at_{customer}": "2",
        f"at_{pieces}": "1",
        "n": "25",
    }
    answer = at_acme.get(rows_url(orders), {**form, f"{pieces}__from": "1", f"at_{note}": "x"})
    assert answer["Location"] == f"?{pieces}__from=1&cols={pieces}.{customer}&n=25"
    html = page(at_acme, rows_url(orders) + answer["Location"])
    assert headers(html) == ["Pieces", "Customer"]
    assert (
        page(at_acme, rows_url(orders) + f"?sort=-{note}&cols={pieces}").count("Sorted by Note, downwards")
        == 1
    )


def test_a_list_reads_the_shown_columns_alone(
    orders: Dataset, at_acme: Visitor, django_assert_max_num_queries: Any
) -> None:
    add_record(orders, Order_no="A001", Note="a long story")
    pieces, note = name_of(orders, "Pieces"), name_of(orders, "Note")
    with django_assert_max_num_queries(100) as asked:
        page(at_acme, rows_url(orders) + f"?cols={pieces}")
    read = [one["sql"] for one in asked.captured_queries if f'FROM "ds_{orders.pk}"' in one["sql"]]
    assert read and not any(f'"{note}"' in sql for sql in read)


def test_a_filter_is_added_changed_and_removed_by_plain_forms_and_links(
    orders: Dataset, at_acme: Visitor
) -> None:
    add_record(orders, Order_no="A001", Amount=Decimal(5))
    add_record(orders, Order_no="A002", Amount=Decimal(50))
    amount = name_of(orders, "Amount")
    assert "Filter Amount" in page(at_acme, f"{rows_url(orders)}?q=A0&_filter={amount}")
    answer = at_acme.get(
        rows_url(orders), {"q": "A0", "_set": amount, "f_from": "6", "f_to": "", "f_is": "", "f_empty": ""}
    )
    assert answer["Location"] == f"?{amount}__from=6&q=A0"
    html = page(at_acme, rows_url(orders) + answer["Location"])
    assert shown(html) == ["A002"] and "Amount from 6" in html
    removal = re.search(r'<a href="([^"]+)" class="ls-x" aria-label="Remove the filter Amount from 6">', html)
    assert removal and unescape(removal[1]) == "?q=A0"
    emptied = at_acme.get(rows_url(orders), {f"{amount}__from": "6", "_set": amount, "f_from": ""})
    assert emptied["Location"] == "?"


def test_a_column_that_is_gone_fits_nothing_and_leaves_the_page_standing(
    orders: Dataset, at_acme: Visitor
) -> None:
    add_record(orders, Order_no="A001")
    html = page(at_acme, f"{rows_url(orders)}?c999999__is=1&sort=c999999&cols=c999999")
    assert shown(html) == [] and "A column that is not here" in html and "it is left out" in html


@pytest.mark.case("D08")
def test_no_address_breaks_the_list(orders: Dataset, at_acme: Visitor) -> None:
    add_record(orders, Order_no="A001", Customer="Ada", Amount=Decimal(5), Pieces=1, Paid=True)
    names = [column.name for column in orders.spec().columns]
    chance = random.Random(11)
    pieces = [
        "",
        "0",
        "-1",
        "1e9",
        "NaN",
        "yes",
        "no",
        "today",
        "next-year",
        "2026-02-30",
        "\x00",
        "'",
        '"',
        "%",
    ]
    pieces += [
        "²",
        "\ud7ff",
        "9" * 300,
        "true",
        "new",
        "0001-01-01",
        "9999-12-31",
        "9999-12-31 23:59",
        "a.b",
        "-",
    ]
    operators = ["from", "to", "contains", "starts", "is", "when", "empty", "regex", ""]
    fixed = ["q", "sort", "cols", "n", "p", "after", "before", "v", "o", "e", "all"]
    fixed += ["_filter", "_set", "_cols", "col", "f_is", "f_from"]
    for _ in range(120):
        query: dict[str, Any] = {}
        for _ in range(chance.randrange(1, 5)):
            known = f"{chance.choice(names)}__{chance.choice(operators)}"
            value = chance.choice([*pieces, *names, "-" + chance.choice(names)])
            query[chance.choice([known, known, chance.choice(fixed)])] = [value, chance.choice(pieces)][
                : chance.choice([1, 1, 2])
            ]
        answer = at_acme.get(rows_url(orders), query)
        assert answer.status_code in (200, 302, 400), (answer.status_code, query)
    with connection.cursor() as cursor:  # the transaction still stands
        cursor.execute("SELECT 1")
