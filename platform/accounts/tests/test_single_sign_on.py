"""Signing in by a tenant's own provider, against a real one that answers over HTTP and can be told to do wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.factors import ask_of_roles
from accounts.models import SignInProvider, User
from accounts.services import create_user
from accounts.single_sign_on import discovery, services
from audit.models import Event
from conftest import PASSWORD
from core.clock import now
from core.outgoing import NotAllowedHost
from core.tenancy import TenantRef, in_tenant
from tenants.models import Tenant
from tenants.standing import make_read_only
from tests.oidc_provider import Provider, oidc_provider

EDITOR = "editor@acme.example"
VALUES: dict[str, Any] = {
    "name": "Acme's directory",
    "domains": ["acme.example"],
    "new_person_role": "",
    "passwords_for": "EVERYONE",
    "trusts_second_factor": False,
    "second_factor_levels": [],
    "is_on": True,
}


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    settings.ROWHOUSE_SIGN_IN_PRIVATE_HOSTS = ["127.0.0.1"]
    cache.clear()
    with oidc_provider() as found:
        yield found


def enter(tenant: TenantRef, provider: Provider, **values: Any) -> SignInProvider:
    """Make the provider the tenant's, or change it."""
    with in_tenant(tenant):
        held = services.provider_or_none()
        given = {**VALUES, "issuer": provider.issuer, "client_id": provider.client_id, **values}
        return services.set_provider(
            values=given, secret=provider.secret, seen=held.version if held else 0, by=None
        )


def browser(tenant: TenantRef) -> Client:
    return Client(HTTP_HOST=f"{tenant.slug}.localhost")


def begin(client: Client, **data: str) -> str:
    """Press the button of the sign-in page, and return the address of the provider it leads to."""
    answer = client.post("/single-sign-on/", data)
    assert answer.status_code == 200, answer.content.decode()
    address: str = answer.context["address"]
    return address


def come_back(client: Client, address: str) -> Any:
    """Open the address the provider leads back to."""
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def sign_in(client: Client, provider: Provider, email: str, **data: str) -> Any:
    return come_back(client, provider.sign_in(begin(client, **data), email))


def who(client: Client) -> str:
    """Return who is signed in: an address, or nothing."""
    answer = client.get("/admin/")
    return str(answer.wsgi_request.user.email) if answer.status_code == 200 else ""


def reasons(tenant: TenantRef) -> list[str]:
    with in_tenant(tenant):
        found = Event.objects.filter(name="accounts.user.sign_in_failed").order_by("pk")
        return [event.data.get("reason", "") for event in found]


def links(tenant: TenantRef) -> list[tuple[str, str]]:
    with in_tenant(tenant):
        return [(one.user.email, one.extra_data["subject"]) for one in SocialAccount.objects.order_by("pk")]


# ---- who comes in


def test_a_person_signs_in_and_is_known_by_the_subject_from_then_on(acme, globex, provider):
    enter(acme, provider)
    client = browser(acme)
    answer = sign_in(client, provider, EDITOR)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert who(client) == EDITOR
    assert links(acme) == [(EDITOR, provider.subject(EDITOR))]
    with in_tenant(acme):
        linked = Event.objects.get(name="accounts.user.linked")
        assert (linked.target_label, linked.data["issuer"]) == (EDITOR, provider.issuer)
        assert Event.objects.filter(name="accounts.user.signed_in", target_label=EDITOR).exists()

    # The same account under another address, even another person's: it stays the same person.
    provider.subjects["owner@acme.example"] = provider.subject(EDITOR)
    again = browser(acme)
    sign_in(again, provider, "owner@acme.example")
    assert who(again) == EDITOR
    assert len(links(acme)) == 1 and links(globex) == []


def test_an_address_counts_in_any_case(acme, provider):
    enter(acme, provider)
    client = browser(acme)
    sign_in(client, provider, "Editor@Acme.Example")
    assert who(client) == EDITOR


def test_the_address_may_stand_in_the_details_alone(acme, provider):
    enter(acme, provider)
    provider.in_token = False
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR
    provider.wrong = "details of another"
    provider.subjects[EDITOR] = "not linked yet"
    assert sign_in(browser(acme), provider, EDITOR).status_code == 400
    assert reasons(acme) == ["other-subject"]


