"""Sign-ins are counted before a password is hashed."""

from __future__ import annotations

import pytest
from django.contrib.auth import hashers
from django.test import Client

from accounts.operators.models import Operator
from accounts.sign_in import TRIES
from accounts.tests.scene import is_in
from conftest import PASSWORD

FORM = {"username": "owner@acme.example", "password": "wrong"}


@pytest.fixture
def hashed(monkeypatch):
    """Count what costs: each hash of a password, whoever asks for it."""
    made = []
    encode = hashers.MD5PasswordHasher.encode

    def counted(*args):
        made.append(args)
        return encode(*args)

    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", counted)
    return made


def tries(slug, count, **form):
    client = Client(HTTP_HOST=f"{slug}.localhost")
    return [client.post("/admin/login/", {**FORM, **form}).status_code for _ in range(count)]


@pytest.mark.case("D14")
def test_too_many_tries_of_one_name_are_refused_before_anything_is_hashed(acme, globex, hashed):
    assert tries("acme", TRIES) == [200] * TRIES
    counted = len(hashed)
    assert counted >= TRIES
    assert tries("acme", 5, password=PASSWORD) == [429] * 5
    assert len(hashed) == counted
    assert tries("globex", 1) == [200]  # counted by itself


@pytest.mark.case("D14")
@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_a_flood_from_one_address_is_refused_whatever_the_names(acme, hashed, settings, kind):
    settings.ROWHOUSE_SIGN_INS_PER_MINUTE = 7
    names = (
        [f"{role}@acme.example" for role in ("owner", "editor", "viewer")]
        if kind == "known"
        else ["a", "b", "c"]
    )
    client = Client(HTTP_HOST="acme.localhost")
    answers = [
        client.post("/admin/login/", {"username": names[number % 3], "password": "x"}).status_code
        for number in range(12)
    ]
    assert answers == [200] * 7 + [429] * 5
    assert len(hashed) <= 7 * 2
    other = Client(HTTP_HOST="acme.localhost", REMOTE_ADDR="192.0.2.9")
    other.post("/admin/login/", {**FORM, "password": PASSWORD})
    assert is_in(other)


def test_a_refusal_says_when_to_come_again(acme):
    tries("acme", TRIES)
    answer = Client(HTTP_HOST="acme.localhost").post("/admin/login/", FORM)
    assert (answer.status_code, 0 < int(answer.headers["Retry-After"]) <= 900) == (429, True)


def test_who_signs_in_begins_anew(acme):
    assert tries("acme", TRIES - 1) == [200] * (TRIES - 1)
    assert tries("acme", 1, password=PASSWORD) == [302]
    assert tries("acme", TRIES) == [200] * TRIES


@pytest.mark.case("D14")
def test_operators_tries_are_counted_too(db, hashed):
    Operator.objects.create_operator(email="op@example.com", password=PASSWORD)
    client = Client(HTTP_HOST="localhost")
    form = {"username": "op@example.com", "password": "wrong"}
    assert [client.post("/operator/login/", form).status_code for _ in range(TRIES)] == [200] * TRIES
    counted = len(hashed)
    assert client.post("/operator/login/", {**form, "password": PASSWORD}).status_code == 429
    assert len(hashed) == counted
