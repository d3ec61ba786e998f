"""Confirming on the page: deletions agreed to by their number, and previews that cannot be confirmed as they stand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer import rules
from importer.models import State
from importer.tests.tools import GOOD, merge, person, records
from importer.tests.visits import FAULTY, ClientOf, at, figures, imported, preview, restricted, worked

SHORT = "id,status,amount,note\n1,new,10.00,call\n"
UNREADABLE_KEY = "id,status,amount,note\n1,new,10.00,call\nx,paid,20.50,\n"


def ids(tenant: TenantRef, dataset: Dataset) -> list[int]:
    with in_tenant(tenant):
        return [row[0] for row in records(dataset)]


def test_a_sync_shows_what_is_missing_and_asks_for_its_number(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    job, client = preview(acme, acme_orders, SHORT, mode="sync"), client_of(acme)
    page = client.get(at(job)).text
    assert "2 records of Orders would be deleted" in page
    assert "Type 2 to delete them, or 0 to keep them." in page
    assert figures(page)["deleted"] == "2"
    assert "Import: create 0, change 0, delete as agreed" in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [("3", "3 was typed"), ("", "Nothing was typed"), ("two", "Type the number in digits.")],
)
def test_a_wrong_number_deletes_nothing_and_says_which_one_it_would_be(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, typed: str, said: str
) -> None:
    imported(acme, acme_orders)
    job = preview(acme, acme_orders, SHORT, mode="sync")
    answer = client_of(acme).post(at(job, "confirm/"), {"seen": 1, "deletes": typed})
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-current="page">Changes' in answer.text
    assert worked(acme, job).state == State.PREVIEW_SUCCEEDED
    assert ids(acme, acme_orders) == [1, 2, 3]


@pytest.mark.parametrize(("typed", "left"), [("2", [1]), ("0", [1, 2, 3])])
def test_the_right_number_deletes_and_nought_keeps(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, typed: str, left: list[int]
) -> None:
    imported(acme, acme_orders)
    job, client = preview(acme, acme_orders, SHORT, mode="sync"), client_of(acme)
    assert client.post(at(job, "confirm/"), {"seen": 1, "deletes": typed}).status_code == 302
    job = worked(acme, job)
    assert (job.state, ids(acme, acme_orders)) == (State.IMPORT_SUCCEEDED, left)
    page = figures(client.get(at(job)).text)
    assert (page.get("deleted"), page.get("missing")) == (("2", None) if typed == "2" else (None, "2"))


def test_when_a_key_cannot_be_read_nothing_can_be_deleted_and_the_page_says_why(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    job, client = preview(acme, acme_orders, UNREADABLE_KEY, mode="sync"), client_of(acme)
    page = client.get(at(job)).text
    assert "The key of 1 rejected row cannot be read" in page
    assert "Import without deleting" in page
    assert 'name="deletes" value="0"' in page
    client.post(at(job, "confirm/"), {"seen": 1, "policy": "good_rows", "deletes": "0"})
    assert (worked(acme, job).state, ids(acme, acme_orders)) == (State.IMPORT_SUCCEEDED, [1, 2, 3])


@pytest.mark.case("A16")
def test_deleting_what_is_missing_needs_the_right_to_delete(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    restricted(acme, {acme_orders: ("view", "import", "add", "change")})
    job, client = preview(acme, acme_orders, SHORT, mode="sync"), client_of(acme, "clerk@acme.example")
    page = client.get(at(job)).text
    assert "You do not have the right to delete records of Orders" in page
    assert "/confirm/" not in page
    assert client.post(at(job, "confirm/"), {"seen": 1, "deletes": "2"}).status_code == 403
    assert ids(acme, acme_orders) == [1, 2, 3]


def test_too_many_rejected_rows_switch_the_button_off_with_the_reason(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        rules.set_rules(
            dataset=acme_orders,
            by=person(),
            policy="good_rows",
            max_rejected_percent=Decimal("50"),
            blank="clear",
        )
    job, client = preview(acme, acme_orders, FAULTY), client_of(acme)
    page = client.get(at(job)).text
    assert "2 rows of 3 are rejected (66.67 %); this dataset bears 50 %." in page
    assert 'disabled aria-describedby="blocked">Import: create 1, change 0</button>' in page
    answer = client.post(at(job, "confirm/"), {"seen": 1, "policy": "good_rows"})
    assert (answer.status_code, worked(acme, job).state) == (409, State.PREVIEW_SUCCEEDED)


def test_confirm_that_met_other_records_says_which_and_shows_the_new_plan(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    job, client = preview(acme, acme_orders, GOOD.replace("20.50", "21.00")), client_of(acme)
    with in_tenant(acme):
        status = acme_orders.spec().columns[1].name
        get_row_model(acme_orders)._default_manager.filter(**{acme_orders.spec().key[0]: 2}).update(
            **{status: "sent"}
        )
        job = merge(job)
    page = client.get(at(job)).text
    assert "1 record changed since the preview. It was made again" in page
    assert "Import: create 0, change 1" in page
