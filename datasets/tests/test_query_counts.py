"""What the pages of records ask the database: every statement by its purpose, none of them without a bound."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from datasets.models import Dataset
from datasets.paginator import EstimatedPaginator
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of
from datasets.tests.pages import Visitor, page, rows_url
from datasets.tests.statements import unbounded_counts, walks_of_history, watched

RECORDS, VERSIONS, ON_A_PAGE = 3_000, 120, 50
BEFORE = [
    "tenant",
    "session",
    "user",
    "hold of the definition",
    "user's rights",
    "groups' rights",
    "dataset",
    "columns",
]
LISTED = [*BEFORE, "limit of time", "views"]
SHOWN = ["count", "records", "sidebar", "limit of time"]
# An order and a search can be made fast by an index, which is offered from so many records on.
OFFERED = ["estimate", "count"]
EXPECTED = {
    # Before the list itself: whether a view of one's own is what one sees first.
    "list": [*BEFORE, "views", "limit of time", *SHOWN],
    "filtered list": [*LISTED, *SHOWN],
    "sorted list": [*LISTED, *OFFERED, *SHOWN],
    "search": [*LISTED, *OFFERED, *SHOWN],
    # Read twice: to say who refers to it, and by the form; the version guards against what others save meanwhile.
    "record": [*BEFORE, "records", "references to it", "versions", "records", "sidebar"],
    # The record, for its scope; its versions, the newest of them; the record as it is; which versions differ from the
    # newest; what changed its columns meanwhile; the sidebar; who wrote versions; and the records before and after it.
    "history": [
        *BEFORE,
        "records",
        "versions",
        "versions",
        "records",
        "versions",
        "changes of the definition",
        "sidebar",
        "versions",
        "records",
        "records",
    ],
}


@pytest.fixture
def many(orders: Dataset) -> dict[str, str]:
    """3,000 orders, one of them with 120 versions; the pages of records by their names."""
    changed = add_record(orders, Order_no="No-1", Customer="Ada")
    pieces, amount = name_of(orders, "Pieces"), name_of(orders, "Amount")
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{orders.spec().table}" ("{name_of(orders, "Order no")}", "{amount}")'
            " SELECT 'M' || n, n FROM generate_series(2, %s) n",
            [RECORDS],
        )
        for number in range(1, VERSIONS):
            cursor.execute(
                f'UPDATE "{orders.spec().table}" SET "{pieces}" = {number} WHERE id = {changed.pk}'
            )
    rows = rows_url(orders)
    return {
        "list": rows,
        "filtered list": f"{rows}?{amount}__from=1&{amount}__to=2900",
        "sorted list": f"{rows}?sort=-{amount}",
        "search": f"{rows}?q=M1",
        "record": rows_url(orders, changed.pk, "change"),
        "history": rows_url(orders, changed.pk, "history"),
    }


def test_pages_of_records_send_these_statements_and_no_others(many: dict[str, str], at_acme: Visitor) -> None:
    found, most_rows = {}, {}
    for name, url in many.items():
        page(at_acme, url)  # what is kept for good is kept now
        with watched() as sent:
            page(at_acme, url)
        found[name], most_rows[name] = ", ".join(sent.purposes), sent.most_rows
        assert unbounded_counts(sent.statements) == []
        assert walks_of_history(sent.statements) == []
    assert found == {name: ", ".join(purposes) for name, purposes in EXPECTED.items()}
    assert max(most_rows.values()) == ON_A_PAGE + 1, most_rows


def test_a_count_without_a_bound_is_seen(many: dict[str, str], at_acme: Visitor, monkeypatch: Any) -> None:
    monkeypatch.setattr(EstimatedPaginator, "_bounded_count", lambda pages: pages.object_list.count())
    with watched() as sent:
        page(at_acme, many["filtered list"])
    [seen] = unbounded_counts(sent.statements)
    assert seen.startswith("SELECT COUNT(*)") and "LIMIT" not in seen


def test_a_walk_of_history_is_seen(orders: Dataset) -> None:
    versions = get_row_model(orders).history.filter(id=1).order_by("-history_id")
    with watched() as sent:
        versions.first()
        versions.values_list("history_id", flat=True).first()
    assert len(walks_of_history(sent.statements)) == 2


@pytest.mark.parametrize(
    ("sql", "is_bounded"),
    [
        ('SELECT count(*) FROM (SELECT 1 FROM "ds_1" LIMIT 10001) s', True),
        ('SELECT COUNT(*) FROM (SELECT "ds_1"."id" AS "c" FROM "ds_1" WHERE (("a" = %s)) LIMIT 10001) subquery', True),
        ('SELECT \'ds_1\', count(*) FROM (SELECT FROM "ds_1" LIMIT 5) s0 UNION ALL'
         ' SELECT \'ds_2\', count(*) FROM (SELECT FROM "ds_2" LIMIT 5) s1', True),
        ('SELECT "id" FROM "ds_1" ORDER BY "account" LIMIT 51', True),
        ('SELECT COUNT(*) AS "__count" FROM "ds_1"', False),
        ('SELECT COUNT(*) AS "__count" FROM "ds_1_history" WHERE "id" = %s LIMIT 21', False),
        ('SELECT count(*) FROM (SELECT 1 FROM "ds_1") s LIMIT 10001', False),
        ('SELECT count(*) FROM (SELECT 1 FROM "ds_1" WHERE id IN (SELECT 1 LIMIT 5)) s', False),
        ('SELECT "id", count(*) OVER () FROM "ds_1" LIMIT 51', False),
        ('SELECT \'ds_1\', count(*) FROM (SELECT FROM "ds_1" LIMIT 5) s0 UNION ALL'
         ' SELECT \'ds_2\', count(*) FROM "ds_2"', False),
        ('SELECT count(DISTINCT (a + 1)) FROM (SELECT a FROM "ds_1") s', False),
    ],
)  # fmt: skip
def test_a_bound_belongs_to_what_is_counted(sql: str, is_bounded: bool) -> None:
    assert (unbounded_counts([sql]) == []) is is_bounded
