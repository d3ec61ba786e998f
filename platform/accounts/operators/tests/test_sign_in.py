"""Operators sign in with a second factor."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.test import Client

from accounts.operators import factors
from accounts.operators.models import Operator, OperatorFactor
from accounts.tests.scene import code_of
from audit.models import Event
from conftest import PASSWORD

FORM = {"username": "op@example.com", "password": PASSWORD}


@pytest.fixture
def operator(db):
    return Operator.objects.create_operator(email="op@example.com", password=PASSWORD)


@pytest.fixture
def demanded(settings):
    settings.ROWHOUSE_OPERATOR_SECOND_FACTOR = True


def client(**extra):
    return Client(HTTP_HOST="localhost", **extra)


def is_in(browser):
    return browser.get("/operator/").status_code == 200


def with_factor(operator):
    secret = factors.new_secret()
    return secret, factors.add_factor(operator=operator, secret=secret)


def test_where_one_is_demanded_the_first_sign_in_adds_it_before_anything_opens(operator, demanded):
    browser = client()
    answer = browser.post("/operator/login/?next=/operator/tenants/tenant/", FORM)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/operator/first-factor/")
    assert not is_in(browser)
    page = browser.get("/operator/first-factor/")
    secret = page.context["secret"]
    assert browser.post("/operator/first-factor/", {"code": "000000"}).status_code == 200
    assert not is_in(browser)
    answer = browser.post("/operator/first-factor/", {"code": code_of(secret)})
    assert (answer.status_code, len(answer.context["codes"])) == (200, 10)
    assert "/operator/tenants/tenant/" in answer.text
    assert is_in(browser)
    assert Event.objects.filter(name="accounts.factor.added", actor_label="op@example.com").exists()


def test_who_has_one_is_always_asked_for_it(operator):
    secret, _ = with_factor(operator)
    browser = client()
    assert browser.post("/operator/login/", FORM).headers["Location"] == "/operator/second-factor/"
    assert not is_in(browser)
    assert browser.get("/operator/first-factor/").headers["Location"] == "/operator/login/"
    before = browser.cookies["sessionid"].value
    assert browser.post("/operator/second-factor/", {"code": code_of(secret)}).status_code == 302
    assert is_in(browser)
    assert browser.cookies["sessionid"].value != before


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_code_is_good_once(operator, kind):
    secret, recovery = with_factor(operator)
    code = code_of(secret) if kind == "app" else recovery[0].upper()
    one, other = client(), client()
    for browser, status in ((one, 302), (other, 200)):
        browser.post("/operator/login/", FORM)
        assert browser.post("/operator/second-factor/", {"code": code}).status_code == status
    assert (is_in(one), is_in(other)) == (True, False)
    assert Event.objects.filter(name="accounts.factor.refused").count() == 1


def test_codes_are_counted(operator):
    secret, _ = with_factor(operator)
    browser = client()
    browser.post("/operator/login/", FORM)
    tried = [browser.post("/operator/second-factor/", {"code": "1"}).status_code for _ in range(10)]
    assert tried == [200] * 10
    assert browser.post("/operator/second-factor/", {"code": code_of(secret)}).status_code == 429


def test_a_session_without_one_is_not_enough_once_it_is_demanded(operator, settings):
    browser = client()
    browser.post("/operator/login/", FORM)
    assert is_in(browser)
    settings.ROWHOUSE_OPERATOR_SECOND_FACTOR = True
    assert not is_in(browser)


def test_the_pages_of_codes_are_nobodys_without_a_password(operator):
    with_factor(operator)
    for page in ("first-factor", "second-factor"):
        assert client().post(f"/operator/{page}/", {"code": "1"}).headers["Location"] == "/operator/login/"


@pytest.mark.case("A03")
def test_signing_in_leads_to_our_own_pages_alone(operator):
    secret, _ = with_factor(operator)
    browser = client()
    browser.post("/operator/login/?next=//evil.example/", {**FORM, "next": "//evil.example/"})
    answer = browser.post("/operator/second-factor/", {"code": code_of(secret)})
    assert "evil" not in answer.headers["Location"]


def test_a_password_changed_meanwhile_lets_nobody_in(operator):
    secret, _ = with_factor(operator)
    browser = client()
    browser.post("/operator/login/", FORM)
    operator.set_password("another quite long one")
    operator.save()
    assert (
        browser.post("/operator/second-factor/", {"code": code_of(secret)}).headers["Location"]
        == "/operator/login/"
    )


@pytest.mark.case("A21")
def test_a_lost_factor_is_taken_by_command_and_all_sessions_end(operator, capsys):
    secret, _ = with_factor(operator)
    browser = client()
    browser.post("/operator/login/", FORM)
    browser.post("/operator/second-factor/", {"code": code_of(secret)})
    assert is_in(browser)
    call_command("reset_operator_factor", "OP@example.com", "--json")
    assert json.loads(capsys.readouterr().out) == {"email": "op@example.com", "had_one": True}
    assert not is_in(browser)
    assert not OperatorFactor.objects.exists()
    assert Event.objects.filter(name="accounts.factors.reset", actor_label="command line").exists()


def test_the_secret_is_sealed_and_sealed_anew_when_it_is_used(operator, settings):
    secret, _ = with_factor(operator)
    assert secret not in OperatorFactor.objects.get().sealed
    settings.ROWHOUSE_SEALING_KEYS = ["n" * 40, *settings.ROWHOUSE_SEALING_KEYS]
    assert factors.use_code(operator=operator, code=code_of(secret))
    settings.ROWHOUSE_SEALING_KEYS = ["n" * 40]
    assert not factors.use_code(operator=operator, code="000000")  # it opens
