"""What a session is worth: a key nobody guesses, known to the server alone; and passwords that are costly to try."""

from __future__ import annotations

import math
import os
import random
import re
import secrets
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils.timezone import now

from accounts.models import User
from conftest import PASSWORD
from core.tenancy import TenantRef, in_tenant

SIGNS = set(string.ascii_lowercase + string.digits)
LEAST_BITS = 128
LEAST_ITERATIONS = 600_000  # of PBKDF2 with SHA-256, as OWASP has it


def test_a_session_key_cannot_be_guessed_and_comes_once(acme: TenantRef, globex: TenantRef) -> None:
    keys = []
    with in_tenant(acme):
        for _ in range(500):
            session = SessionStore()
            session.create()
            keys.append(str(session.session_key))

    assert len(set(keys)) == len(keys)
    assert set("".join(keys)) == SIGNS
    assert min(map(len, keys)) * math.log2(len(SIGNS)) >= LEAST_BITS
    with in_tenant(acme):  # on the server, in its schema
        assert Session.objects.filter(session_key__in=keys).count() == len(keys)
    with in_tenant(globex):
        assert not Session.objects.filter(session_key__in=keys).exists()


def test_a_session_key_of_the_browsers_own_choice_is_not_taken(acme: TenantRef) -> None:
    chosen = "a" * 32
    client = Client(HTTP_HOST="acme.localhost")
    client.cookies[settings.SESSION_COOKIE_NAME] = chosen
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "owner@acme.example", "password": "wrong"})

    with in_tenant(acme):
        assert not Session.objects.filter(session_key=chosen).exists()


def test_production_hashes_passwords_by_a_function_made_for_it() -> None:
    code = (
        "import django; django.setup(); from django.contrib.auth.hashers import get_hasher, make_password;"
        "h = get_hasher(); print(h.algorithm, getattr(h, 'iterations', 0), make_password('x' * 200)[:200])"
    )
    variables = {
        "ROWHOUSE_PRODUCTION": "true",
        "ROWHOUSE_SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": f"postgresql://rowhouse:{secrets.token_hex(16)}@nowhere/x",
        "DJANGO_SETTINGS_MODULE": "rowhouse.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    algorithm, iterations, stored = done.stdout.split()
    assert algorithm in {"argon2", "scrypt", "pbkdf2_sha256"}, done.stderr
    assert algorithm != "pbkdf2_sha256" or int(iterations) >= LEAST_ITERATIONS
    assert stored.startswith(f"{algorithm}$")


# ---- passwords as they are typed


def signed_in(email: str, password: str = PASSWORD, host: str = "acme.localhost") -> Client:
    """Send the form of signing in, and return the browser."""
    client = Client(HTTP_HOST=host)
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": email, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    "password", ["  two spaces before and behind  ", "Ünïcödé ☃ sńowman", "<&\"'>%s{}\\ signs"]
)
def test_a_password_is_taken_exactly_as_it_was_typed(acme: TenantRef, password: str) -> None:
    with in_tenant(acme):
        user = User.objects.get(email="viewer@acme.example")
        user.set_password(password)
        user.save()
    assert is_in(signed_in(user.email, password))
    for other in {password.strip(), password.lower(), password.upper(), password[:-1], password + " "} - {
        password
    }:
        assert not is_in(signed_in(user.email, other)), other


def test_a_password_is_hidden_and_may_be_filled_in_by_a_manager(acme: TenantRef) -> None:
    page = Client(HTTP_HOST="acme.localhost").get("/admin/login/").text
    fields = re.findall(r"<input[^>]*name=\"password\"[^>]*>", page)
    assert len(fields) == 1
    assert 'type="password"' in fields[0] and 'autocomplete="current-password"' in fields[0]
    assert "paste" not in page


def test_a_password_is_changed_by_who_knows_the_present_one(acme: TenantRef) -> None:
    client, new = signed_in("editor@acme.example"), "another one that is long"
    form = {"new_password1": new, "new_password2": new}
    for old in ({}, {"old_password": ""}, {"old_password": "wrong"}):
        assert client.post("/admin/password_change/", {**form, **old}).status_code == 200
        assert not is_in(signed_in("editor@acme.example", new))
    assert client.post("/admin/password_change/", {**form, "old_password": PASSWORD}).status_code == 302
    assert is_in(signed_in("editor@acme.example", new))


