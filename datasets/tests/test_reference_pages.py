"""References in the admin: chosen, followed, filtered by, and in the way of deletions; each as far as rights go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.models import User
from core.tenancy import TenantRef
from datasets.access import forget
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.services import grant_right
from datasets.tests.conftest import add_record, name_of, newcomer
from datasets.tests.pages import Visitor, page, posted, rows_url
from datasets.tests.references import make_customers, make_orders, make_staff
from datasets.tests.test_definition_pages import URL, columns_form


def answer_of(client: Visitor, dataset: Dataset, **query: Any) -> tuple[list[tuple[str, str]], bool]:
    answer = json.loads(
        page(client, rows_url(dataset, "keys") + "?" + "&".join(f"{k}={v}" for k, v in query.items()))
    )
    return [(one["id"], one["text"]) for one in answer["results"]], answer["pagination"]["more"]


@pytest.fixture
def customers(as_acme: TenantRef) -> Dataset:
    made = make_customers()
    for key, name in (("C1", "Ada"), ("C2", "Bo <b>"), ("D%", None)):
        add_record(made, Customer_no=key, Name=name)
    return made


@pytest.fixture
def orders(customers: Dataset) -> Dataset:
    made = make_orders()
    add_record(made, Order_no=1, Customer="C1")
    add_record(made, Order_no=2, Customer="C1")
    add_record(made, Order_no=3)
    return made


@pytest.fixture
def clerk(client_of: Any, acme: TenantRef, orders: Dataset) -> Visitor:
    """Somebody who may do everything with orders, and nothing with customers."""
    user = newcomer("clerk@acme.example")
    for right in ("view", "add", "change", "delete"):
        grant_right(right=right, to=user, dataset=orders)
    return Visitor(client_of(acme, "clerk@acme.example"))


def test_a_key_is_found_by_its_beginning_and_by_what_people_know(
    customers: Dataset, at_acme: Visitor
) -> None:
    every = [("C1", "C1 · Ada"), ("C2", "C2 · Bo <b>"), ("D%", "D%")]
    assert answer_of(at_acme, customers) == (every, False)
    assert answer_of(at_acme, customers, term="c") == (every[:2], False)
    assert answer_of(at_acme, customers, term="ADA") == (every[:1], False)
    assert answer_of(at_acme, customers, term="%25") == ([], False)
    assert answer_of(at_acme, customers, term="D%25") == (every[2:], False)
    for odd in ({"page": "0"}, {"page": "x"}, {"page": "99"}, {"term": "%00"}, {"term": "x" * 300}):
        assert answer_of(at_acme, customers, **odd) == ([], False)


def test_keys_come_page_by_page(as_acme: TenantRef, at_acme: Visitor) -> None:
    staff = make_staff()
    get_row_model(staff).objects.bulk_create(
        get_row_model(staff)(**{name_of(staff, "Number"): number}) for number in range(1, 46)
    )
    assert answer_of(at_acme, staff, term="") == ([(str(n), str(n)) for n in range(1, 21)], True)
    assert answer_of(at_acme, staff, page=3) == ([(str(n), str(n)) for n in range(41, 46)], False)
    assert answer_of(at_acme, staff, term="4") == ([(str(n), str(n)) for n in (4, *range(40, 46))], False)


def test_who_may_not_view_the_target_sees_neither_its_keys_nor_labels(
    orders: Dataset, customers: Dataset, clerk: Visitor
) -> None:
    for path in ("keys", "by-key"):
        page(clerk, rows_url(customers, path) + "?term=C&key=C1", 404)
    html = page(clerk, rows_url(orders))
    assert "C1" in html and "by-key" not in html
    record = get_row_model(orders).objects.first()
    html = page(clerk, rows_url(orders, record.pk, "change"))
    assert "Ada" not in html and "data-ajax--url" not in html
    assert "The Customer no of a record of “Customers”." in html
    answer = clerk.post(rows_url(orders, "add"), posted(orders, Order_no="4", Customer="C2"))
    assert answer.status_code == 302
    assert getattr(get_row_model(orders).objects.get(pk=4), name_of(orders, "Customer")) == "C2"


def test_another_tenant_has_its_own_keys(at_globex: Visitor, customers: Dataset) -> None:
    page(at_globex, rows_url(customers, "keys"), 404)
    assert customers.pk == Dataset.objects.get().pk


def test_the_form_offers_what_is_chosen_and_takes_only_what_is_there(
    orders: Dataset, at_acme: Visitor
) -> None:
    record = get_row_model(orders).objects.order_by("pk").first()
    url = rows_url(orders, record.pk, "change")
    html = page(at_acme, url)
    assert 'data-ajax--url="' in html and ">C1 · Ada</option>" in html and "C2" not in html
    answer = at_acme.post(url, posted(orders, Order_no="1", Customer="C9"))
    assert "No record of “Customers” has this key." in answer.content.decode()
    answer = at_acme.post(url, posted(orders, Order_no="1", Customer="C2"))
    assert answer.status_code == 302
    assert "Bo &lt;b&gt;</option>" in page(at_acme, url)
    empty = posted(orders, Order_no="1")
    del empty[name_of(orders, "Customer")]  # as a browser sends a select nothing is chosen in
    assert at_acme.post(url, empty).status_code == 302
    record.refresh_from_db()
    assert getattr(record, name_of(orders, "Customer")) is None


def test_a_new_record_may_name_itself(as_acme: TenantRef, at_acme: Visitor) -> None:
    staff = make_staff()
    assert at_acme.post(rows_url(staff, "add"), posted(staff, Number="7", Superior="7")).status_code == 302
    answer = at_acme.post(rows_url(staff, "add"), posted(staff, Number="8", Superior="9"))
    assert "No record of “Staff” has this key." in answer.content.decode()


def test_a_reference_in_the_list_leads_to_its_record(
    orders: Dataset, customers: Dataset, at_acme: Visitor
) -> None:
    link = rows_url(customers, "by-key") + "?key=C1"
    assert f'href="{link}"' in page(at_acme, rows_url(orders))
    first = get_row_model(customers).objects.get(**{name_of(customers, "Customer no"): "C1"})
    assert at_acme.get(link)["Location"] == rows_url(customers, first.pk, "change")
    page(at_acme, rows_url(customers, "by-key") + "?key=C9", 404)
    page(at_acme, rows_url(customers, "by-key"), 404)


def test_the_list_is_filtered_by_what_it_refers_to(orders: Dataset, at_acme: Visitor) -> None:
    name = name_of(orders, "Customer")
    for query, shown in (
        (f"?{name}__is=C1", "2 records"),
        (f"?{name}__is=C2", "0 records"),
        ("", "3 records"),
    ):
        assert shown in page(at_acme, f"{rows_url(orders)}{query}")
    assert at_acme.get(f"{rows_url(orders)}?{name}__icontains=C").status_code == 400


def test_a_record_says_who_refers_to_it(
    orders: Dataset, customers: Dataset, at_acme: Visitor, clerk: Visitor
) -> None:
    ada = get_row_model(customers).objects.order_by("pk").first()
    url = rows_url(customers, ada.pk, "change")
    html = page(at_acme, url)
    link = f"{rows_url(orders)}?{name_of(orders, 'Customer')}__is=C1"
    assert (
        "Records that refer to this one" in html
        and f'href="{link}"' in html
        and "2 records of Orders" in html
    )
    assert "2 records" in page(at_acme, link)
    # Who may not view orders is not told of them.
    user = User.objects.get(email="clerk@acme.example")
    forget(orders)
    grant_right(right="view", to=user, dataset=customers)
    assert "Records that refer" not in page(clerk, url)


def test_what_is_referred_to_cannot_be_deleted_in_any_way(
    orders: Dataset, customers: Dataset, at_acme: Visitor, clerk: Visitor
) -> None:
    ada, bo, _ = get_row_model(customers).objects.order_by("pk")
    url = rows_url(customers, ada.pk, "delete")
    assert "It is referred to by 2 records of “Orders”." in page(at_acme, url)
    at_acme.post(url, {"post": "yes"})
    at_acme.post(
        rows_url(customers), {"action": "delete_selected", "_selected_action": [str(ada.pk), str(bo.pk)]}
    )
    said = "Nothing was deleted: some are referred to by 2 records of “Orders”."
    assert said in page(at_acme, rows_url(customers))
    answer = at_acme.post(
        rows_url(customers, ada.pk, "change"), posted(customers, Customer_no="C7", Name="Ada")
    )
    assert answer.status_code == 409
    assert "Records of “Orders” refer to it in “Customer”." in answer.content.decode()
    for right in ("view", "delete"):
        grant_right(right=right, to=User.objects.get(email="clerk@acme.example"), dataset=customers)
    forget(orders)
    html = page(clerk, url)
    assert "records of datasets you may not see" in html and "Orders" not in html
    assert get_row_model(customers).objects.count() == 3


def test_a_dataset_that_is_referred_to_goes_with_those_that_refer_to_it_only(
    orders: Dataset, customers: Dataset, at_acme: Visitor
) -> None:
    html = page(at_acme, f"{URL}{customers.pk}/delete/")
    assert "“Customer” of “Orders” refers to “Customers”" in html
    both = {
        "action": "delete_selected",
        "_selected_action": [str(customers.pk), str(orders.pk)],
        "post": "yes",
    }
    at_acme.post(URL, both)
    assert list(Dataset.objects.all()) == []


def test_a_reference_is_defined_on_the_page(customers: Dataset, at_acme: Visitor) -> None:
    form = columns_form(
        {"label": "No", "type": "integer", "is_key": "on"},
        {"label": "Of", "type": "reference", "target": "customers"},
        {"label": "After", "type": "reference", "target": "."},
        title="Visits",
    )
    assert at_acme.post(URL + "add/", form).status_code == 302
    made = Dataset.objects.get(slug="visits")
    _, of, after = made.spec().columns
    assert (of.options.target.dataset, after.options.target.dataset) == (customers.pk, made.pk)
    html = page(at_acme, f"{URL}{made.pk}/change/")
    assert "Customer no of “Customers”" in html and "No of “Visits”" in html
    faulty = columns_form(
        {"label": "A"},
        {"label": "B", "type": "reference"},
        {"label": "C", "type": "reference", "target": "."},
    )
    html = at_acme.post(URL + "add/", faulty).content.decode()
    assert "“C” refers to its own dataset, which has no key" in html
    html = at_acme.post(URL + "add/", columns_form({"label": "B", "type": "reference"})).content.decode()
    assert "“B” is a reference: say which dataset it refers to." in html
