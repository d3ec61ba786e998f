"""What a token is good for, and for how long; what is known of it, and what is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tokens import services
from accounts.tokens.models import ApiToken, TokenAddress
from accounts.tokens.services import create_token, revoke_token, token_of
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from tenants.models import Tenant

Ask = Callable[..., Any]


def person(role: str = "owner", tenant: str = "acme") -> User:
    return User.objects.get(email=f"{role}@{tenant}.example")


@pytest.fixture
def secret(acme: TenantRef, globex: TenantRef) -> str:
    """A token of acme's editor, with one of the same number in the other tenant."""
    made = []
    for tenant in (globex, acme):
        with in_tenant(tenant):
            made.append(create_token(user=person("editor", tenant.slug), name="Nightly", scopes=["read"]))
    return made[-1][1]


def ask(secret: str, host: str = "acme.localhost", **more: Any) -> Any:
    client = Client(HTTP_HOST=host, HTTP_AUTHORIZATION=f"Bearer {secret}", raise_request_exception=False)
    return client.get("/api/v1/token", **more)


def code(secret: str, **more: Any) -> tuple[int, str]:
    answer = ask(secret, **more)
    return answer.status_code, answer.json().get("code", "")


def the_token() -> ApiToken:
    token: ApiToken = ApiToken.objects.select_related("user").get()
    return token


def test_a_token_opens_the_api_for_its_person(secret: str) -> None:
    told = ask(secret).json()
    assert (told["person"], told["scopes"], told["datasets"]) == ("editor@acme.example", ["read"], None)


def test_a_token_is_known_by_its_beginning_and_kept_as_a_hash(acme: TenantRef, secret: str) -> None:
    assert (len(secret), secret[:4]) == (68, "rwh_")
    with in_tenant(acme):
        token = the_token()
        assert token.expiry - token.created == pytest.approx(timedelta(days=90), abs=timedelta(seconds=5))
        with connection.cursor() as cursor:
            cursor.execute("SELECT row_to_json(t)::text FROM tokens_apitoken t")
            [(row,)] = cursor.fetchall()
    assert secret[20:] not in row


@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: "",
        lambda secret: "rwh_",
        lambda secret: secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        lambda secret: secret.upper(),
        lambda secret: secret + "0",
        lambda secret: "rwh_" + "é" * 64,
        lambda secret: secret[4:],
    ],
    ids=["none", "prefix", "last", "upper", "longer", "letters", "bare"],
)
def test_what_is_no_token_opens_nothing(spoil: Callable[[str], str], secret: str) -> None:
    assert ask(spoil(secret)).status_code == 401


@pytest.mark.parametrize(
    "header", ["Token {}", "Basic {}", "{}", "Bearer {} more"], ids=lambda header: header[:6]
)
def test_a_token_comes_in_one_header_alone(header: str, secret: str) -> None:
    client = Client(HTTP_HOST="acme.localhost", HTTP_AUTHORIZATION=header.format(secret))
    assert client.get("/api/v1/token").status_code == 401
    assert Client(HTTP_HOST="acme.localhost").get(f"/api/v1/token?token={secret}").status_code == 401


@pytest.mark.case("A12")
def test_a_revoked_token_is_refused_at_its_next_request(acme: TenantRef, secret: str) -> None:
    assert ask(secret).status_code == 200
    with in_tenant(acme):
        revoke_token(token=the_token(), by=person("editor"))
        with pytest.raises(services.TokenEnded):
            revoke_token(token=the_token(), by=person("editor"))
    assert code(secret) == (401, "token-revoked")


def test_an_expired_token_is_refused_and_stays_to_be_seen(acme: TenantRef, secret: str) -> None:
    with in_tenant(acme):
        ApiToken.objects.update(expiry=now())
    assert code(secret) == (401, "token-expired")
    with in_tenant(acme):
        assert the_token().state_at(now()) == "expired"


