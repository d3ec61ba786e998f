"""Filters, search, sorting and paging of a records list: what works, and what a URL cannot make it do."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from core.tenancy import TenantRef
from datasets.keyset import Order, place_of
from datasets.models import Dataset
from datasets.paginator import EstimatedPaginator
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of
from datasets.tests.pages import Visitor, page, rows_url


@pytest.fixture
def filled(orders: Dataset) -> Dataset:
    """Three orders."""
    for number, (amount, state, paid) in enumerate(
        [("5.00", "new", True), ("50.00", "open", False), ("500.00", "done", None)]
    ):
        add_record(
            orders,
            Order_no=f"No-{number}",
            Customer=("Ada", "100% Grace", "Alan_T")[number],
            Amount=Decimal(amount),
            Pieces=number,
            Paid=paid,
            Ordered_on=dt.date(2026, 1 + number, 1),
            Shipped_at=dt.datetime(2026, 1 + number, 1, 12, tzinfo=dt.UTC),
            State=state,
        )
    return orders


def shown(client: Visitor, dataset: Dataset, **query: Any) -> list[int]:
    """Return which of the three orders a list shows."""
    answer = client.get(rows_url(dataset), query)
    assert answer.status_code == 200, answer.status_code
    html = answer.content.decode()
    return [number for number in range(3) if f"No-{number}" in html]


@pytest.mark.parametrize(
    ("label", "suffixes", "expected"),
    [
        ("Amount", {"__from": "5.01", "__to": "60"}, [1]),
        ("Amount", {"__from": "5"}, [0, 1, 2]),
        ("Amount", {"__is": ["5", "500.00"]}, [0, 2]),
        ("Pieces", {"__from": "0.5"}, [1, 2]),
        ("Pieces", {"__to": "-0.5"}, []),
        ("Pieces", {"__from": "9" * 90}, []),
        ("Ordered on", {"__from": "2026-02-01", "__to": "2026-02-28"}, [1]),
        ("Ordered on", {"__when": "today"}, []),
        ("Shipped at", {"__from": "2026-02-01"}, [1, 2]),
        ("Shipped at", {"__to": "2026-02-01"}, [0, 1]),
        ("Shipped at", {"__from": "2026-02-01 12:01"}, [2]),
        ("Shipped at", {"__to": "9999-12-31"}, [0, 1, 2]),
        ("Shipped at", {"__from": "2026-02-01T13:00+01:00", "__to": "2026-02-01T12:00Z"}, [1]),
        ("State", {"__is": ["new", "done"]}, [0, 2]),
        ("Paid", {"__is": "true"}, [0]),
        ("Paid", {"__is": ["", "false"]}, [1, 2]),
        ("Customer", {"__contains": "GRACE"}, [1]),
        ("Customer", {"__contains": "%"}, [1]),
        ("Customer", {"__starts": "a"}, [0, 2]),
        ("Customer", {"__is": ["Ada", "alan_t"]}, [0]),
        ("Note", {"__empty": "yes"}, [0, 1, 2]),
        ("Customer", {"__empty": "no"}, [0, 1, 2]),
    ],
)
def test_a_filter_shows_what_fits(
    filled: Dataset, at_acme: Visitor, label: str, suffixes: dict[str, Any], expected: list[int]
) -> None:
    name = name_of(filled, label)
    assert shown(at_acme, filled, **{name + suffix: value for suffix, value in suffixes.items()}) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [("ada", [0]), ("No-2", [2]), ("100%", [1]), ("_T", [2]), ("50", [1]), ("grace ada", []), ("%_%_%", [])],
)
@pytest.mark.case("D06")
def test_search_finds_words_and_numbers(
    filled: Dataset, at_acme: Visitor, words: str, expected: list[int]
) -> None:
    assert shown(at_acme, filled, q=words) == expected


@pytest.mark.case("D06")
@pytest.mark.parametrize("words", ["x" * 10_000, " ".join("%_" * 500), "%_" * 2_000, '"', "'", "\\"])
def test_no_search_is_too_much(filled: Dataset, at_acme: Visitor, words: str) -> None:
    assert at_acme.get(rows_url(filled), {"q": words}).status_code == 200


@pytest.mark.case("N07", "D08")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("{customer}__password__startswith=a", 400),
        ("{customer}__regex=(a%2B)%2B$", 400),
        ("{customer}__foo=1", 400),
        ("{customer}__exact=Ada", 400),
        ("nothing=1", 400),
        ("id__in=1,2", 400),
        ("pk__gte=1", 400),
        ("history__id=1", 400),
        ("_connector=OR", 400),
        ("_negated=1", 400),
        ("_to_field=nothing", 400),
        ("o=99.-5.abc.0", 200),
        ("o=1.-2.3", 200),
        ("e=1", 200),
        ("all=", 200),
        ("_popup=1", 200),
        ("p=999999999", 200),
        ("p=-1", 200),
        ("p=abc", 200),
        ("q=%00", 200),
        ("sort=c0.-{amount}..{amount}.x", 200),
        ("cols=c0.{amount}.{amount}", 200),
        ("n=1000000", 200),
        ("after=%00&before=e30", 200),
    ],
)
def test_a_url_can_ask_for_declared_lookups_alone(
    filled: Dataset, at_acme: Visitor, query: str, status: int
) -> None:
    names = {
        "customer": name_of(filled, "Customer"),
        "amount": name_of(filled, "Amount"),
        "pieces": name_of(filled, "Pieces"),
    }
    answer = at_acme.get(f"{rows_url(filled)}?{query.format(**names)}")
    assert answer.status_code == status


@pytest.mark.case("N07", "D08")
@pytest.mark.parametrize(
    ("label", "asked", "reason"),
    [
        ("Amount", {"__from": "1e99999999"}, "Write a number in digits"),
        ("Amount", {"__from": "NaN"}, "Write a number in digits"),
        ("Pieces", {"__from": ["1", "2"]}, "This can be asked only once."),
        ("Pieces", {"__contains": "1"}, "This cannot be asked of this column."),
        ("Customer", {"__contains": "\x00"}, "and no NUL"),
        ("Customer", {"__contains": "x" * 201}, "at most 200 characters"),
        ("Customer", {"__is": [str(number) for number in range(101)]}, "At most 100 values"),
        ("Paid", {"__is": "maybe"}, "Write true or false"),
        ("State", {"__is": "nothing"}, "Not an allowed choice."),
        ("Ordered on", {"__from": "today"}, "Write the date as 2026-12-31"),
        ("Ordered on", {"__from": "99999-01-01"}, "Write the date as 2026-12-31"),
        ("Ordered on", {"__when": "some-day"}, "There is no such period."),
        ("Shipped at", {"__from": "2026-02-30 14:00"}, "not in the calendar"),
        ("Order no", {"__empty": "yes"}, "This cannot be asked of this column."),
    ],
)
def test_a_filter_that_cannot_be_read_says_why_and_fits_no_record(
    filled: Dataset, at_acme: Visitor, label: str, asked: dict[str, Any], reason: str
) -> None:
    query = {name_of(filled, label) + suffix: value for suffix, value in asked.items()}
    html = at_acme.get(rows_url(filled), query).content.decode()
    assert reason in html and "No record fits." in html
    assert shown(at_acme, filled, **query) == []


@pytest.mark.case("D08")
def test_ten_thousand_filters_are_refused(filled: Dataset, at_acme: Visitor) -> None:
    many = "&".join(f"x{number}=1" for number in range(10_000))
    assert at_acme.get(f"{rows_url(filled)}?{many}").status_code == 400


@pytest.mark.parametrize("number", ["abc", "0", "99999999999999999999999", "1/../2", "-1"])
@pytest.mark.parametrize("tail", ["change", "history", "delete", "history/1"])
def test_an_identifier_of_no_record_is_not_found(
    filled: Dataset, at_acme: Visitor, number: str, tail: str
) -> None:
    answer = at_acme.get(rows_url(filled, number, tail))
    assert answer.status_code in (302, 404)  # stock change pages lead to the dashboard with a message


@pytest.mark.case("D07")
def test_a_list_that_takes_too_long_says_what_to_do(filled: Dataset, at_acme: Visitor, settings: Any) -> None:
    model, name = get_row_model(filled), name_of(filled, "Note")
    order = name_of(filled, "Order no")
    model.objects.bulk_create(model(**{order: f"X{n}", name: "x" * 2_000}) for n in range(3_000))
    settings.ROWS_TIMEOUT_SECONDS = 0.001
    answer = at_acme.get(rows_url(filled), {"q": "zzz yyy"})
    assert answer.status_code == 503
    assert "Narrow it with a filter" in answer.content.decode()


def test_the_list_costs_the_same_few_queries_and_never_counts_without_a_bound(
    filled: Dataset, at_acme: Visitor, django_assert_max_num_queries: Any
) -> None:
    costs = []
    for _ in range(2):
        with django_assert_max_num_queries(100) as asked:
            page(at_acme, rows_url(filled))
        sent = [one["sql"] for one in asked.captured_queries if not one["sql"].startswith("SET search_path")]
        assert all("LIMIT" in sql for sql in sent if "COUNT(" in sql and '"ds_' in sql)
        costs.append(len([sql for sql in sent if sql.startswith("SELECT")]))
        add_many(filled, 60, prefix=f"M{len(costs)}-")
    assert costs == [costs[0]] * 2
    assert costs[0] <= 12  # the columns twice, the views, and the datasets of the sidebar are among them


@pytest.mark.parametrize(
    "query", ["", "{amount}__from=1&{amount}__to=99", "sort=-{amount}", "q=ada+5", "after={place}"]
)
def test_a_list_asks_for_the_records_twice_once_to_count_with_a_bound(
    filled: Dataset, client_of: Any, acme: TenantRef, django_assert_max_num_queries: Any, query: str
) -> None:
    place = place_of(get_row_model(filled).objects.latest("pk"), Order(()))
    url = f"{rows_url(filled)}?{query.format(amount=name_of(filled, 'Amount'), place=place)}"
    with django_assert_max_num_queries(100) as asked:
        page(Visitor(client_of(acme, "editor")), url)
    read = [one["sql"] for one in asked.captured_queries if f'FROM "ds_{filled.pk}"' in one["sql"]]
    assert [("COUNT(" in sql, "LIMIT" in sql) for sql in read] == [(True, True), (False, True)]


def add_many(dataset: Dataset, count: int, prefix: str = "M") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "ds_{dataset.pk}" ("{name_of(dataset, "Order no")}")'
            " SELECT %s || n FROM generate_series(1, %s) n",
            [prefix, count],
        )


def test_a_count_is_exact_while_small_and_an_estimate_once_large(filled: Dataset) -> None:
    queryset = get_row_model(filled).objects.order_by("-pk")
    assert EstimatedPaginator(queryset, 50).count_label == "3"
    add_many(filled, 12_000)
    pages = EstimatedPaginator(queryset, 50)
    assert (pages.count, pages.num_pages, pages.is_cut) == (10_001, 200, True)
    some = queryset.filter(pk__gt=0)
    assert EstimatedPaginator(some, 50).count_label == "more than 10,000"
    with connection.cursor() as cursor:
        cursor.execute(f'ANALYZE "ds_{filled.pk}"')
    assert EstimatedPaginator(queryset, 50).count_label == "about 12,000"


@pytest.mark.case("D08")
def test_a_stale_estimate_never_loads_a_whole_table(filled: Dataset, at_acme: Visitor) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ANALYZE "ds_{filled.pk}"')  # it now believes in three records
    add_many(filled, 11_000)
    html = page(at_acme, rows_url(filled) + "?all=1")
    assert html.count('class="data-row') == 50
    assert "more than 10,000 records" in html or "about" in html


def test_filters_survive_a_visit_to_a_record(filled: Dataset, at_acme: Visitor) -> None:
    query = f"{name_of(filled, 'State')}__is=new"
    html = page(at_acme, f"{rows_url(filled)}?{query}")
    assert "_changelist_filters=" in html
    record = get_row_model(filled).objects.earliest("pk")
    form = {
        **{f"c{column.pk}": "" for column in filled.columns.all()},
        name_of(filled, "Order no"): "No-0",
    }
    url = rows_url(filled, record.pk, "change") + f"?_changelist_filters={query.replace('=', '%3D')}"
    assert at_acme.post(url, form)["Location"] == f"{rows_url(filled)}?{query}"
