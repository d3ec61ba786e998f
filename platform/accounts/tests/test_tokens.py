"""Which tokens of a provider are believed, without a server."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.single_sign_on.addresses import is_listed, is_same_address
from accounts.single_sign_on.tokens import NotBelieved, Said, UnknownKey, read_token, with_details
from tests.oidc_provider import Provider

NONCE = "of this sign-in"
NOW = 1_800_000_000
ADA = "ada@acme.example"


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    return Provider(port=1)


def read(provider, token, now=NOW, nonce=NONCE, client_id=None):
    return read_token(
        token, keys=provider.keys(), issuer=provider.issuer, client_id=client_id or provider.client_id,
        nonce=nonce, now=now,
    )  # fmt: skip


def test_a_token_of_the_provider_for_this_sign_in_is_believed(provider):
    provider.more = {"amr": ["pwd", "mfa", 7], "acr": "high"}
    said = read(provider, provider.token(ADA, NONCE))
    assert said == Said(
        provider.issuer, provider.subject(ADA), ADA, True, "Ada", methods=("pwd", "mfa"), level="high"
    )


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("unsigned", "bad-algorithm"),
        ("signed by the secret", "bad-algorithm"),
        ("signed by the public key", "bad-algorithm"),
        ("other key", "bad-signature"),
        ("issuer", "other-issuer"),
        ("audience", "other-audience"),
        ("two audiences", "other-audience"),
        ("nonce", "other-nonce"),
        ("no nonce", "other-nonce"),
        ("expired", "expired"),
        ("old", "expired"),
        ("future", "not-yet"),
        ("no end", "no-times"),
        ("no subject", "no-subject"),
    ],
)
def test_what_is_not_for_this_sign_in_is_not_believed(provider, wrong, reason):
    provider.wrong = wrong
    with pytest.raises(NotBelieved) as refused:
        read(provider, provider.token(ADA, NONCE))
    assert refused.value.reason == reason


def test_without_a_nonce_of_ours_none_fits(provider):
    provider.more = {"nonce": ""}
    with pytest.raises(NotBelieved):
        read(provider, provider.token(ADA, ""), nonce="")


def test_a_token_for_two_programs_is_believed_by_the_one_it_was_made_for(provider):
    provider.more = {"aud": [provider.client_id, "another"], "azp": provider.client_id}
    assert read(provider, provider.token(ADA, NONCE)).email == ADA
    provider.more = {"aud": [provider.client_id], "azp": "another"}
    with pytest.raises(NotBelieved):
        read(provider, provider.token(ADA, NONCE))


def test_a_key_that_is_not_published_is_told_apart_from_a_false_signature(provider):
    provider.kid = "second"
    token = provider.token(ADA, NONCE)
    provider.kid = "first"
    with pytest.raises(UnknownKey):
        read(provider, token)


def test_a_changed_token_is_not_believed(provider):
    head, claims, proof = provider.token(ADA, NONCE).split(".")
    said = json.loads(urlsafe_b64decode(claims + "=="))
    said["email"] = "owner@acme.example"
    changed = urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    with pytest.raises(NotBelieved) as refused:
        read(provider, f"{head}.{changed}.{proof}")
    assert refused.value.reason == "bad-signature"


@pytest.mark.parametrize("said", [False, None, 1, "false", "yes", ["true"]])
def test_only_a_plain_yes_makes_an_address_verified(provider, said):
    provider.more = {"email_verified": said}
    assert not read(provider, provider.token(ADA, NONCE)).is_email_verified


def test_details_count_only_of_the_same_person_and_where_the_token_has_no_address():
    of_token = Said("https://id.example", "7")
    details = {"sub": "7", "email": ADA, "email_verified": True, "name": "Ada", "amr": ["mfa"]}
    assert with_details(of_token, details) == Said("https://id.example", "7", ADA, True, "Ada")
    with pytest.raises(NotBelieved):
        with_details(of_token, {**details, "sub": "8"})
    unverified = Said("https://id.example", "7", "other@acme.example")
    assert with_details(unverified, details).is_email_verified is False


@given(st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.dictionaries(st.text(), st.text())))
def test_anything_else_is_refused_and_breaks_nothing(token):
    with pytest.raises(NotBelieved):
        read(Provider(port=1), token)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    )
)
def test_whatever_a_provider_publishes_as_keys_breaks_nothing(keys):
    provider = Provider(port=1)
    with pytest.raises(NotBelieved):
        read_token(
            provider.token(ADA, NONCE), keys={"keys": keys}, issuer=provider.issuer, client_id=provider.client_id,
            nonce=NONCE, now=time.time(),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [("mıke@x.org", "mike@x.org"), ("mike@x.org", "mi\u212ae@x.org"), ("a@ſ.org", "a@s.org")],
    ids=["dotless i", "Kelvin sign", "long s"],
)
def test_letters_that_only_look_alike_are_not_one(one, other):
    assert not is_same_address(one, other)


def test_an_address_with_a_domain_in_its_name_is_not_at_it():
    assert not is_listed('"a@acme.example"@evil.example', ["acme.example"])
    assert not is_listed("a@evil.example@acme.example", ["acme.example"])
