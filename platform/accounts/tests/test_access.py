from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.models import User
from accounts.services import EmailTaken, UnknownRole, create_user, role_rights, sync_roles
from audit.models import Event
from conftest import PASSWORD
from core.tenancy import in_tenant


class Visitor(Client):
    """A client that keeps the answer to its sign-in."""

    answer: Any


def sign_in(
    host: str, email: str, password: str = PASSWORD, path: str = "/admin/login/", **data: str
) -> Visitor:
    client = Visitor(HTTP_HOST=host)
    client.answer = client.post(path, {"username": email, "password": password, **data})
    return client


def test_people_sign_in_at_their_own_tenant_alone(acme, globex):
    assert sign_in("acme.localhost", "owner@acme.example").answer.status_code == 302
    assert sign_in("globex.localhost", "owner@acme.example").answer.status_code == 200


def test_an_address_is_the_same_in_any_case(acme):
    assert sign_in("acme.localhost", "Owner@ACME.example").answer.status_code == 302


@pytest.mark.case("T28")
def test_nobody_can_sign_in_with_an_empty_password(acme):
    with in_tenant(acme):
        create_user(email="invited@acme.example", password=None, role="viewer")
    assert sign_in("acme.localhost", "invited@acme.example", "").answer.status_code == 200
    assert sign_in("acme.localhost", "invited@acme.example", "None").answer.status_code == 200


@pytest.mark.case("T13")
def test_a_session_is_nobodys_elsewhere_though_ids_and_passwords_are_equal(acme, globex):
    with in_tenant(acme):
        ours = User.objects.get(email="owner@acme.example")
    with in_tenant(globex):
        twin = User.objects.get(pk=ours.pk)
        twin.password = ours.password  # the very same hash, as a cloned tenant would have
        twin.save()
    client = sign_in("acme.localhost", "owner@acme.example")
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/", HTTP_HOST="globex.localhost").status_code == 302


@pytest.mark.case("A03")
@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "http:///evil.example", "/\\evil.example"]
)
def test_signing_in_leads_to_our_own_pages_alone(acme, target):
    answer = sign_in(
        "acme.localhost", "owner@acme.example", path=f"/admin/login/?next={target}", next=target
    ).answer
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


@pytest.mark.case("A03")
def test_signing_in_needs_the_forms_token(acme):
    client = Client(HTTP_HOST="acme.localhost", enforce_csrf_checks=True)
    answer = client.post("/admin/login/", {"username": "owner@acme.example", "password": PASSWORD})
    assert answer.status_code == 403


@pytest.mark.case("A04")
def test_the_session_key_changes_at_sign_in(acme):
    client = Client(HTTP_HOST="acme.localhost")
    client.get("/admin/login/")
    before = client.session.session_key if client.cookies else None
    client.post("/admin/login/", {"username": "owner@acme.example", "password": PASSWORD})
    assert client.cookies["sessionid"].value != before


@pytest.mark.case("A06")
def test_a_deactivated_person_is_out_at_the_next_request(acme, client_of):
    client = client_of(acme, "editor")
    assert client.get("/admin/").status_code == 200
    with in_tenant(acme):
        User.objects.filter(email="editor@acme.example").update(is_active=False)
    assert client.get("/admin/").status_code == 302


@pytest.mark.case("A06")
def test_a_person_taken_out_of_a_group_loses_its_rights_at_the_next_request(acme, client_of):
    client = client_of(acme)
    assert client.get("/admin/accounts/user/").status_code == 200
    with in_tenant(acme):
        User.objects.get(email="owner@acme.example").groups.clear()
    assert client.get("/admin/accounts/user/").status_code == 403


@pytest.mark.case("A07")
def test_flags_beyond_the_tenant_cannot_be_posted(acme, client_of):
    client = client_of(acme)
    with in_tenant(acme):
        editor = User.objects.get(email="editor@acme.example")
        groups = list(editor.groups.values_list("pk", flat=True))
    form = {"email": editor.email, "is_active": "on", "groups": groups, "is_superuser": "on", "is_staff": "on",
            "user_permissions": ["1"]}  # fmt: skip
    assert client.post(f"/admin/accounts/user/{editor.pk}/change/", form).status_code == 302
    with in_tenant(acme):
        editor.refresh_from_db()
        assert (editor.is_superuser, editor.user_permissions.count()) == (False, 0)


@pytest.mark.case("A08")
@pytest.mark.parametrize("role", ["editor", "viewer"])
@pytest.mark.parametrize("path", ["/admin/accounts/user/", "/admin/accounts/user/add/", "/admin/auth/group/"])
def test_people_pages_are_for_those_who_manage_people(acme, client_of, role, path):
    assert client_of(acme, role).get(path).status_code == 403