def test_somebody_new_becomes_what_the_owner_has_said(acme, globex, provider):
    enter(acme, provider, new_person_role="viewer")
    client = browser(acme)
    sign_in(client, provider, "ada.lovelace@acme.example")
    assert who(client) == "ada.lovelace@acme.example"
    with in_tenant(acme):
        ada = User.objects.get(email="ada.lovelace@acme.example")
        assert [group.name for group in ada.groups.all()] == ["viewer"]
        assert (ada.get_full_name(), ada.has_usable_password()) == ("Ada Lovelace", False)
    with in_tenant(globex):
        assert not User.objects.filter(email="ada.lovelace@acme.example").exists()


def test_somebody_new_is_refused_where_the_tenant_is_full(acme, provider, settings):
    enter(acme, provider, new_person_role="viewer")
    settings.ROWHOUSE_QUOTA_USERS = 3
    client = browser(acme)
    assert sign_in(client, provider, "ada@acme.example").status_code >= 400
    assert (who(client), links(acme)) == ("", [])


def test_one_who_was_invited_and_has_no_password_signs_in(acme, provider):
    enter(acme, provider)
    with in_tenant(acme):
        create_user(email="invited@acme.example", password=None, role="viewer")
    client = browser(acme)
    sign_in(client, provider, "invited@acme.example")
    assert who(client) == "invited@acme.example"


# ---- who does not


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("nonce", "other-nonce"),
        ("no nonce", "other-nonce"),
        ("issuer", "other-issuer"),
        ("audience", "other-audience"),
        ("expired", "expired"),
        ("unsigned", "bad-algorithm"),
        ("signed by the secret", "bad-algorithm"),
        ("signed by the public key", "bad-algorithm"),
        ("other key", "bad-signature"),
        ("state", "no-state"),
        ("answer of another", "answer-of-another"),
        ("no token", "no-token"),
        ("no keys", "provider-unusable"),
        ("token endpoint fails", "provider-unusable"),
    ],
)
def test_a_provider_that_does_wrong_signs_nobody_in(acme, globex, provider, wrong, reason):
    enter(acme, provider)
    client = browser(acme)
    address = begin(client)
    provider.wrong = wrong
    answer = come_back(client, provider.sign_in(address, EDITOR))
    assert answer.status_code in (400, 502)
    assert "To the sign-in page" in answer.content.decode()
    assert (who(client), links(acme), reasons(acme)) == ("", [], [reason])


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("editor@globex.example", "domain-not-listed"),
        ("editor@sub.acme.example", "domain-not-listed"),
        ("stranger@acme.example", "not-invited"),
        ("no address", "no-email"),
    ],
)
def test_an_address_that_opens_nothing_is_refused_with_a_sentence(acme, globex, provider, email, reason):
    enter(acme, provider)
    client = browser(acme)
    answer = sign_in(client, provider, email)
    assert answer.status_code == 400
    assert (who(client), links(acme), reasons(acme)) == ("", [], [reason])


def test_an_address_that_is_not_verified_opens_nothing(acme, provider):
    enter(acme, provider, new_person_role="editor")
    provider.unverified.add("owner@acme.example")
    client = browser(acme)
    answer = sign_in(client, provider, "owner@acme.example")
    assert "is surely yours" in answer.content.decode()
    assert (who(client), reasons(acme)) == ("", ["email-not-verified"])


def test_a_person_who_was_switched_off_is_refused_linked_or_not(acme, provider):
    enter(acme, provider, new_person_role="viewer")
    first = browser(acme)
    sign_in(first, provider, EDITOR)
    with in_tenant(acme):
        User.objects.filter(email__in=[EDITOR, "viewer@acme.example"]).update(is_active=False)
    assert who(first) == ""
    for email in (EDITOR, "viewer@acme.example"):
        client = browser(acme)
        assert sign_in(client, provider, email).status_code == 400
        assert who(client) == ""
    assert reasons(acme) == ["inactive", "inactive"]


