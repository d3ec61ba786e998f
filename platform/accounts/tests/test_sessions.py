"""Where somebody is signed in, and ending it."""

from __future__ import annotations

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session

from accounts.models import User
from accounts.sessions import SEEN, end_sessions, open_sessions
from accounts.tests.scene import events, is_in, sign_in
from conftest import PASSWORD
from core.tenancy import in_tenant

OWNER, EDITOR = "owner@acme.example", "editor@acme.example"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
)


def two(tenant, email=EDITOR):
    return (
        sign_in(tenant, email, HTTP_USER_AGENT=FIREFOX),
        sign_in(tenant, email, HTTP_USER_AGENT=IPHONE, REMOTE_ADDR="192.0.2.7"),
    )


def number_of(tenant, agent):
    with in_tenant(tenant):
        return UserSession.objects.get(user_agent=agent).pk


def test_one_sees_where_one_is_signed_in(acme, globex):
    here, _ = two(acme)
    sign_in(acme, OWNER, HTTP_USER_AGENT="theirs")
    sign_in(globex, "editor@globex.example", HTTP_USER_AGENT="elsewhere")
    page = here.get("/accounts/").text
    for text in ("Firefox on Linux", "this one", "Safari on iPhone", "192.0.2.7"):
        assert text in page
    assert not {"theirs", "elsewhere"} & set(page.split())


def test_signing_out_there_ends_that_session_alone(acme):
    here, there = two(acme)
    answer = here.post("/accounts/sign-out-there/", {"session": number_of(acme, IPHONE)})
    assert answer.headers["Location"] == "/accounts/"
    assert (is_in(here), is_in(there)) == (True, False)
    assert events(acme, "accounts.session.ended") == [EDITOR]
    assert "Safari" not in here.get("/accounts/").text.split("</form>")[-1]


@pytest.mark.parametrize("session", ["", "x", "9" * 30, "-1"])
def test_a_session_that_is_none_ends_nothing(acme, session):
    here, there = two(acme)
    assert here.post("/accounts/sign-out-there/", {"session": session}).status_code == 302
    assert (is_in(here), is_in(there)) == (True, True)


def test_nobody_ends_somebody_elses_session_from_his_own_page(acme):
    _, theirs = two(acme, OWNER)
    mine = sign_in(acme, EDITOR)
    mine.post("/accounts/sign-out-there/", {"session": number_of(acme, IPHONE)})
    assert is_in(theirs)


def test_signing_out_everywhere_ends_all_here_too(acme, globex, client_of):
    unlisted = client_of(acme, "editor")
    here, there = two(acme)
    others, elsewhere = sign_in(acme, OWNER), sign_in(globex, "editor@globex.example")
    assert here.post("/accounts/sign-out-everywhere/").headers["Location"] == "/admin/login/"
    assert [is_in(one) for one in (here, there, unlisted, others, elsewhere)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert is_in(sign_in(acme, EDITOR))
    assert "accounts.sessions.ended" and events(acme, "accounts.sessions.ended") == [EDITOR]


def test_an_owner_ends_somebodys_sessions(acme):
    owner = sign_in(acme, OWNER)
    one, other = two(acme)
    with in_tenant(acme):
        person = User.objects.get(email=EDITOR).pk
    page = f"/admin/accounts/user/{person}/sign-in/"
    assert "Safari on iPhone" in owner.get(page).text
    owner.post(page + "end/", {"session": number_of(acme, IPHONE)})
    assert (is_in(one), is_in(other)) == (True, False)
    owner.post(page + "end-all/")
    assert (is_in(one), is_in(owner)) == (False, True)
    assert events(acme, "accounts.sessions.ended") == [OWNER]


@pytest.mark.case("A08")
def test_how_somebody_signs_in_is_for_owners(acme, client_of):
    with in_tenant(acme):
        person = User.objects.get(email=OWNER).pk
    client = client_of(acme, "editor")
    assert client.get(f"/admin/accounts/user/{person}/sign-in/").status_code == 403
    for page in ("reset/", "end/", "end-all/"):
        assert client.post(f"/admin/accounts/user/{person}/sign-in/{page}").status_code == 403
    assert client.get("/admin/accounts/second-factor/").status_code == 403


@pytest.mark.case("A04")
def test_another_password_ends_all_sessions_but_this_one_which_gets_a_new_key(acme):
    here, there = two(acme)
    before = here.cookies["sessionid"].value
    form = {
        "old_password": PASSWORD,
        "new_password1": "quite another one",
        "new_password2": "quite another one",
    }
    assert here.post("/admin/password_change/", form).status_code == 302
    assert (is_in(here), is_in(there)) == (True, False)
    assert here.cookies["sessionid"].value != before
    assert events(acme, "accounts.user.password_changed") == [EDITOR]
    with in_tenant(acme):
        assert open_sessions(User.objects.get(email=EDITOR)).count() == 1


def test_a_password_that_an_owner_sets_ends_the_persons_sessions(acme):
    owner, theirs = sign_in(acme, OWNER), sign_in(acme, EDITOR)
    with in_tenant(acme):
        person = User.objects.get(email=EDITOR).pk
    form = {"password1": "quite another one", "password2": "quite another one", "usable_password": "true"}
    assert owner.post(f"/admin/accounts/user/{person}/password/", form).status_code == 302
    assert (is_in(theirs), is_in(owner)) == (False, True)
    assert events(acme, "accounts.user.password_set") == [OWNER]


def test_sessions_from_before_go_on_and_end_with_the_first_round(as_acme):
    user = User.objects.get(email=EDITOR)
    plain = user.get_session_auth_hash()
    assert "." not in plain
    end_sessions(user=user, by="a test")
    assert user.get_session_auth_hash() == f"{plain}.1"


def test_that_a_session_is_used_is_noted_at_most_every_few_minutes(acme):
    client = sign_in(acme, EDITOR, HTTP_USER_AGENT=FIREFOX)
    with in_tenant(acme):
        UserSession.objects.update(last_seen_at="2026-01-01T00:00:00Z")
    client.get("/admin/")
    with in_tenant(acme):
        assert UserSession.objects.get().last_seen_at.month == 1
        session = client.session
        session[SEEN] = 0
        session.save()
    client.get("/admin/")
    with in_tenant(acme):
        assert UserSession.objects.get().last_seen_at.year > 2025
        assert (
            UserSession.objects.get().last_seen_at.day != 1
            or UserSession.objects.get().last_seen_at.month != 1
        )
        assert Session.objects.count() == 1