@pytest.mark.case("A08")
def test_roles_are_read_and_not_written(acme, client_of):
    with in_tenant(acme):
        viewer = Group.objects.get(name="viewer")
        right = Permission.objects.get(codename="delete_rows")
    client = client_of(acme)
    assert client.get(f"/admin/auth/group/{viewer.pk}/change/").status_code == 200
    answer = client.post(
        f"/admin/auth/group/{viewer.pk}/change/", {"name": "viewer", "permissions": [right.pk]}
    )
    assert answer.status_code == 403


def test_another_tenants_people_are_not_listed(acme, globex, client_of):
    page = client_of(acme).get("/admin/accounts/user/").text
    assert "viewer@acme.example" in page
    assert "globex" not in page


def test_a_person_is_added_by_an_owner_and_recorded(acme, client_of):
    with in_tenant(acme):
        viewer = Group.objects.get(name="viewer")
    form = {"email": "New@Acme.example", "groups": [viewer.pk], "usable_password": "true",
            "password1": "a long enough one", "password2": "a long enough one"}  # fmt: skip
    assert client_of(acme).post("/admin/accounts/user/add/", form).status_code == 302
    with in_tenant(acme):
        added = User.objects.get(email__iexact="new@acme.example")
        event = Event.objects.get(name="accounts.user.created", target_id=str(added.pk))
        assert event.actor_label == "owner@acme.example"


def test_an_address_has_one_person(as_acme):
    with pytest.raises(EmailTaken):
        create_user(email="OWNER@acme.example", password=PASSWORD, role="viewer")


def test_a_role_that_is_none_is_refused(as_acme):
    with pytest.raises(UnknownRole):
        create_user(email="a@acme.example", password=PASSWORD, role="king")


def test_every_declared_right_exists(as_acme):
    sync_roles()
    held = {
        f"{right.content_type.app_label}.{right.codename}"
        for right in Group.objects.get(name="owner").permissions.select_related("content_type")
    }
    assert held == role_rights()["owner"]


@pytest.mark.parametrize(("password", "name"), [(PASSWORD, "signed_in"), ("wrong", "sign_in_failed")])
def test_sign_ins_are_events_of_the_tenant(acme, globex, password, name):
    sign_in("acme.localhost", "viewer@acme.example", password)
    with in_tenant(acme):
        event = Event.objects.get(name=f"accounts.user.{name}")
        assert (event.actor_label, event.address) == ("viewer@acme.example", "127.0.0.1")
    with in_tenant(globex):
        assert not Event.objects.filter(name=f"accounts.user.{name}").exists()


def change_user(client: Client, user: User, groups: list[str], **data: str) -> Any:
    chosen = list(Group.objects.filter(name__in=groups).values_list("pk", flat=True))
    return client.post(
        f"/admin/accounts/user/{user.pk}/change/", {"email": user.email, "groups": chosen, **data}
    )


def test_the_last_active_owner_stays_one(acme, client_of):
    with in_tenant(acme):
        owner, editor = (User.objects.get(email=f"{role}@acme.example") for role in ("owner", "editor"))
        client = client_of(acme)
    for groups, data in ((["viewer"], {"is_active": "on"}), (["owner"], {})):
        with in_tenant(acme):
            answer = change_user(client, owner, groups, **data)
        assert (answer.status_code, "last active owner" in answer.content.decode()) == (200, True)
    with in_tenant(acme):
        assert change_user(client, editor, ["owner"], is_active="on").status_code == 302
    with in_tenant(acme):
        assert change_user(client, owner, ["viewer"], is_active="on").status_code == 302
    with in_tenant(acme):
        assert [group.name for group in owner.groups.all()] == ["viewer"]


@pytest.mark.case("A07", "A11")
def test_nobody_gives_or_takes_a_role_with_more_than_he_holds(acme, client_of):
    with in_tenant(acme):
        clerk = create_user(email="clerk@acme.example", password=PASSWORD, role="viewer")
        clerk.user_permissions.set(
            Permission.objects.filter(codename__in=["view_user", "change_user", "add_user"])
        )
        owner = User.objects.get(email="owner@acme.example")
        client = client_of(acme, clerk.email)
    for who, groups in ((clerk, ["owner"]), (clerk, ["viewer", "editor"]), (owner, ["viewer"])):
        with in_tenant(acme):
            answer = change_user(client, who, groups, is_active="on")
        assert (answer.status_code, "You cannot give or take" in answer.content.decode()) == (200, True)
    with in_tenant(acme):
        assert [group.name for group in clerk.groups.all()] == ["viewer"]
        assert [group.name for group in owner.groups.all()] == ["owner"]
        assert change_user(client, clerk, [], is_active="on").status_code == 302