def test_an_operator_who_is_inside_is_never_signed_in_so(acme, provider):
    enter(acme, provider, domains=["acme.example", "platform.example"], new_person_role="viewer")
    with in_tenant(acme):
        User.objects.create_user("operator@platform.example", None, entry_ends_at=now())
    client = browser(acme)
    sign_in(client, provider, "operator@platform.example")
    assert (who(client), reasons(acme), links(acme)) == ("", ["operator"], [])


def test_an_address_that_was_given_to_somebody_else_there_opens_nothing(acme, provider):
    enter(acme, provider)
    sign_in(browser(acme), provider, EDITOR)
    provider.subjects[EDITOR] = "the new holder of the address"
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert (who(client), reasons(acme)) == ("", ["linked-to-another"])
    with in_tenant(acme):
        services.unlink(link=SocialAccount.objects.get(), by=None)
        assert Event.objects.filter(name="accounts.user.unlinked", target_label=EDITOR).exists()
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR


def test_a_subject_of_another_issuer_is_somebody_else(acme, provider):
    enter(acme, provider)
    sign_in(browser(acme), provider, EDITOR)
    with oidc_provider() as other:
        enter(acme, other)
        other.subjects["stranger@acme.example"] = provider.subject(EDITOR)
        client = browser(acme)
        sign_in(client, other, "stranger@acme.example")
        assert (who(client), reasons(acme)) == ("", ["not-invited"])


def test_one_who_calls_it_off_is_told_so(acme, provider):
    enter(acme, provider)
    client = browser(acme)
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    answer = client.get("/single-sign-on/callback/", {"error": "access_denied", "state": state})
    assert "called off" in answer.content.decode()
    assert (who(client), reasons(acme)) == ("", ["cancelled"])


def test_nobody_signs_in_by_a_provider_that_is_switched_off_or_not_there(acme, globex, provider):
    enter(acme, provider)
    client = browser(acme)
    back = provider.sign_in(begin(client), EDITOR)
    enter(acme, provider, is_on=False)
    assert come_back(client, back).status_code == 400
    for tenant in (acme, globex):
        assert browser(tenant).post("/single-sign-on/").status_code == 400
        assert browser(tenant).get("/single-sign-on/callback/").status_code == 400
    assert who(client) == ""


# ---- attacks on the way


@pytest.mark.case("A03")
def test_an_answer_counts_only_in_the_browser_that_began(acme, provider):
    enter(acme, provider)
    attacker, victim = browser(acme), browser(acme)
    back = provider.sign_in(begin(attacker), EDITOR)
    begin(victim)  # who has a sign-in of his own under way
    assert come_back(victim, back).status_code == 400
    assert (who(victim), reasons(acme)) == ("", ["no-state"])
    assert "POST /token" not in provider.asked  # the code was not even redeemed


@pytest.mark.case("A03")
def test_an_answer_counts_once(acme, provider):
    enter(acme, provider)
    client = browser(acme)
    back = provider.sign_in(begin(client), EDITOR)
    come_back(client, back)
    assert who(client) == EDITOR
    client.post("/admin/logout/")
    assert come_back(client, back).status_code == 400
    assert who(client) == ""


@pytest.mark.case("A03")
def test_a_stolen_code_is_of_no_use_under_another_verifier(acme, provider):
    enter(acme, provider)
    victim, attacker = browser(acme), browser(acme)
    stolen = parse_qs(urlsplit(provider.sign_in(begin(victim), EDITOR)).query)["code"][0]
    state = parse_qs(urlsplit(begin(attacker)).query)["state"][0]
    answer = attacker.get("/single-sign-on/callback/", {"code": stolen, "state": state})
    assert answer.status_code == 502
    assert (who(attacker), reasons(acme)) == ("", ["provider-unusable"])


@pytest.mark.case("A03")
def test_a_sign_in_is_begun_by_a_page_of_ours_alone(acme, provider):
    enter(acme, provider)
    client = Client(HTTP_HOST="acme.localhost", enforce_csrf_checks=True)
    assert client.post("/single-sign-on/").status_code == 403
    assert client.get("/single-sign-on/").status_code == 405


@pytest.mark.case("A03")
@pytest.mark.parametrize(
    "onward",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:///evil.example",
     "https://globex.localhost/admin/"],
)  # fmt: skip
def test_a_sign_in_leads_to_this_host_alone(acme, globex, provider, onward):
    enter(acme, provider)
    assert sign_in(browser(acme), provider, EDITOR, next=onward)["Location"] == "/admin/"


