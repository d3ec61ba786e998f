"""The pages about rights: what is granted, presets, columns, and who may what in the end and why."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied

from accounts.models import User
from audit.models import Event
from core.tenancy import TenantRef
from datasets import access, granting, services
from datasets.effective import effective_rights
from datasets.models import ColumnAccess, ColumnLimit, Dataset
from datasets.presets import PRESETS
from datasets.tests.conftest import make_dataset, newcomer, person
from datasets.tests.pages import Visitor, page


@pytest.fixture
def manager(orders: Dataset) -> User:
    """Somebody who manages the orders and may view and export them, and nothing else at acme."""
    user = newcomer("manager@acme.example")
    for right in ("view", "export", "manage"):
        services.grant_right(right=right, to=user, dataset=orders)
    return user


@pytest.fixture
def guest(orders: Dataset) -> User:
    return newcomer("guest@acme.example")


def visitor(user: User, tenant: TenantRef, client_of: Any) -> Visitor:
    return Visitor(client_of(tenant, user.email))


def url(dataset: Dataset, *parts: str) -> str:
    return f"/admin/datasets/dataset/{dataset.pk}/rights/" + "".join(f"{part}/" for part in parts)


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def granted(user: User | Group, dataset: Dataset) -> frozenset[str]:
    return access.granted_to(dataset).get(user, frozenset())


def test_who_manages_one_dataset_defines_and_grants_there_and_nowhere_else(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any
) -> None:
    other = make_dataset("Other")
    at = visitor(manager, acme, client_of)
    assert at.post(url(orders), {"preset": f"user-{guest.pk}:exporter"}).status_code == 302
    assert granted(guest, orders) == {"view", "export"}
    definition = f"/admin/datasets/dataset/{orders.pk}/change/"
    assert 'name="_save"' in page(at, definition)
    labels = {f"columns-{at}-label": one.label for at, one in enumerate(orders.columns.in_use())}
    numbers = {f"columns-{at}-id": one.pk for at, one in enumerate(orders.columns.in_use())}
    form = {
        "seen": 1,
        "title": "Sales",
        "columns-TOTAL_FORMS": 9,
        "columns-INITIAL_FORMS": 9,
        **labels,
        **numbers,
    }
    assert at.post(definition, form).status_code == 302
    assert Dataset.objects.get(pk=orders.pk).title == "Sales"
    assert at.get(f"/admin/datasets/dataset/{orders.pk}/delete/").status_code == 403
    assert [at.get(url(other)).status_code, at.post(url(other), {}).status_code] == [404, 404]
    assert at.get("/admin/datasets/dataset/rights/").status_code == 403
    assert at.get("/admin/datasets/dataset/add/").status_code == 403
    assert at.get(f"/admin/importer/importjob/rules/{orders.pk}/").status_code == 404  # no right to import


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_one_click_and_is_shown_by_its_name(
    orders: Dataset, guest: User, at_acme: Visitor, preset: str
) -> None:
    services.grant_right(right="delete", to=guest, dataset=orders)
    at_acme.post(url(orders), {"preset": f"user-{guest.pk}:{preset}"})
    assert granted(guest, orders) == PRESETS[preset]
    shown = page(at_acme, url(orders) + "?q=guest")
    assert f'<span class="rh-note">{preset}</span>' in shown
    form = shown[shown.index('<form method="post">') :]
    assert form.index("Save permissions") < form.index('name="preset"')  # what the Enter key presses
    at_acme.post(url(orders), {"preset": f"user-{guest.pk}:"})
    assert granted(guest, orders) == frozenset()


@pytest.mark.case("A11")
def test_nobody_grants_by_preset_what_he_lacks(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any
) -> None:
    at, group = visitor(manager, acme, client_of), Group.objects.get(name="viewer")
    services.grant_right(right="delete", to=group, dataset=orders)
    for key, preset in (
        (f"user-{guest.pk}", "owner"), (f"user-{manager.pk}", "editor"), (f"group-{group.pk}", "viewer"),
    ):  # fmt: skip
        assert at.post(url(orders), {"preset": f"{key}:{preset}"}).status_code == 403
    forged = {f"user-{guest.pk}-seen": "", f"user-{guest.pk}-view": "on", f"user-{guest.pk}-import": "on"}
    assert at.post(url(orders), forged).status_code == 403
    assert granted(guest, orders) == frozenset() and granted(group, orders) == {"delete"}
    assert granted(manager, orders) == {"view", "export", "manage"}
    with pytest.raises(granting.UnknownPreset):
        granting.grant_preset(preset="king", to=guest, dataset=orders)


def test_what_others_changed_meanwhile_is_no_decision_of_the_form(
    orders: Dataset, guest: User, at_acme: Visitor
) -> None:
    services.grant_right(right="view", to=guest, dataset=orders)
    form = {f"user-{guest.pk}-seen": "", f"user-{guest.pk}-export": "on"}  # opened before
    at_acme.post(url(orders), form)
    assert granted(guest, orders) == {"view", "export"}


def test_whoever_takes_rights_from_himself_is_warned_first(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any
) -> None:
    at = visitor(manager, acme, client_of)
    form = {
        f"user-{manager.pk}-seen": "view,export,manage", f"user-{manager.pk}-view": "on",
        f"user-{guest.pk}-seen": "", f"user-{guest.pk}-export": "on",
    }  # fmt: skip
    answer = at.post(url(orders), form)
    assert (answer.status_code, "You would lose: export, manage" in answer.content.decode()) == (409, True)
    assert granted(manager, orders) == {"view", "export", "manage"} and granted(guest, orders) == frozenset()
    assert at.post(url(orders), form | {"confirmed": "yes"}).status_code == 302
    assert granted(manager, orders) == {"view"} and granted(guest, orders) == {"export"}


def test_a_right_that_was_taken_between_page_and_post_is_gone(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any
) -> None:
    at = visitor(manager, acme, client_of)
    page(at, url(orders))
    services.revoke_right(right="manage", of=manager, dataset=orders)
    assert at.post(url(orders), {"preset": f"user-{guest.pk}:viewer"}).status_code == 403
    assert granted(guest, orders) == frozenset()


def test_columns_are_limited_on_their_page(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any
) -> None:
    at, viewer = visitor(manager, acme, client_of), Group.objects.get(name="viewer")
    note, key = orders.columns.get(label="Note"), orders.columns.get(label="Order no")
    asked = url(orders, "columns") + f"?who=group-{viewer.pk}"
    assert "Columns for viewer" in page(at, asked)
    at.post(url(orders, "columns"), {"who": f"group-{viewer.pk}", f"column-{note.pk}": "hidden"})
    assert [(one.column, one.group, one.access) for one in ColumnLimit.objects.all()] == [
        (note, viewer, "hidden")
    ]
    # Of what was not changed on the page nothing is said.
    at.post(
        url(orders, "columns"),
        {"who": f"group-{viewer.pk}", f"column-{note.pk}": "", f"column-{note.pk}-seen": ""},
    )
    assert ColumnLimit.objects.count() == 1
    hidden_key = {"who": f"group-{viewer.pk}", f"column-{key.pk}": "hidden"}
    assert at.post(url(orders, "columns"), hidden_key).status_code == 422
    granting.limit_column(column=note, to=manager, how=ColumnAccess.HIDDEN)
    assert "Note" not in page(at, asked)
    at.post(
        url(orders, "columns"),
        {"who": f"group-{viewer.pk}", f"column-{note.pk}": "", f"column-{note.pk}-seen": "hidden"},
    )
    assert ColumnLimit.objects.filter(group=viewer).count() == 1
    for who in ("group-0", "user-99999999", "nobody", "group-x"):
        assert at.get(url(orders, "columns") + f"?who={who}").status_code == 404
    event = Event.objects.filter(name="datasets.column.limited").first()
    assert event is not None and event.data["label"] == "Note"


def test_the_matrix_says_what_access_says_and_from_where(
    orders: Dataset, manager: User, guest: User, acme: TenantRef, client_of: Any, at_acme: Visitor,
    django_assert_max_num_queries: Any,
) -> None:  # fmt: skip
    other, team = make_dataset("Other"), Group.objects.create(name="team")
    guest.groups.add(team, Group.objects.get(name="viewer"))
    services.grant_right(right="export", to=team, dataset=orders)
    guest.user_permissions.add(Permission.objects.get(codename="add_rows"))
    chief = newcomer("chief@acme.example")
    chief.user_permissions.add(Permission.objects.get(codename="change_dataset"))
    User.objects.create_user("root@acme.example", is_superuser=True)
    User.objects.create_user("gone@acme.example", is_active=False, is_superuser=True)
    for group, label, how in (
        (team, "Note", "hidden"),
        (team, "State", "hidden"),
        (None, "State", "read-only"),
    ):
        column = orders.columns.get(label=label)
        granting.limit_column(column=column, to=group or guest, how=ColumnAccess(how))
    with django_assert_max_num_queries(14):
        rows = list(effective_rights([orders, other]))
    assert len(rows) == 2 * User.objects.filter(is_active=True).count()
    for row in rows:
        user = fresh(row.user)
        assert row.held == access.rights_of(user, row.dataset), row
        limits = access.limits_of(user, row.dataset)
        kept = {row.dataset.columns.get(pk=pk).label: str(how) for pk, how in limits.items()}
        assert {one.label: one.how for one in row.kept} == kept
    [his] = [row for row in rows if row.user == guest and row.dataset == orders]
    assert {right: [source.words for source in found] for right, found in his.rights if found} == {
        "view": ["every dataset, as viewer"],
        "add": ["every dataset, by a permission of his own"],
        "export": ["granted on this dataset to team"],
    }
    assert [(one.label, one.how, one.words) for one in his.kept] == [
        ("State", "read-only", "himself"), ("Note", "hidden", "as team"),
    ]  # fmt: skip
    _check_pages(orders, guest, at_acme)


def _check_pages(orders: Dataset, guest: User, at_acme: Visitor) -> None:
    matrix, everywhere = url(orders, "matrix"), "/admin/datasets/dataset/rights/"
    assert "granted on this dataset to team" in page(at_acme, matrix)
    for query, found in (
        ("?q=guest", 1), ("?q=nobody", 0), ("?right=export&kind=grant", 2), ("?kind=superuser", 1),
        ("?right=manage&q=guest", 0),
    ):  # fmt: skip
        assert len(at_acme.get(matrix + query).context["rows"]) == found, query
    assert "Nobody fits" in page(at_acme, matrix + "?q=nobody")
    both = at_acme.get(everywhere + "?q=guest").context["rows"]
    assert [row.dataset.title for row in both] == ["Orders", "Other"]
    User.objects.filter(pk=guest.pk).update(first_name="=1+1")
    answer = at_acme.get(everywhere + f"?q=guest&dataset={orders.pk}&format=csv")
    assert list(csv.reader(answer.content.decode().splitlines())) == [
        ["dataset", "person", "e-mail address", *access.RIGHTS, "columns"],
        ["Orders", "'=1+1", "guest@acme.example", "every dataset, as viewer",
         "every dataset, by a permission of his own", "", "", "", "granted on this dataset to team", "",
         "State: read-only himself; Note: hidden as team"],
    ]  # fmt: skip


def test_the_pages_of_rights_are_for_who_manages(
    orders: Dataset, guest: User, acme: TenantRef, client_of: Any
) -> None:
    editor, stranger = visitor(person(acme, "editor"), acme, client_of), visitor(guest, acme, client_of)
    for parts in ((), ("columns",), ("matrix",)):
        assert [
            editor.get(url(orders, *parts)).status_code,
            stranger.get(url(orders, *parts)).status_code,
        ] == [403, 404]
        assert editor.post(url(orders, *parts), {}).status_code == 403
    assert editor.get("/admin/datasets/dataset/rights/").status_code == 403


@pytest.mark.case("A13")
def test_grants_end_with_their_user_or_group(orders: Dataset, guest: User) -> None:
    team = Group.objects.create(name="team")
    for who in (guest, team):
        granting.grant_preset(preset="owner", to=who, dataset=orders)
    number = team.pk
    team.delete()
    guest.delete()
    assert access.granted_to(orders) == {}
    again = Group.objects.create(pk=number, name="another")
    member = newcomer("member@acme.example")
    member.groups.add(again)
    assert access.rights_of(fresh(member), orders) == frozenset()


def test_a_service_refuses_who_does_not_manage(orders: Dataset, guest: User) -> None:
    services.grant_right(right="view", to=guest, dataset=orders)
    with pytest.raises(PermissionDenied):
        services.grant_right(
            right="view", to=Group.objects.get(name="viewer"), dataset=orders, by=fresh(guest)
        )
