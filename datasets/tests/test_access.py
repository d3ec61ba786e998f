"""The rights, one by one, for a user and through a group, with the other tenant's data in the room."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from guardian.models import UserObjectPermission

from accounts.models import User
from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets import access, services
from datasets.models import Dataset
from datasets.tests.conftest import add_record, make_dataset, newcomer, person
from datasets.tests.pages import Visitor, page, posted, rows_url


@pytest.fixture
def nobody(orders: Dataset) -> User:
    """A user of acme without any right."""
    return newcomer("nobody@acme.example")


def through_group(user: User, right: str, dataset: Dataset) -> None:
    group, _ = Group.objects.get_or_create(name="team")
    user.groups.add(group)
    services.grant_right(right=right, to=group, dataset=dataset)


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("way", ["user", "group"])
@pytest.mark.parametrize("right", access.RIGHTS)
def test_each_right_gives_itself_alone_and_on_that_dataset_alone(
    orders: Dataset, nobody: User, right: str, way: str
) -> None:
    other = make_dataset("Other")
    if way == "user":
        services.grant_right(right=right, to=nobody, dataset=orders)
    else:
        through_group(nobody, right, orders)
    user = fresh(nobody)
    assert access.rights_of(user, orders) == {right}
    assert access.rights_of(user, other) == frozenset()
    assert [access.may(user, one, orders) for one in access.RIGHTS] == [one == right for one in access.RIGHTS]
    assert list(access.datasets_for(user, right)) == [orders]
    access.require(user, right, orders)
    with pytest.raises(PermissionDenied):
        access.require(user, right, other)


def test_a_right_here_is_none_at_the_other_tenant(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        user = newcomer("guest@acme.example")
        services.grant_right(right="view", to=user, dataset=twins["acme"])
    with in_tenant(globex):
        User.objects.create_user("guest@globex.example", id=user.pk + 1000)
        theirs = User.objects.get(email="guest@globex.example")
        assert access.rights_of(theirs, twins["globex"]) == frozenset()


def test_roles_hold_what_their_name_says(orders: Dataset, acme: TenantRef) -> None:
    rights = {role: access.rights_of(person(acme, role), orders) for role in ("owner", "editor", "viewer")}
    everything = frozenset(access.RIGHTS)
    assert rights == {"owner": everything, "editor": everything - {"manage"}, "viewer": frozenset({"view"})}


def test_an_inactive_user_has_no_right(orders: Dataset, nobody: User) -> None:
    services.grant_right(right="view", to=nobody, dataset=orders)
    User.objects.filter(pk=nobody.pk).update(is_active=False)
    assert not access.may(fresh(nobody), "view", orders)
    assert not access.datasets_for(fresh(nobody)).exists()


PAGES: dict[str, tuple[str, ...]] = {"add": ("add",), "change": ("change",), "delete": ("delete",)}


@pytest.mark.case("A09")
@pytest.mark.parametrize("right", ["add", "change", "delete"])
def test_a_page_opens_with_its_right_and_stays_shut_without(
    orders: Dataset, nobody: User, acme: TenantRef, client_of: Any, right: str
) -> None:
    record = add_record(orders, Order_no="A")
    services.grant_right(right="view", to=nobody, dataset=orders)
    guest = Visitor(client_of(acme, nobody.email))
    url = rows_url(orders, right) if right == "add" else rows_url(orders, record.pk, right)
    form = {"post": "yes"} if right == "delete" else posted(orders, Order_no="B")
    assert guest.post(url, form).status_code == 403
    record.refresh_from_db()
    assert str(record) == "A"
    services.grant_right(right=right, to=nobody, dataset=orders)
    assert guest.post(url, form).status_code == 302


@pytest.mark.case("A09")
def test_who_may_only_view_changes_nothing_by_any_form(
    orders: Dataset, acme: TenantRef, client_of: Any
) -> None:
    record = add_record(orders, Order_no="A", Pieces=1)
    type(record).objects.filter(pk=record.pk).update(**{f"c{orders.columns.get(label='Pieces').pk}": 2})
    version = record.history.earliest()
    viewer = Visitor(client_of(acme, "viewer"))
    form = posted(orders, Order_no="Z", Pieces="9")
    assert viewer.post(rows_url(orders, record.pk, "change"), form).status_code == 403
    assert viewer.post(rows_url(orders, record.pk, "history", version.pk), form).status_code == 403
    assert viewer.post(rows_url(orders, record.pk, "delete"), {"post": "yes"}).status_code == 403
    assert viewer.post(rows_url(orders, "add"), form).status_code == 403
    selected = {
        "action": "delete_selected",
        "_selected_action": [record.pk],
        "confirmed": "yes",
        "count": "1",
    }
    viewer.post(rows_url(orders), selected)
    record.refresh_from_db()
    assert (str(record), record.history.count()) == ("A", 2)
    shown = page(viewer, rows_url(orders, record.pk, "change"))
    assert 'name="_save"' not in shown
    assert "Revert" not in page(viewer, rows_url(orders, record.pk, "history", version.pk))


@pytest.mark.case("A10")
def test_a_dataset_without_a_right_does_not_exist_on_any_page(
    orders: Dataset, nobody: User, acme: TenantRef, client_of: Any
) -> None:
    secret = make_dataset("Secret")
    record = add_record(secret, Order_no="CANARY")
    services.grant_right(right="view", to=nobody, dataset=orders)
    guest = Visitor(client_of(acme, nobody.email))
    version = record.history.get()
    for parts in (
        (),
        ("add",),
        (record.pk, "change"),
        (record.pk, "delete"),
        (record.pk, "history"),
        (record.pk, "history", version.pk),
    ):
        page(guest, rows_url(secret, *parts), status=404)
    listed = page(guest, "/admin/datasets/dataset/")
    assert "Orders" in listed and "Secret" not in listed
    # The record's number under the dataset he may see shows that dataset's record, and there is none.
    assert guest.get(rows_url(orders, record.pk, "history")).status_code == 404
    assert guest.get(rows_url(orders, record.pk, "history", version.pk)).status_code == 404


@pytest.mark.case("A13", "A15")
def test_rights_end_with_the_dataset(orders: Dataset, nobody: User) -> None:
    for right in access.RIGHTS:
        services.grant_right(right=right, to=nobody, dataset=orders)
        through_group(nobody, right, orders)
    pk = orders.pk
    services.delete_dataset(dataset=orders)
    assert not UserObjectPermission.objects.exists()
    again = make_dataset("Orders")
    Dataset.objects.filter(pk=again.pk).update(title="Orders")
    assert again.slug == "orders" and again.pk != pk
    assert access.rights_of(fresh(nobody), again) == frozenset()


@pytest.mark.case("A11")
def test_nobody_grants_what_he_lacks(orders: Dataset, nobody: User) -> None:
    manager = newcomer("manager@acme.example")
    content_type = ContentType.objects.get_for_model(Dataset)
    manager.user_permissions.add(content_type.permission_set.get(codename="change_dataset"))
    services.grant_right(right="view", to=manager, dataset=orders)
    services.grant_right(right="view", to=nobody, dataset=orders, by=fresh(manager))
    for who in (nobody, manager):
        with pytest.raises(PermissionDenied):
            services.grant_right(right="delete", to=who, dataset=orders, by=fresh(manager))
    with pytest.raises(PermissionDenied):
        services.grant_right(right="view", to=manager, dataset=orders, by=fresh(nobody))
    assert access.rights_of(fresh(manager), orders) == {"view", "manage"}


@pytest.mark.case("A11")
def test_the_permissions_page_is_for_those_who_may_change_the_dataset(
    orders: Dataset, nobody: User, acme: TenantRef, client_of: Any, at_acme: Visitor
) -> None:
    url = f"/admin/datasets/dataset/{orders.pk}/rights/"
    ticks = {f"user-{nobody.pk}-seen": "", f"user-{nobody.pk}-view": "on", f"user-{nobody.pk}-export": "on"}
    editor = Visitor(client_of(acme, "editor"))
    assert editor.get(url).status_code == 403
    assert editor.post(url, ticks).status_code == 403
    assert "nobody@acme.example" in page(at_acme, url)
    at_acme.post(url, ticks)
    assert access.rights_of(fresh(nobody), orders) == {"view", "export"}
    at_acme.post(url, {f"user-{nobody.pk}-seen": "view,export", f"user-{nobody.pk}-view": "on"})
    assert access.rights_of(fresh(nobody), orders) == {"view"}
    names = Event.objects.filter(name__startswith="datasets.right").order_by("id")
    assert [(event.name, event.data["right"]) for event in names] == [
        ("datasets.right.granted", "view"),
        ("datasets.right.granted", "export"),
        ("datasets.right.revoked", "export"),
    ]