@pytest.mark.case("A06", "A12")
def test_a_person_who_is_deactivated_is_refused(acme: TenantRef, secret: str) -> None:
    with in_tenant(acme):
        User.objects.filter(email="editor@acme.example").update(is_active=False)
    assert code(secret) == (401, "person-inactive")


@pytest.mark.case("A06", "T04")
def test_a_suspended_tenants_token_is_refused(acme: TenantRef, secret: str) -> None:
    Tenant.objects.filter(slug="acme").update(state=Tenant.State.SUSPENDED)
    answer = ask(secret)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant-suspended")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.case("T01", "T15")
def test_a_token_is_not_known_on_another_tenants_host(secret: str) -> None:
    assert code(secret, host="globex.localhost") == (401, "invalid-token")
    assert ask(secret, host="localhost").status_code == 404
    assert code(secret, host="nobody.localhost") == (404, "not-found")


def test_an_operator_inside_gets_no_token_and_a_persons_dies_with_the_entry(
    acme: TenantRef, secret: str
) -> None:
    with in_tenant(acme):
        User.objects.filter(email="editor@acme.example").update(entry_ends_at=now() + timedelta(hours=1))
        with pytest.raises(services.NoTokenForOperators):
            create_token(user=person("editor"), name="Mine", scopes=["read"])
    assert code(secret) == (401, "person-inactive")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "manage"]}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"datasets": []}, "datasets"),
    ],
    ids=["blank", "long", "turned", "none", "unknown", "today", "longer-than-a-year", "nowhere"],
)
def test_a_token_must_have_a_name_a_scope_and_an_end(
    changes: dict[str, Any], field: str, as_acme: TenantRef
) -> None:
    with pytest.raises(services.BadToken) as refused:
        create_token(**{"user": person(), "name": "Nightly", "scopes": ["read"], **changes})
    assert refused.value.faults.keys() == {field}
    assert not ApiToken.objects.exists()


def test_a_person_has_so_many_tokens_and_no_more(as_acme: TenantRef, monkeypatch: Any) -> None:
    monkeypatch.setattr(services, "MOST_ACTIVE", 2)
    first, _ = create_token(user=person(), name="1", scopes=["read"])
    create_token(user=person(), name="2", scopes=["read"])
    with pytest.raises(services.TooManyTokens):
        create_token(user=person(), name="3", scopes=["read"])
    revoke_token(token=first, by=person())
    create_token(user=person(), name="3", scopes=["read"])
    create_token(user=person("viewer"), name="a person's own count", scopes=["read"])


def test_owners_see_and_end_everybodys_tokens_and_others_their_own(as_acme: TenantRef) -> None:
    theirs, _ = create_token(user=person("editor"), name="Theirs", scopes=["read"])
    own, _ = create_token(user=person("viewer"), name="Own", scopes=["read"])
    assert list(services.tokens_for(person("viewer"))) == [own]
    assert set(services.tokens_for(person())) == {own, theirs}
    with pytest.raises(PermissionDenied):
        revoke_token(token=theirs, by=person("viewer"))
    revoke_token(token=theirs, by=person())
    event = Event.objects.get(name="accounts.token.revoked")
    assert (event.actor_label, event.data) == ("owner@acme.example", {"of": "editor@acme.example"})


# ---- its use


def test_a_use_is_noted_once_a_minute_and_a_new_address_at_once(acme: TenantRef, secret: str) -> None:
    def used() -> tuple[Any, Any, int, int]:
        with in_tenant(acme):
            token = the_token()
            told = Event.objects.filter(name="accounts.token.used_from_new_address").count()
            return token.last_used_at, token.last_address, TokenAddress.objects.count(), told

    assert used() == (None, None, 0, 0)
    ask(secret, REMOTE_ADDR="192.0.2.1")
    first = used()
    assert first[1:] == ("192.0.2.1", 1, 1)
    ask(secret, REMOTE_ADDR="192.0.2.1")
    ask(secret, REMOTE_ADDR="2001:db8::1")
    ask(secret, REMOTE_ADDR="192.0.2.1")
    assert used() == (
        first[0],
        "192.0.2.1",
        2,
        2,
    )  # within the minute: the time stays, the address is told of
    with in_tenant(acme):
        ApiToken.objects.update(last_used_at=now() - timedelta(minutes=2))
    ask(secret, REMOTE_ADDR="2001:db8::1")
    later = used()
    assert (later[0] >= first[0], later[1:]) == (True, ("2001:db8::1", 2, 2))