def test_a_sign_in_leads_to_the_page_that_was_wanted(acme, provider):
    enter(acme, provider)
    onward = "/admin/datasets/dataset/?q=orders"
    assert sign_in(browser(acme), provider, EDITOR, next=onward)["Location"] == onward


@pytest.mark.case("A04")
def test_a_session_gets_a_new_key_and_the_old_one_opens_nothing(acme, provider):
    enter(acme, provider)
    client = browser(acme)
    back = provider.sign_in(begin(client), EDITOR)
    planted = client.cookies["sessionid"].value
    come_back(client, back)
    assert client.cookies["sessionid"].value != planted
    other = browser(acme)
    other.cookies["sessionid"] = planted
    assert (who(client), who(other)) == (EDITOR, "")


def test_a_provider_of_one_tenant_signs_nobody_in_to_another(acme, globex, provider):
    # Even where both have the same provider, the same client, and a person of the same address.
    enter(acme, provider, domains=["acme.example", "globex.example"], new_person_role="editor")
    enter(globex, provider, domains=["globex.example"])
    at_acme, at_globex = browser(acme), browser(globex)
    back = provider.sign_in(begin(at_acme), "editor@globex.example")
    begin(at_globex)
    assert come_back(at_globex, back).status_code == 400
    carried = browser(globex)  # with the very session that began at acme
    carried.cookies["sessionid"] = at_acme.cookies["sessionid"].value
    assert come_back(carried, back).status_code == 400
    assert (who(at_globex), reasons(globex), links(globex)) == ("", ["no-state", "no-state"], [])
    # At home it makes a person of acme's, whose session and link are nothing to globex.
    come_back(at_acme, back)
    assert who(at_acme) == "editor@globex.example"
    assert at_acme.get("/admin/", HTTP_HOST="globex.localhost").status_code == 302
    assert links(globex) == []


def test_a_secret_of_one_tenant_does_not_open_in_anothers_row(acme, globex, provider):
    ours = enter(acme, provider).sealed_secret
    enter(globex, provider)
    with in_tenant(globex):
        SignInProvider.objects.update(sealed_secret=ours)
    client = browser(globex)
    answer = come_back(client, provider.sign_in(begin(client), "editor@globex.example"))
    assert answer.status_code >= 400
    assert (who(client), reasons(globex)) == ("", ["secret-not-opened"])


# ---- where requests go


@pytest.mark.parametrize(
    "address",
    ["http://id.example.com", "https://10.0.0.7", "https://169.254.169.254/latest", "https://[::1]/", "ftp://x.org",
     "https://user@93.184.215.14", "https://93.184.215.14/?a=b", "nonsense", "https://127.0.0.1.nip.invalid"],
)  # fmt: skip
def test_an_address_that_is_not_of_the_open_internet_is_refused(acme, provider, address):
    with pytest.raises(services.BadProvider) as refused:
        enter(acme, provider, issuer=address)
    assert list(refused.value.faults) == ["issuer"]


