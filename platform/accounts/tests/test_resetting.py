"""A forgotten password: the same answer for everybody, a link that works once, within an hour, at one tenant."""

from __future__ import annotations

import re
import time

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import resetting
from accounts.models import User
from accounts.password_links import token_of
from accounts.services import create_user
from accounts.tests.scene import browser, events, give_app, is_in, sign_in
from conftest import PASSWORD
from core.tenancy import in_tenant
from jobs import services as jobs
from jobs.models import Job

EDITOR = "editor@acme.example"
CHOSEN = {"new_password1": "a quite different one", "new_password2": "a quite different one"}


@pytest.fixture(autouse=True)
def mails(settings, monkeypatch):
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    mail.outbox = []


def ask(email, slug="acme"):
    return Client(HTTP_HOST=f"{slug}.localhost").post("/accounts/password/", {"email": email})


def mailed():
    """Let the worker do what was asked for, and return the path of the link in the last mail."""
    jobs.run_pending()
    [path] = re.findall(r"http://acme\.localhost(/\S+)", str(mail.outbox[-1].body))
    return path


def body(answer):
    return re.sub(r'csrfmiddlewaretoken" value="\w+"', "", answer.text)


@pytest.mark.case("A02")
def test_the_answer_is_the_same_and_as_much_is_done_for_an_unknown_address(acme, globex):
    with in_tenant(acme):
        create_user(email="invited@acme.example", password=None, role="viewer")
    asked = [
        EDITOR,
        "nobody@acme.example",
        "invited@acme.example",
        "EDITOR@acme.example",
        "owner@globex.example",
    ]
    answers, statements = [], []
    for email in asked:
        Job.objects.all().delete()
        with CaptureQueriesContext(connection) as seen:
            answers.append(body(ask(email)))
        statements.append([re.sub(r"'[^']*'|\d+", "?", one["sql"]) for one in seen.captured_queries])
        assert "@" not in str(list(Job.objects.values_list("payload", "target")))
    assert (len(set(answers)), "is on its way" in answers[0]) == (1, True)
    assert [one == statements[0] for one in statements] == [True] * len(asked)


@pytest.mark.case("A02")
def test_only_who_has_the_address_and_a_password_gets_a_mail(acme, globex):
    with in_tenant(acme):
        create_user(email="invited@acme.example", password=None, role="viewer")
        User.objects.filter(email="viewer@acme.example").update(is_active=False)
    for email in (
        "nobody@acme.example",
        "invited@acme.example",
        "viewer@acme.example",
        "owner@globex.example",
    ):
        assert ask(email).status_code == 200
    jobs.run_pending()
    assert mail.outbox == []
    ask("Editor@acme.example")
    assert "/accounts/password/" in mailed()
    assert mail.outbox[0].to == [EDITOR]


@pytest.mark.case("A02")
def test_the_link_works_once_and_ends_all_sessions(acme):
    there = sign_in(acme, EDITOR)
    with in_tenant(acme):
        link = f"/accounts/password/{token_of(User.objects.get(email=EDITOR), salt=resetting.SALT)}/"
    client = browser(acme)
    assert EDITOR in client.get(link).text
    assert client.post(link, CHOSEN).headers["Location"] == "/admin/login/"
    assert not is_in(there)
    assert client.post(link, CHOSEN).status_code == 404
    assert is_in(sign_in(acme, EDITOR, CHOSEN["new_password1"]))
    assert not is_in(sign_in(acme, EDITOR))
    assert events(acme, "accounts.user.password_reset") == [EDITOR]


@pytest.mark.case("A02")
def test_the_link_works_within_an_hour(acme, monkeypatch):
    with in_tenant(acme):
        link = f"/accounts/password/{token_of(User.objects.get(email=EDITOR), salt=resetting.SALT)}/"
    later = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: later + 3_590)
    assert browser(acme).get(link).status_code == 200
    monkeypatch.setattr("django.core.signing.time.time", lambda: later + 3_602)
    assert browser(acme).get(link).status_code == 404


@pytest.mark.case("T15")
def test_a_link_is_of_one_tenant_and_of_one_purpose(acme, globex):
    with in_tenant(acme):
        user = User.objects.get(email=EDITOR)
        token, other = token_of(user, salt=resetting.SALT), token_of(user, salt="accounts.invitations")
    assert browser(globex).get(f"/accounts/password/{token}/").status_code == 404
    assert browser(acme).get(f"/invitation/{token}/").status_code == 404
    assert browser(acme).get(f"/accounts/password/{other}/").status_code == 404
    assert browser(acme).get(f"/accounts/password/{token}/").status_code == 200


def test_a_second_factor_stays(acme):
    give_app(acme, EDITOR)
    with in_tenant(acme):
        link = f"/accounts/password/{token_of(User.objects.get(email=EDITOR), salt=resetting.SALT)}/"
    browser(acme).post(link, CHOSEN)
    assert not is_in(sign_in(acme, EDITOR, CHOSEN["new_password1"]))


def test_asking_is_counted(acme):
    assert [ask(EDITOR).status_code for _ in range(6)] == [200] * 5 + [429]
    assert ask("viewer@acme.example").status_code == 200


def test_without_a_mail_server_there_is_no_such_page(acme, settings):
    assert "Forgotten your password" in browser(acme).get("/admin/login/").text
    settings.MAILERS = {}
    assert ask(EDITOR).status_code == 404
    assert "Forgotten your password" not in browser(acme).get("/admin/login/").text


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short one", "at least 12"),
        ("a" * 129, "at most 128"),
        ("q1w2e3r4t5y6", "too common"),
        ("editor@acme.example", "too similar"),
        ("123456789012345", "entirely numeric"),
    ],
    ids=["short", "long", "common", "similar", "numeric"],
)
def test_a_password_is_long_enough_and_none_that_everybody_tries(acme, password, why):
    client = sign_in(acme, EDITOR)
    form = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    answer = client.post("/admin/password_change/", form)
    assert (answer.status_code, why in answer.text) == (200, True)


@pytest.mark.parametrize("password", ["tolles Wetter heute", "a" * 64 + "b" * 64], ids=["plain words", "128"])
def test_a_long_password_needs_no_signs(acme, password):
    client = sign_in(acme, EDITOR)
    form = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert is_in(sign_in(acme, EDITOR, password))
