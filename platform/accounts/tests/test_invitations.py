"""The link by which a person sets the first password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from accounts import invitations
from accounts.models import User
from accounts.services import create_user
from core.tenancy import TenantRef, in_tenant

PASSWORD = "a bicycle in the rain"
CHOSEN = {"new_password1": PASSWORD, "new_password2": PASSWORD}


@pytest.fixture
def link(acme: TenantRef, globex: TenantRef) -> str:
    """An invitation of acme to a person globex has too, under the same number."""
    for tenant in (globex, acme):
        with in_tenant(tenant):
            user = create_user(email="new@example.org", password=None, role="viewer")
            path = invitations.invite(user=user)
    return path


def at(slug: str) -> Client:
    return Client(HTTP_HOST=f"{slug}.localhost")


def test_an_invited_person_chooses_a_password_and_signs_in(link: str) -> None:
    client = at("acme")
    assert "new@example.org" in client.get(link).content.decode()
    assert client.post(link, CHOSEN).headers["Location"] == "/admin/login/"
    signed_in = client.post("/admin/login/", {"username": "new@example.org", "password": PASSWORD})
    assert (signed_in.status_code, client.get("/admin/").status_code) == (302, 200)


def test_a_link_works_once(link: str) -> None:
    assert at("acme").post(link, CHOSEN).status_code == 302
    for again in (at("acme").get(link), at("acme").post(link, CHOSEN)):
        assert again.status_code == 404
        assert "it was used" in again.content.decode()


@pytest.mark.case("T15")
def test_a_link_of_acme_is_none_at_globex(link: str, acme: TenantRef, globex: TenantRef) -> None:
    for reply in (at("globex").get(link), at("globex").post(link, CHOSEN)):
        assert reply.status_code == 404
        assert "new@example.org" not in reply.content.decode()
    for tenant in (acme, globex):
        with in_tenant(tenant):
            assert not User.objects.get(email="new@example.org").has_usable_password()


def test_a_link_ends_with_its_days_and_with_its_person(
    link: str, acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(invitations, "KEPT_DAYS", -1)
        assert at("acme").get(link).status_code == 404
    assert at("acme").get(link).status_code == 200
    with in_tenant(acme):
        User.objects.filter(email="new@example.org").update(is_active=False)
    assert at("acme").get(link).status_code == 404


ALTERED: dict[str, Callable[[str], str]] = {
    "cut off": lambda token: token[:-3],
    "another person": lambda token: signing.dumps({"user": 1, "state": ""}, salt="accounts.invitations"),
    "nothing": lambda token: "-",
}


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
def test_an_altered_link_is_none(link: str, change: Any) -> None:
    token = link.split("/")[-2]
    assert at("acme").get(f"/invitation/{change(token)}/").status_code == 404


def test_a_weak_password_is_asked_for_again(link: str) -> None:
    reply = at("acme").post(link, {"new_password1": "12345678", "new_password2": "12345678"})
    assert reply.status_code == 200
    assert "entirely numeric" in reply.content.decode()
    assert at("acme").get(link).status_code == 200


def test_a_link_outlives_the_rotation_of_the_key_it_was_made_under(link: str, settings: Any) -> None:
    former, settings.SECRET_KEY = settings.SECRET_KEY, "x" * 60
    assert at("acme").get(link).status_code == 404
    settings.SECRET_KEY_FALLBACKS = [former]
    assert at("acme").post(link, CHOSEN).status_code == 302
    assert at("acme").post(link, CHOSEN).status_code == 404
