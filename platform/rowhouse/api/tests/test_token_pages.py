"""The page of API tokens: one's own, everybody's for owners; the secret shown once, after a recent sign-in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.tokens.models import ApiToken
from accounts.tokens.services import create_token
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from importer.tests.tools import make_orders

LIST = "/admin/tokens/apitoken/"
FORM = {"name": "Nightly", "scopes": ["read", "import"], "days": "30"}


def make(tenant: TenantRef, role: str, name: str, **more: Any) -> ApiToken:
    with in_tenant(tenant):
        user = User.objects.get(email=f"{role}@{tenant.slug}.example")
        return create_token(user=user, name=name, **{"scopes": ["read"], **more})[0]


@pytest.fixture
def tokens(acme: TenantRef, globex: TenantRef) -> list[ApiToken]:
    make(globex, "owner", "Of globex")
    return [make(acme, role, f"Of {role}") for role in ("owner", "editor", "viewer")]


def shown(client: Client, query: str = "") -> list[str]:
    page = client.get(LIST + query)
    assert page.status_code == 200
    return re.findall(r"Of [a-z]+", re.sub(r"<[^>]+aria-label[^>]+>", "", page.text))


def test_people_see_their_own_tokens_and_owners_everybodys(
    acme: TenantRef, tokens: list[ApiToken], client_of: Any
) -> None:
    assert shown(client_of(acme, "viewer")) == ["Of viewer"]
    owner = client_of(acme)
    assert shown(owner) == ["Of viewer", "Of editor", "Of owner"]
    assert shown(owner, "?q=editor@acme") == ["Of editor"]
    assert shown(owner, f"?q={tokens[0].token_key}") == ["Of owner"]
    assert shown(owner, "?scope=export") == []
    with in_tenant(acme):
        ApiToken.objects.filter(pk=tokens[1].pk).update(expiry=now())
    assert shown(owner, "?state=expired") == ["Of editor"]
    assert shown(owner, "?state=active") == ["Of viewer", "Of owner"]


def test_without_a_token_the_page_says_what_to_do(acme: TenantRef, client_of: Any) -> None:
    assert "There is no API token yet. Make one" in client_of(acme, "viewer").get(LIST).text


def test_a_token_is_shown_once(acme: TenantRef, client_of: Any) -> None:
    client = client_of(acme, "editor")
    with in_tenant(acme):
        orders = make_orders()
    page = client.post(f"{LIST}add/", {**FORM, "datasets": [orders.pk]})
    [secret] = re.findall(r"rwh_[0-9a-f]{64}", page.text)
    assert "no-store" in page.headers["Cache-Control"]
    answer = Client(HTTP_HOST="acme.localhost", HTTP_AUTHORIZATION=f"Bearer {secret}").get("/api/v1/token")
    assert answer.json() == {
        "name": "Nightly", "person": "editor@acme.example", "scopes": ["read", "import"], "datasets": ["orders"],
        "expires_at": answer.json()["expires_at"],
    }  # fmt: skip
    for path in (LIST, f"{LIST}add/", "/admin/"):
        assert secret[20:] not in client.get(path).text
    with in_tenant(acme):
        event = Event.objects.get(name="accounts.token.created")
        assert (event.actor_label, event.data["scopes"]) == ("editor@acme.example", ["read", "import"])
        assert ApiToken.objects.get().expiry - now() < timedelta(days=30)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "This field is required."),
        ({"scopes": []}, "Choose what it may do."),
        ({"days": "366"}, "less than or equal to 365"),
        ({"datasets": ["999999"]}, "not yours to see"),
    ],
    ids=["name", "scopes", "days", "dataset"],
)
def test_a_form_that_lacks_something_says_so(
    changes: dict[str, Any], sentence: str, acme: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        make_orders()
    page = client_of(acme).post(f"{LIST}add/", {**FORM, **changes})
    assert (page.status_code, sentence in page.text) == (422, True), page.text
    with in_tenant(acme):
        assert not ApiToken.objects.exists()


@pytest.mark.case("A10")
def test_datasets_one_has_nothing_to_do_with_are_not_offered(acme: TenantRef, client_of: Any) -> None:
    with in_tenant(acme):
        orders = make_orders("Secret orders")
        User.objects.create_user("new@acme.example", "correct horse battery")
    client = client_of(acme, "new@acme.example")
    assert "Secret orders" not in client.get(f"{LIST}add/").text
    client.post(f"{LIST}add/", {**FORM, "datasets": [orders.pk]})
    with in_tenant(acme):
        assert {token.datasets for token in ApiToken.objects.all()} <= {None}


def test_making_one_asks_for_a_recent_sign_in(acme: TenantRef, client_of: Any) -> None:
    client = client_of(acme)
    with in_tenant(acme):
        session = client.session
        assert "signed_in_at" in session
        session["signed_in_at"] = (now() - timedelta(minutes=16)).timestamp()
        session.save()
    assert "Sign in again" in client.get(f"{LIST}add/").text
    refused = client.post(f"{LIST}add/", FORM)
    assert refused.status_code == 403
    with in_tenant(acme):
        assert not ApiToken.objects.exists()
    away = client.post(f"{LIST}sign-in/")
    assert away.headers["Location"] == f"/admin/login/?next={LIST}add/"
    assert client.get(f"{LIST}add/").status_code == 302  # signed out


def test_revoking_asks_first_and_holds(acme: TenantRef, tokens: list[ApiToken], client_of: Any) -> None:
    owner, viewer = client_of(acme), client_of(acme, "viewer")
    path = f"{LIST}{tokens[1].pk}/revoke/"
    assert viewer.post(path).status_code == 404
    assert "Revoke the token" in owner.get(path).text
    page = owner.post(path, follow=True)
    assert "its next request is refused" in page.text
    assert "is revoked already" in owner.post(path, follow=True).text
    with in_tenant(acme):
        token = ApiToken.objects.get(pk=tokens[1].pk)
        assert token.revoked_by is not None and token.revoked_by.email == "owner@acme.example"


@pytest.mark.case("O07")
def test_a_name_is_text_wherever_it_is_shown(acme: TenantRef, client_of: Any) -> None:
    name = "<img src=x onerror=alert(1)>{{7*7}}"
    token = make(acme, "owner", name)
    client = client_of(acme)
    for path in (LIST, f"{LIST}{token.pk}/revoke/"):
        text = client.get(path).text
        assert "<img src=x" not in text and "49" not in re.findall(r"onerror=alert\(1\)&gt;(\S{0,6})", text)


def test_the_reference_brings_all_it_needs(acme: TenantRef, client_of: Any) -> None:
    client = client_of(acme, "viewer")
    page = client.get(f"{LIST}reference/")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [link for link in links if not link.startswith("/")] == []
    for link in links:
        answer = client.get(link)
        assert answer.status_code == 200, link
        assert b"".join(answer), link
    assert client.get(f"{LIST}reference.json").json()["info"]["title"] == "Rowhouse"