def test_a_password_stays_good_however_old_it_is(acme: TenantRef) -> None:
    with in_tenant(acme):
        long_ago = now() - timedelta(days=3650)
        User.objects.filter(email="viewer@acme.example").update(last_login=long_ago, date_joined=long_ago)
    client = signed_in("viewer@acme.example")
    answer = client.get("/admin/")
    assert (answer.status_code, "/password_change/" in answer.headers.get("Location", "")) == (200, False)


@pytest.mark.parametrize("make", [generate_totp_secret, RecoveryCodes.generate_seed], ids=["app", "recovery"])
def test_seeds_of_second_factors_cannot_be_guessed(make: Callable[[], str]) -> None:
    made = []
    for _ in range(200):
        random.seed(1)  # what could be foretold would come again
        made.append(make())
    assert len(set(made)) == len(made)
    bits = math.log2(32 if make is generate_totp_secret else 16)  # of each sign
    assert min(map(len, made)) * bits >= LEAST_BITS


def test_a_recovery_code_has_twenty_bits_and_more(acme: TenantRef) -> None:
    with in_tenant(acme):
        user = User.objects.get(email="viewer@acme.example")
        codes = RecoveryCodes.activate(user).get_unused_codes()
    assert len(set(codes)) == len(codes) == 10
    assert {len(code) for code in codes} == {8} and "".join(codes).isdigit()
    assert 8 * math.log2(10) >= 20


# ---- how a session begins and ends


@pytest.mark.case("A04")
def test_signing_in_gives_a_new_key_and_the_one_before_opens_nothing(acme: TenantRef) -> None:
    client = Client(HTTP_HOST="acme.localhost")
    with in_tenant(acme):
        session = SessionStore()
        session["before"] = True
        session.create()
    client.cookies[settings.SESSION_COOKIE_NAME] = planted = str(session.session_key)
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "owner@acme.example", "password": PASSWORD})

    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert (is_in(client), key != planted) == (True, True)
    attacker = Client(HTTP_HOST="acme.localhost")
    attacker.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert not is_in(attacker)


def test_a_session_that_was_signed_out_of_is_worth_nothing(acme: TenantRef) -> None:
    client = signed_in("owner@acme.example")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert is_in(client)
    client.post("/admin/logout/")

    again = Client(HTTP_HOST="acme.localhost")
    again.cookies[settings.SESSION_COOKIE_NAME] = key
    assert not is_in(again)
    with in_tenant(acme):
        assert not Session.objects.filter(session_key=key).exists()


def test_a_session_past_its_time_is_worth_nothing(acme: TenantRef) -> None:
    client = signed_in("owner@acme.example")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert is_in(client)
    with in_tenant(acme):
        Session.objects.filter(session_key=key).update(expire_date=now() - timedelta(seconds=1))
    assert not is_in(client)


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/datasets/dataset/", "/admin/importer/importjob/", "/accounts/"]
)
def test_signing_out_is_on_every_page(acme: TenantRef, path: str) -> None:
    page = signed_in("owner@acme.example").get(path)
    assert page.status_code == 200
    assert re.search(r"<form[^>]*action=\"/admin/logout/\"[^>]*>", page.text) is not None


@pytest.mark.case("A06")
@pytest.mark.parametrize("how", ["deactivated", "without a role"])
def test_a_form_that_was_open_when_its_person_lost_the_right_changes_nothing(
    acme: TenantRef, how: str
) -> None:
    client = signed_in("owner@acme.example")
    with in_tenant(acme):
        viewer = User.objects.get(email="viewer@acme.example")
        form = {"email": "changed@acme.example", "is_active": "on"}
        owner = User.objects.get(email="owner@acme.example")
    page = f"/admin/accounts/user/{viewer.pk}/change/"
    assert client.get(page).status_code == 200
    with in_tenant(acme):
        if how == "deactivated":
            User.objects.filter(pk=owner.pk).update(is_active=False)
        else:
            owner.groups.clear()
    assert client.post(page, form).status_code in {302, 403}
    with in_tenant(acme):
        viewer.refresh_from_db()
    assert viewer.email == "viewer@acme.example"