@pytest.mark.parametrize(
    "name", ["token_endpoint", "jwks_uri", "userinfo_endpoint", "authorization_endpoint"]
)
@pytest.mark.parametrize(
    "place",
    ["http://169.254.169.254/", "https://10.0.0.7/", "javascript:alert(1)", "https://a@b.example/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_a_provider_publishes_leads_into_no_private_network(acme, provider, name, place):
    enter(acme, provider)
    client = browser(acme)
    provider.in_token = False
    provider.wrong = f"discovery:{name}={json.dumps(place)}"
    answer: Any = client.post("/single-sign-on/")
    if answer.status_code == 200 and name != "authorization_endpoint":
        address = begin(client)
        answer = come_back(client, provider.sign_in(address, EDITOR))
    if name == "authorization_endpoint" and place == "https://10.0.0.7/":
        assert answer.status_code == 200  # the browser's way, not ours
    else:
        assert answer.status_code in (400, 502)
    assert who(client) == ""


@pytest.mark.parametrize("wrong", ["moved", "endless", "no json", "no discovery"])
def test_an_odd_answer_is_refused_and_no_redirect_followed(acme, provider, wrong):
    enter(acme, provider)
    provider.wrong = wrong
    client = browser(acme)
    answer = client.post("/single-sign-on/")
    assert (answer.status_code, reasons(acme)) == (502, ["provider-unusable"])
    assert provider.asked == ["GET /.well-known/openid-configuration"]


def test_new_keys_of_the_provider_are_read_when_a_token_names_one(acme, provider):
    enter(acme, provider)
    sign_in(browser(acme), provider, EDITOR)
    provider.kid = "second"
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR
    assert provider.asked.count("GET /keys") == 2


# ---- the owner's page


def test_an_owner_enters_a_provider_and_sees_its_secret_no_more(acme, globex, provider, client_of):
    owner = client_of(acme)
    page = owner.get("/admin/accounts/signinprovider/")
    assert "http://acme.localhost/single-sign-on/callback/" in page.content.decode()
    form = {
        "name": "Acme's directory",
        "issuer": f"{provider.issuer}/.well-known/openid-configuration",
        "client_id": provider.client_id,
        "secret": provider.secret,
        "domains": "@Acme.example\nacme.org",
        "new_person_role": "",
        "passwords_for": "EVERYONE",
        "second_factor_levels": "",
        "is_on": "on",
        "seen": "0",
    }
    assert owner.post("/admin/accounts/signinprovider/", form).status_code == 302
    shown = owner.get("/admin/accounts/signinprovider/").content.decode()
    assert provider.issuer in shown and provider.secret not in shown
    with in_tenant(acme):
        row = SignInProvider.objects.get()
        assert (row.issuer, row.domains) == (provider.issuer, ["acme.example", "acme.org"])
        assert provider.secret not in row.sealed_secret
        with connection.cursor() as cursor:
            cursor.execute("SELECT row_to_json(h)::text FROM accounts_historicalsigninprovider h")
            history = " ".join(text for (text,) in cursor.fetchall())
            cursor.execute("SELECT row_to_json(e)::text FROM audit_event e")
            events = " ".join(text for (text,) in cursor.fetchall())
        assert "Acme's directory" in history and "accounts.provider.created" in events
        assert provider.secret not in history + events and row.sealed_secret not in history + events
    # The same form again is an older page by now.
    late = owner.post("/admin/accounts/signinprovider/", {**form, "name": "Another"})
    assert late.status_code == 422 and "nothing of yours was stored" in late.content.decode()


def test_another_address_needs_the_secret_again(acme, provider):
    enter(acme, provider)
    with oidc_provider() as other, in_tenant(acme), pytest.raises(services.BadProvider) as refused:
        services.set_provider(
            values={**VALUES, "issuer": other.issuer, "client_id": "x"}, secret="", seen=1, by=None
        )
    assert list(refused.value.faults) == ["secret"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"domains": []}, "domains"),
        ({"domains": ["*.acme.example"]}, "domains"),
        ({"domains": ["com"]}, "domains"),
        ({"name": ""}, "name"),
        ({"client_id": ""}, "client_id"),
        ({"new_person_role": "owner"}, "new_person_role"),
        ({"passwords_for": "NOBODY"}, "passwords_for"),
        ({"second_factor_levels": ["a b"]}, "second_factor_levels"),
    ],
    ids=lambda one: str(one),
)
def test_what_cannot_be_is_said_beside_its_field(acme, provider, values, field):
    with pytest.raises(services.BadProvider) as refused:
        enter(acme, provider, **values)
    assert list(refused.value.faults) == [field]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", ""),
        ("secret", "does not know this client id with this secret"),
        ("no discovery", "answered 404"),
        ("no json", "no JSON object"),
        ("moved", "a redirect, which is not followed"),
        ("no keys", "no key that signs tokens"),
        ('discovery:issuer="https://other.example"', "calls itself 'https://other.example'"),
        ('discovery:code_challenge_methods_supported=["plain"]', "PKCE"),
        ('discovery:id_token_signing_alg_values_supported=["HS256","none"]', "RS256"),
        ('discovery:response_types_supported=["token"]', "authorization code flow"),
        ("discovery:token_endpoint=null", "no token_endpoint"),
        ('discovery:token_endpoint_auth_methods_supported=["private_key_jwt"]', "client secret"),
    ],
)  # fmt: skip
def test_a_try_says_what_is_wrong(acme, globex, provider, client_of, wrong, said):
    enter(acme, provider)
    provider.wrong = wrong
    if wrong == "secret":
        provider.secret = "another by now"
    page = client_of(acme).post("/admin/accounts/signinprovider/try/", follow=True).content.decode()
    with in_tenant(acme):
        row = SignInProvider.objects.get()
        assert said in row.error and bool(row.error) is bool(said) and row.tried_at is not None
        assert Event.objects.get(name="accounts.provider.tried").data["faults"] == row.error.splitlines()
    assert ("Sign in by it once" in page) is not bool(said)


