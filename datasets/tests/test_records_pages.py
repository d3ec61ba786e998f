"""The records of a dataset in the admin: list, add, change, delete, history, revert; two tenants at once."""

from __future__ import annotations

from typing import Any

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of, person
from datasets.tests.pages import Visitor, by_name, page, posted, rows_url


def stored(dataset: Dataset, *labels: str) -> list[tuple[Any, ...]]:
    """Return the stored values of some columns, oldest record first; inside the tenant."""
    names = [name_of(dataset, label) for label in labels]
    return list(get_row_model(dataset).objects.order_by("id").values_list(*names))


def test_two_tenants_work_on_the_same_table_name_in_turns(
    twins: dict[str, Dataset], at_acme: Visitor, at_globex: Visitor, acme: TenantRef, globex: TenantRef
) -> None:
    orders, machines = twins["acme"], twins["globex"]
    with in_tenant(acme):
        order = posted(orders, Order_no="A-1", Amount="12.50", Paid="true", Ordered_on="2026-11-20")
    with in_tenant(globex):
        machine = posted(machines, Serial="7", Hall="north")
    assert at_acme.post(rows_url(orders, "add"), order).status_code == 302
    assert at_globex.post(rows_url(machines, "add"), machine).status_code == 302
    with in_tenant(acme):
        ours = get_row_model(orders).objects.get()
        change = {**order, **by_name(orders, {"Amount": "13.00"})}
    with in_tenant(globex):
        theirs = get_row_model(machines).objects.get()
        move = {**machine, **by_name(machines, {"Hall": "south"})}
    assert at_globex.post(rows_url(machines, theirs.pk, "change"), move).status_code == 302
    assert at_acme.post(rows_url(orders, ours.pk, "change"), change).status_code == 302
    assert "12.50" in page(at_acme, rows_url(orders, ours.pk, "history"))
    assert "north" in page(at_globex, rows_url(machines, theirs.pk, "history"))
    listed = page(at_acme, rows_url(orders))
    assert "13.00" in listed and "A-1" in listed and "south" not in listed
    assert "south" in page(at_globex, rows_url(machines))
    with in_tenant(acme):
        first = ours.history.earliest()
    assert "Revert" in page(at_acme, rows_url(orders, ours.pk, "history", first.pk))
    assert at_acme.post(rows_url(orders, ours.pk, "history", first.pk), order).status_code == 302
    assert at_globex.post(rows_url(machines, theirs.pk, "delete"), {"post": "yes"}).status_code == 302
    with in_tenant(acme):
        assert [str(amount) for (amount,) in stored(orders, "Amount")] == ["12.50"]
        last = ours.history.latest()
        assert last.history_user_id == person(acme, "owner").pk
        assert last.history_change_reason == f"reverted to version {first.pk}"
    with in_tenant(globex):
        assert stored(machines, "Serial") == []
        assert machines_history(machines) == ["+", "~", "-"]


def test_history_calls_a_revert_only_what_puts_a_version_back(orders: Dataset, at_acme: Visitor) -> None:
    record = add_record(orders, Order_no="A-1", Pieces=4)
    version = record.history.get()
    edited = posted(orders, Order_no="A-1", Pieces="999")
    assert at_acme.post(rows_url(orders, record.pk, "history", version.pk), edited).status_code == 302
    assert record.history.latest().history_change_reason == "edited in the admin"
    put_back = posted(orders, Order_no="A-1", Pieces="4")
    assert at_acme.post(rows_url(orders, record.pk, "history", version.pk), put_back).status_code == 302
    assert record.history.latest().history_change_reason == f"reverted to version {version.pk}"


def machines_history(dataset: Dataset) -> list[str]:
    model = get_row_model(dataset)
    return list(model.history_model.objects.order_by("history_id").values_list("history_type", flat=True))


def test_a_deleted_record_can_be_brought_back(orders: Dataset, at_acme: Visitor, acme: TenantRef) -> None:
    record = add_record(orders, Order_no="A-1", Pieces=4)
    form = posted(orders, Order_no="A-1", Pieces="4")
    version = record.history.get()
    pk = record.pk
    at_acme.post(rows_url(orders, pk, "delete"), {"post": "yes"})
    assert stored(orders, "Order no") == []
    assert at_acme.post(rows_url(orders, pk, "history", version.pk), form).status_code == 302
    assert stored(orders, "Order no", "Pieces") == [("A-1", 4)]
    assert get_row_model(orders).objects.get().pk == pk


def test_a_form_answers_with_the_column_types_own_sentence(orders: Dataset, at_acme: Visitor) -> None:
    wrong = posted(
        orders, Order_no="", Amount="1.005", Pieces="1e3", Paid="ja", Ordered_on="today", State="lost"
    )
    html = at_acme.post(rows_url(orders, "add"), wrong).content.decode()
    for sentence in (
        "This column needs a value.",
        "Too many decimals: this column holds 2.",
        "Not an allowed choice.",
    ):
        assert sentence in html
    assert stored(orders, "Order no") == []


def test_what_nobody_touched_keeps_its_very_value(orders: Dataset, at_acme: Visitor) -> None:
    record = add_record(orders, Order_no="A", Customer="", Note="two\r\nlines", State=None)
    form = posted(orders, Order_no="A", Note="two\r\nlines", Pieces="1")
    assert at_acme.post(rows_url(orders, record.pk, "change"), form).status_code == 302
    assert stored(orders, "Customer", "Note", "State", "Pieces") == [("", "two\r\nlines", None, 1)]
    again = posted(orders, Order_no="A", Note="two\nlines", Pieces="1")
    at_acme.post(rows_url(orders, record.pk, "change"), again)
    assert record.history.count() == 2  # the second time nothing was written


def test_a_second_record_with_the_key_is_refused_with_a_sentence(orders: Dataset, at_acme: Visitor) -> None:
    add_record(orders, Order_no="A")
    html = at_acme.post(rows_url(orders, "add"), posted(orders, Order_no="A")).content.decode()
    assert "Another record has this key (Order no)." in html


def test_an_empty_list_says_what_to_do(orders: Dataset, at_acme: Visitor) -> None:
    assert "No records yet." in page(at_acme, rows_url(orders))


def test_links_to_the_apps_above_follow_the_rights(orders: Dataset, client_of: Any, acme: TenantRef) -> None:
    links = (
        f"upload/?dataset={orders.pk}",
        f"importjob/?dataset={orders.pk}",
        f"exportfile/?dataset={orders.pk}",
    )
    editor, viewer = (page(Visitor(client_of(acme, role)), rows_url(orders)) for role in ("editor", "viewer"))
    assert [link in editor for link in links] == [True, True, True]
    assert [link in viewer for link in links] == [False, False, False]
    assert "Permissions" not in editor and "Definition" in viewer
