"""Columns hidden from a group, or read-only to it, in every path that leads to a record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.management import call_command

from accounts.models import User
from core.tenancy import TenantRef, bind_tenant, in_tenant, leave_tenant
from datasets import access, granting, services
from datasets.models import ColumnAccess, ColumnLimit, Dataset
from datasets.rules import NewColumn
from datasets.tests.conftest import add_record, make_dataset, name_of, newcomer, person
from datasets.tests.pages import Visitor, page, posted, rows_url

HIDDEN, READ_ONLY, FULL = ColumnAccess.HIDDEN, ColumnAccess.READ_ONLY, ColumnAccess.FULL
SECRET = "CANARY"


@pytest.fixture
def clerk(orders: Dataset) -> User:
    """Somebody with every right on the orders but to manage them; Customer is hidden, State read-only."""
    user = newcomer("clerk@acme.example")
    clerks = Group.objects.create(name="clerks")
    user.groups.add(clerks)
    granting.grant_preset(preset="editor", to=clerks, dataset=orders)
    limit(orders, "Customer", clerks, HIDDEN)
    limit(orders, "State", clerks, READ_ONLY)
    return user


@pytest.fixture
def at_desk(clerk: User, acme: TenantRef, client_of: Any) -> Visitor:
    return Visitor(client_of(acme, clerk.email))


@pytest.fixture
def record(orders: Dataset) -> Any:
    return add_record(orders, Order_no="A", Customer=SECRET, Pieces=1, State="new")


def limit(dataset: Dataset, label: str, to: Any, how: ColumnAccess | None, by: User | None = None) -> None:
    granting.limit_column(column=dataset.columns.get(label=label), to=to, how=how, by=by)


def labels(columns: Any) -> set[str]:
    return {column.label for column in columns}


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def values(record: Any, dataset: Dataset, *wanted: str) -> list[Any]:
    record.refresh_from_db()
    return [getattr(record, name_of(dataset, label)) for label in wanted]


def test_of_several_groups_the_strictest_decides_and_the_user_himself_before_all(
    orders: Dataset, clerk: User
) -> None:
    def kept() -> dict[str, str]:
        limits = access.limits_of(fresh(clerk), orders)
        return {orders.columns.get(pk=pk).label: str(how) for pk, how in limits.items()}

    assert kept() == {"Customer": "hidden", "State": "read-only"}
    others = Group.objects.create(name="others")
    clerk.groups.add(others)
    limit(orders, "State", others, HIDDEN)
    limit(orders, "Customer", others, READ_ONLY)
    assert kept() == {"Customer": "hidden", "State": "hidden"}
    limit(orders, "Customer", clerk, FULL)
    limit(orders, "State", clerk, READ_ONLY)
    limit(orders, "Note", clerk, HIDDEN)
    assert kept() == {"State": "read-only", "Note": "hidden"}
    everything = labels(orders.spec().columns)
    assert labels(access.visible_columns(fresh(clerk), orders)) == everything - {"Note"}
    assert labels(access.editable_columns(fresh(clerk), orders)) == everything - {"Note", "State"}


def test_from_owners_and_the_platform_no_column_is_kept(orders: Dataset, acme: TenantRef) -> None:
    owner = person(acme, "owner")
    limit(orders, "Customer", Group.objects.get(name="owner"), HIDDEN)
    limit(orders, "Customer", owner, HIDDEN)
    for user in (owner, None):
        assert access.seen_by(user, orders).spec == orders.spec()
        assert not access.seen_by(user, orders).has_limits
    nobody = User.objects.create_user("gone@acme.example", is_active=False)
    assert access.visible_columns(nobody, orders) == ()


def test_a_limit_here_is_none_at_the_other_tenant(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        limit(twins["acme"], "Customer", Group.objects.get(name="viewer"), HIDDEN)
    with in_tenant(globex):
        assert twins["acme"].columns.model.objects.filter(pk__gte=900001).exists()
        viewer = User.objects.get(email="viewer@globex.example")
        assert access.visible_columns(viewer, twins["globex"]) == twins["globex"].spec().columns


def test_no_page_of_the_records_shows_a_hidden_column(
    orders: Dataset, record: Any, at_desk: Visitor, at_acme: Visitor
) -> None:
    type(record).objects.filter(pk=record.pk).update(**{name_of(orders, "Customer"): f"{SECRET}2"})
    version = record.history.earliest()
    pages = [
        rows_url(orders),
        rows_url(orders, "add"),
        rows_url(orders, record.pk, "change"),
        rows_url(orders, record.pk, "delete"),
        rows_url(orders, record.pk, "history"),
        rows_url(orders, record.pk, "history", version.pk),
        f"/admin/datasets/dataset/{orders.pk}/change/",
        "/admin/",
    ]
    for url in pages:
        answer = at_desk.get(url)
        if answer.status_code == 403:
            continue  # the definition is not his
        shown = answer.content.decode()
        assert SECRET not in shown and "Customer" not in shown and name_of(orders, "Customer") not in shown, (
            url
        )
    assert SECRET in page(at_acme, rows_url(orders))  # the canary is there for who may see it
    chosen = {"action": "delete_selected", "_selected_action": [record.pk]}
    assert SECRET not in at_desk.post(rows_url(orders), chosen).content.decode()


def test_a_hidden_column_cannot_be_asked_for(orders: Dataset, record: Any, at_desk: Visitor) -> None:
    """Neither by search, nor by a filter, nor by the order: no count and no place tells its value."""
    customer = name_of(orders, "Customer")
    other = add_record(orders, Order_no="B", Customer="other")
    assert "1 record" in page(at_desk, rows_url(orders) + "?q=B")
    for query in (f"?q={SECRET}", "?q=other"):
        assert "0 records" in page(at_desk, rows_url(orders) + query)
    for query in (
        f"?{customer}__icontains={SECRET}", f"?{customer}={SECRET}", f"?{customer}__exact={SECRET}",
        f"?{customer}__isnull=True",
    ):  # fmt: skip
        answer = at_desk.get(rows_url(orders) + query)
        assert answer.status_code == 400, query
    columns = len(access.visible_columns(User.objects.get(email="clerk@acme.example"), orders))
    orders_of = {
        at: [str(one) for one in at_desk.get(rows_url(orders) + f"?o={at}").context["cl"].result_list]
        for at in range(columns + 1, columns + 4)
    }
    assert set(map(tuple, orders_of.values())) == {(str(other), str(record))}  # as without an order


def test_a_form_sets_only_what_is_editable(orders: Dataset, record: Any, at_desk: Visitor) -> None:
    shown = page(at_desk, rows_url(orders, record.pk, "change"))
    assert f'name="{name_of(orders, "State")}"' not in shown and "State" in shown
    form = posted(orders, Order_no="A", Customer="forged", Pieces="7", State="done")
    assert at_desk.post(rows_url(orders, record.pk, "change"), form).status_code == 302
    assert values(record, orders, "Customer", "Pieces", "State") == [SECRET, 7, "new"]
    assert at_desk.post(rows_url(orders, "add"), form | {name_of(orders, "Order no"): "N"}).status_code == 302
    added = type(record).objects.get(**{name_of(orders, "Order no"): "N"})
    assert values(added, orders, "Customer", "Pieces", "State") == [None, 7, None]


def test_nobody_adds_a_record_whose_required_value_he_may_not_set(
    orders: Dataset, at_desk: Visitor, clerk: User
) -> None:
    columns = (NewColumn("Name", "text"), NewColumn("Salary", "integer", is_required=True))
    people = make_dataset("People", columns, ["Name"])
    group = Group.objects.get(name="clerks")
    granting.grant_preset(preset="editor", to=group, dataset=people)
    limit(people, "Salary", group, HIDDEN)
    assert at_desk.get(rows_url(people, "add")).status_code == 403
    assert at_desk.post(rows_url(people, "add"), posted(people, Name="Ann")).status_code == 403
    limit(people, "Salary", clerk, FULL)
    assert at_desk.get(rows_url(people, "add")).status_code == 200


def test_a_revert_puts_back_only_what_is_editable(orders: Dataset, record: Any, at_desk: Visitor) -> None:
    first = record.history.earliest()
    now = {
        name_of(orders, label): value
        for label, value in (("Customer", "later"), ("Pieces", 2), ("State", "done"))
    }
    type(record).objects.filter(pk=record.pk).update(**now)
    form = posted(orders, Order_no="A", Customer=SECRET, Pieces="1", State="new")
    assert at_desk.post(rows_url(orders, record.pk, "history", first.pk), form).status_code == 302
    assert values(record, orders, "Customer", "Pieces", "State") == ["later", 1, "done"]
    record.delete()
    pk = first.id
    assert at_desk.post(rows_url(orders, pk, "history", first.pk), form).status_code == 403
    assert not type(record).objects.filter(pk=pk).exists()


def test_the_definition_and_the_list_of_datasets_do_not_tell_a_hidden_label(
    orders: Dataset, acme: TenantRef, client_of: Any, at_acme: Visitor
) -> None:
    limit(orders, "Customer", Group.objects.get(name="viewer"), HIDDEN)
    viewer = Visitor(client_of(acme, "viewer"))
    definition = f"/admin/datasets/dataset/{orders.pk}/change/"
    shown = page(viewer, definition)
    assert "Order no" in shown and "Customer" not in shown
    assert "Customer" in page(at_acme, definition)
    assert at_acme.get("/admin/datasets/dataset/?q=Customer").context["cl"].result_count == 1
    assert viewer.get("/admin/datasets/dataset/?q=Customer").context["cl"].result_count == 0


def test_describe_as_a_user_leaves_out_what_is_hidden(
    as_acme: TenantRef, orders: Dataset, clerk: User, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*options: str) -> str:
        leave_tenant()
        call_command("describe_dataset", "orders", "--tenant", "acme", *options)
        bind_tenant(as_acme)
        return capsys.readouterr().out

    assert "Customer" in told()
    assert "Customer" not in told("--as", clerk.email) and "State: choice (read-only)" in told(
        "--as", clerk.email
    )
    schema = json.loads(told("--as", clerk.email, "--json"))
    assert "Customer" not in json.dumps(schema)


def test_who_manages_lets_others_no_further_than_himself(orders: Dataset, clerk: User) -> None:
    group = Group.objects.get(name="clerks")
    for label, how in (("Customer", None), ("State", None), ("Note", HIDDEN)):
        with pytest.raises(PermissionDenied):
            limit(orders, label, group, how, by=fresh(clerk))  # he does not manage
    services.grant_right(right="manage", to=clerk, dataset=orders)
    for label, to, how in (
        ("Customer", group, None), ("Customer", clerk, FULL), ("State", clerk, FULL), ("State", group, None),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            limit(orders, label, to, how, by=fresh(clerk))
    limit(orders, "Note", group, READ_ONLY, by=fresh(clerk))
    assert ColumnLimit.objects.filter(access="read-only").count() == 2


def test_a_column_of_the_key_is_never_hidden(orders: Dataset, clerk: User) -> None:
    with pytest.raises(granting.KeyNotHidden):
        limit(orders, "Order no", clerk, HIDDEN)
    limit(orders, "Order no", clerk, READ_ONLY)
    # A key that came to hold a hidden column later names nothing to whom it is hidden from.
    orders.key.append(orders.columns.get(label="Customer").pk)
    orders.save()
    assert access.seen_by(fresh(clerk), orders).spec.key == ()


@pytest.mark.case("A13", "A15")
def test_limits_end_with_their_column_group_and_user(orders: Dataset, clerk: User) -> None:
    limit(orders, "Note", clerk, HIDDEN)
    assert ColumnLimit.objects.count() == 3
    Group.objects.get(name="clerks").delete()
    assert [str(one.user) for one in ColumnLimit.objects.all()] == ["clerk@acme.example"]
    services.delete_dataset(dataset=orders)
    assert not ColumnLimit.objects.exists()