def test_a_provider_by_the_body_is_asked_so(acme, provider):
    provider.ways = ["client_secret_post"]
    enter(acme, provider)
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR


def test_a_provider_that_names_itself_must(acme, provider):
    provider.names_itself = True
    enter(acme, provider)
    client = browser(acme)
    back = provider.sign_in(begin(client), EDITOR)
    without = urlencode({key: one for key, (one,) in parse_qs(urlsplit(back).query).items() if key != "iss"})
    come_back(client, f"{urlsplit(back).path}?{without}")
    assert (who(client), reasons(acme)) == ("", ["answer-of-another"])
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR


def test_a_forgotten_provider_signs_nobody_in(acme, provider, client_of):
    enter(acme, provider)
    owner = client_of(acme)
    assert owner.post("/admin/accounts/signinprovider/remove/", {"seen": "7"}, follow=True).status_code == 200
    with in_tenant(acme):
        assert services.provider_or_none() is not None
    owner.post("/admin/accounts/signinprovider/remove/", {"seen": "1"})
    with in_tenant(acme):
        assert services.provider_or_none() is None
        assert Event.objects.filter(name="accounts.provider.removed").exists()
    assert browser(acme).post("/single-sign-on/").status_code == 400


def test_the_list_of_links_is_searched(acme, globex, provider, client_of):
    enter(acme, provider)
    for email in (EDITOR, "viewer@acme.example"):
        sign_in(browser(acme), provider, email)
    owner = client_of(acme)
    found = owner.get("/admin/accounts/signinprovider/?q=edit").content.decode()
    assert provider.subject(EDITOR) in found and provider.subject("viewer@acme.example") not in found
    assert "Nobody is like that" in owner.get("/admin/accounts/signinprovider/?q=globex").content.decode()
    with in_tenant(acme):
        link = SocialAccount.objects.get(user__email=EDITOR)
    owner.post(f"/admin/accounts/signinprovider/links/{link.pk}/unlink/")
    assert links(acme) == [("viewer@acme.example", provider.subject("viewer@acme.example"))]


# ---- second factors


def with_app(tenant: TenantRef, email: str) -> None:
    """Give somebody an app that makes codes."""
    with in_tenant(tenant):
        TOTP.activate(User.objects.get(email=email), generate_totp_secret())


@pytest.mark.parametrize(
    ("trusts", "claims", "is_asked"),
    [
        (False, {"amr": ["pwd", "mfa"]}, True),
        (True, {"amr": ["pwd", "mfa"]}, False),
        (True, {"amr": ["pwd"]}, True),
        (True, {"amr": "mfa"}, True),
        (True, {"acr": "urn:strong"}, False),
        (True, {"acr": "urn:weak"}, True),
        (True, {}, True),
    ],
    ids=str,
)
def test_our_second_factor_is_asked_unless_the_owner_lets_the_providers_count(
    acme, provider, trusts, claims, is_asked
):
    enter(acme, provider, trusts_second_factor=trusts, second_factor_levels=["urn:strong"])
    with_app(acme, EDITOR)
    provider.more = claims
    client = browser(acme)
    answer = sign_in(client, provider, EDITOR)
    assert (answer["Location"] == reverse("mfa_authenticate", urlconf="rowhouse.urls_tenant")) is is_asked
    assert who(client) == ("" if is_asked else EDITOR)


