"""A cookie that a sibling's host or the parent domain has set signs nobody in or out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core import checks
from django.test import Client

from accounts.models import User
from core.cookies import plain_cookies
from core.tenancy import TenantRef, in_tenant

NAME = "__Host-session"
# Each is a cookie that a browser takes from a sibling, and that a server might read as the session.
TOSSED = {
    "an ideographic space": "\u3000{name}={value}",
    "an en quad": "\u2000{name}={value}",
    "a hard space": "\xa0{name}={value}",
    "a next line": "\x85{name}={value}",
    "white space behind": "{name}\u2003={value}",
    "no name": "={name}={value}",
    "the name in quotes": '"{name}"={value}',
    "another case": "__host-session={value}",
    "the plain name": "session={value}",
    "Django's name": "sessionid={value}",
    "a domain in the text": "$Version=1; x={name}={value}; $Domain=.localhost",
}


def as_sent(header: str) -> str:
    """Return a header as WSGI gives it: its bytes as Latin-1."""
    return header.encode().decode("latin-1")


@pytest.fixture
def production_cookies(settings: Any) -> None:
    settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE = NAME, True


def session_of(tenant: TenantRef, role: str, client_of: Any) -> str:
    return str(client_of(tenant, role).cookies[NAME].value)


def who(client: Client, cookies: str) -> str:
    """Return who the platform takes the sender of these cookies for."""
    answer = client.get("/admin/", HTTP_COOKIE=as_sent(cookies), secure=True)
    return str(answer.context["user"]) if answer.status_code == 200 else "nobody"


@pytest.mark.case("T13", "A03")
@pytest.mark.parametrize("tossed", TOSSED.values(), ids=TOSSED.keys())
def test_a_tossed_cookie_signs_nobody_in_or_out(
    acme: TenantRef, globex: TenantRef, client_of: Any, production_cookies: None, tossed: str
) -> None:
    ours = session_of(acme, "owner", client_of)
    values = [session_of(acme, "viewer", client_of), session_of(globex, "owner", client_of), "nonsense"]
    client = Client(HTTP_HOST="acme.localhost")
    assert who(client, f"{NAME}={ours}") == "owner@acme.example"
    for value in values:
        cookie = tossed.format(name=NAME, value=value)
        assert who(client, cookie) == "nobody"
        assert who(client, f"{NAME}={ours}; {cookie}") == "owner@acme.example"
        assert who(client, f"{cookie}; {NAME}={ours}") == "owner@acme.example"


def test_without_the_look_at_names_a_tossed_cookie_is_the_session(
    acme: TenantRef, client_of: Any, production_cookies: None, settings: Any
) -> None:
    """The detector detects: Django trims the name, and the sibling's session of the same tenant counts."""
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    tossed = f"\u2000{NAME}={session_of(acme, 'viewer', client_of)}"
    assert who(Client(HTTP_HOST="acme.localhost"), tossed) == "viewer@acme.example"


@pytest.mark.case("T13")
def test_the_sessions_cookie_is_the_hosts_own(acme: TenantRef, production_cookies: None) -> None:
    client = Client(HTTP_HOST="acme.localhost")
    client.get("/admin/login/", secure=True)
    form = {"username": "owner@acme.example", "password": "correct horse battery"}
    answer = client.post("/admin/login/", form, secure=True)
    cookie = answer.cookies[NAME]
    assert (answer.status_code, list(answer.cookies)) == (302, [NAME])
    assert (cookie["domain"], cookie["path"], cookie["secure"], cookie["httponly"], cookie["samesite"]) == (
        "", "/", True, True, "Lax",
    )  # fmt: skip


@pytest.mark.case("A03")
def test_a_token_of_another_tenant_or_a_tossed_one_sends_no_form(acme: TenantRef, globex: TenantRef) -> None:
    clients = {}
    for tenant in (acme, globex):
        with in_tenant(tenant):
            user = User.objects.get(email=f"owner@{tenant.slug}.example")
            clients[tenant] = Client(HTTP_HOST=f"{tenant.slug}.localhost", enforce_csrf_checks=True)
            clients[tenant].force_login(user, backend="accounts.backends.TenantBackend")
    theirs = str(clients[globex].get("/admin/password_change/").context["csrf_token"])
    ours = clients[acme]
    own = str(ours.get("/admin/password_change/").context["csrf_token"])
    ours.cookies["csrftoken"] = theirs
    form = {"old_password": "x", "new_password1": "y", "new_password2": "z"}
    assert ours.post("/admin/password_change/", {**form, "csrfmiddlewaretoken": theirs}).status_code == 403
    assert ours.post("/admin/password_change/", {**form, "csrfmiddlewaretoken": own}).status_code == 200


def test_plain_cookies_stay_as_they_are() -> None:
    assert plain_cookies('a=1; b="x=y"; c=') == 'a=1; b="x=y"; c='


@pytest.mark.case("T13", "T20")
@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("SESSION_ENGINE", "django.contrib.sessions.backends.cached_db", "rowhouse.E001"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.cache", "rowhouse.E001"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.file", "rowhouse.E001"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "rowhouse.E001"),
        ("SESSION_COOKIE_DOMAIN", ".example.com", "rowhouse.E002"),
        ("CSRF_COOKIE_DOMAIN", ".example.com", "rowhouse.E002"),
        ("CSRF_USE_SESSIONS", False, "rowhouse.E003"),
        ("IS_PRODUCTION", True, "rowhouse.E004"),  # with the cookies of development
        ("CACHES", {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, "rowhouse.E005"),
        ("MIDDLEWARE", ["tenants.middleware.TenantMiddleware", "core.cookies.PlainCookies"], "rowhouse.E006"),
    ],
)  # fmt: skip
def test_settings_that_let_hosts_reach_each_other_are_refused(
    settings: Any, name: str, value: Any, found: str
) -> None:
    assert [each.id for each in _said()] == []
    setattr(settings, name, value)
    # What else a list of middleware lacks is told by checks of its own (test_checks).
    assert [each.id for each in _said() if str(each.id) <= "rowhouse.E006"] == [found]


def _said() -> list[checks.CheckMessage]:
    said = checks.run_checks(tags=[checks.Tags.security])
    return [each for each in said if str(each.id).startswith("rowhouse.")]


def test_production_has_cookies_of_its_own_hosts() -> None:
    code = "import rowhouse.settings as s; print(s.SESSION_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_USE_SESSIONS)"
    variables = {
        "ROWHOUSE_PRODUCTION": "true",
        "ROWHOUSE_SECRET_KEY": "0123456789" * 6,
        "DATABASE_URL": "postgresql://nobody@nowhere/x",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.stdout.split() == [NAME, "True", "True"], done.stderr