def test_a_request_without_an_address_is_none_from_a_new_one(acme: TenantRef, secret: str) -> None:
    assert ask(secret, REMOTE_ADDR="").status_code == 200
    with in_tenant(acme):
        assert the_token().last_used_at is not None
        assert not TokenAddress.objects.exists()


def test_a_request_within_the_minute_writes_nothing_of_the_token(acme: TenantRef, secret: str) -> None:
    ask(secret)
    with CaptureQueriesContext(connection) as caught:
        ask(secret)
    writes = [one["sql"] for one in caught if "tokens_" in one["sql"] and " FROM " not in one["sql"]]
    assert writes == []


def test_too_many_requests_are_told_when_to_come_again(settings: Any, secret: str) -> None:
    settings.ROWHOUSE_API_PERSON_PER_MINUTE = 2
    assert [ask(secret).status_code for _ in range(2)] == [200, 200]
    answer = ask(secret)
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_a_tenants_people_share_its_limit_and_no_other_tenants(
    acme: TenantRef, globex: TenantRef, settings: Any, secret: str
) -> None:
    settings.ROWHOUSE_API_TENANT_PER_MINUTE = 2
    with in_tenant(acme):
        _, second = create_token(user=person("viewer"), name="Other", scopes=["read"])
    with in_tenant(globex):
        _, foreign = create_token(user=person("owner", "globex"), name="Other", scopes=["read"])
    assert [ask(one).status_code for one in (secret, second, secret)] == [200, 200, 429]
    assert ask(foreign, host="globex.localhost").status_code == 200


# ---- the secret


@pytest.mark.case("T29")
def test_the_secret_stands_in_no_event_no_line_and_no_answer(
    acme: TenantRef, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with in_tenant(acme):
        token, secret = create_token(user=person(), name="Nightly", scopes=["read", "import", "export"])
    client = Client(
        HTTP_HOST="acme.localhost", HTTP_AUTHORIZATION=f"Bearer {secret}", raise_request_exception=False
    )
    answers = [
        client.get("/api/v1/token"),
        client.get("/api/v1/nothing"),
        client.get("/api/v1/datasets/none"),
        client.post("/api/v1/imports", {"dataset": "none"}),
    ]
    with in_tenant(acme):
        revoke_token(token=token, by=person())
    answers.append(client.get("/api/v1/token"))
    with in_tenant(acme):
        said = [str(vars(event)) for event in Event.objects.all()]
    said += [answer.content.decode() for answer in answers]
    said += [
        f"{record.getMessage()} {vars(record)}" for record in caplog.records if "sql" not in vars(record)
    ]
    mine = secret[20:]
    assert [one for one in said if mine in one] == []
    assert len(said) > 8


def test_an_error_of_ours_is_a_problem_and_names_no_token(
    acme: TenantRef, secret: str, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: Any, **more: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rowhouse.api.work.Token.get", broken)
    answer = ask(secret)
    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert "ZeroDivisionError" in caplog.text
    assert secret[20:] not in caplog.text


def test_the_person_is_asked_for_with_the_token_in_one_statement(acme: TenantRef, secret: str) -> None:
    with in_tenant(acme), CaptureQueriesContext(connection) as caught:
        assert token_of(secret).user.email == "editor@acme.example"
    assert len(caught) == 1