@pytest.mark.parametrize(("trusts", "opens"), [(True, True), (False, False)], ids=str)
def test_a_role_that_must_have_a_factor_is_content_with_the_providers_where_it_counts(
    acme, provider, trusts, opens
):
    enter(acme, provider, trusts_second_factor=trusts)
    with in_tenant(acme):
        ask_of_roles(roles=["editor"], by=None)
    provider.more = {"amr": ["mfa"]}
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == (EDITOR if opens else "")
    assert client.get("/accounts/").status_code == 200  # signed in, and led there to add one


def test_people_sign_in_at_a_read_only_tenant(acme, provider):
    enter(acme, provider)
    make_read_only(tenant=Tenant.objects.get(slug="acme"))
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR


def test_too_many_sign_ins_from_one_address_are_not_gone_on_with(acme, provider, settings):
    settings.ROWHOUSE_SIGN_INS_PER_MINUTE = 1
    enter(acme, provider)
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR
    assert client.post("/single-sign-on/").status_code == 429


def test_the_levels_that_count_are_asked_for(acme, provider):
    enter(acme, provider, trusts_second_factor=True, second_factor_levels=["urn:strong", "urn:stronger"])
    asked = parse_qs(urlsplit(begin(browser(acme))).query)
    assert asked["acr_values"] == ["urn:strong urn:stronger"]
    enter(acme, provider, trusts_second_factor=False, second_factor_levels=["urn:strong"])
    assert "acr_values" not in parse_qs(urlsplit(begin(browser(acme))).query)


def test_a_word_for_one_person_spares_no_other_the_second_factor(acme, provider):
    enter(acme, provider, trusts_second_factor=True)
    with_app(acme, "owner@acme.example")
    provider.more = {"amr": ["mfa"]}
    client = browser(acme)
    sign_in(client, provider, EDITOR)
    assert who(client) == EDITOR
    client.post("/admin/login/", {"username": "owner@acme.example", "password": PASSWORD})
    assert who(client) != "owner@acme.example"


# ---- passwords beside it


def by_password(tenant: TenantRef, email: str) -> tuple[str, str]:
    client = browser(tenant)
    answer = client.post("/admin/login/", {"username": email, "password": PASSWORD}, follow=True)
    return who(client), answer.content.decode()


@pytest.mark.parametrize(
    ("passwords_for", "let_in"),
    [
        ("EVERYONE", {"owner@acme.example", EDITOR, "guest@elsewhere.example"}),
        ("GUESTS", {"owner@acme.example", "guest@elsewhere.example"}),
        ("OWNERS", {"owner@acme.example"}),
    ],
)
def test_who_may_use_a_password_is_the_owners_word(acme, globex, provider, passwords_for, let_in):
    enter(acme, provider, passwords_for=passwords_for)
    with in_tenant(acme):
        create_user(email="guest@elsewhere.example", password=PASSWORD, role="viewer")
    for email in ("owner@acme.example", EDITOR, "guest@elsewhere.example"):
        found, page = by_password(acme, email)
        assert found == (email if email in let_in else "")
        assert ("and with no password. Use its button" in page) is (email not in let_in)
    assert by_password(globex, "editor@globex.example")[0] == "editor@globex.example"
    enter(acme, provider, passwords_for=passwords_for, is_on=False)
    assert by_password(acme, EDITOR)[0] == EDITOR


def test_the_button_stands_on_the_sign_in_page_of_its_tenant_alone(acme, globex, provider):
    enter(acme, provider)
    page = browser(acme).get("/admin/login/?next=/admin/datasets/").content.decode()
    assert "Acme&#x27;s directory" in page and 'action="/single-sign-on/"' in page
    assert 'value="/admin/datasets/"' in page
    assert "/single-sign-on/" not in browser(globex).get("/admin/login/").content.decode()
    enter(acme, provider, is_on=False)
    assert "/single-sign-on/" not in browser(acme).get("/admin/login/").content.decode()


def test_addresses_are_judged_before_they_are_asked(settings):
    settings.ROWHOUSE_SIGN_IN_PRIVATE_HOSTS = []
    with pytest.raises(NotAllowedHost):
        discovery.check_address("https://127.0.0.1")
    with pytest.raises(discovery.ProviderUnusable):
        discovery.published("https://127.0.0.1")
