"""Second factors: asked for at sign-in, good once, sealed, demanded of roles, and taken only by somebody else."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import call_command

from accounts.factors import FactorsNotReset, ask_of_roles, reset_factors
from accounts.models import User
from accounts.services import UnknownRole, create_user
from accounts.single_sign_on.gate import VOUCHED
from accounts.tests.scene import (
    browser,
    code_of,
    events,
    give_app,
    is_in,
    opened,
    sealed_of,
    sign_in,
)
from audit.models import Event
from conftest import PASSWORD
from core.tenancy import in_tenant
from exporter.resealing import reseal

OWNER, EDITOR, VIEWER = (f"{role}@acme.example" for role in ("owner", "editor", "viewer"))
AT_SIGN_IN = "/accounts/second-factor/sign-in/"


def user_of(tenant, email):
    with in_tenant(tenant):
        return User.objects.get(email=email)


def test_who_has_an_app_is_asked_for_its_code_and_is_nobody_before(acme, globex):
    secret, _ = give_app(acme, EDITOR)
    client = browser(acme)
    answer = client.post(
        "/admin/login/?next=/admin/password_change/", {"username": EDITOR, "password": PASSWORD}
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, AT_SIGN_IN)
    assert not is_in(client)
    assert "recovery" in client.get(AT_SIGN_IN).text
    answer = client.post(AT_SIGN_IN, {"code": code_of(secret)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/password_change/")
    assert is_in(client)
    assert events(acme, "accounts.factor.used") == [EDITOR]
    assert events(acme, "accounts.user.signed_in") == [EDITOR]
    assert events(globex, "accounts.user.signed_in") == []


@pytest.mark.case("A04")
def test_the_session_key_changes_when_the_second_factor_was_right(acme):
    secret, _ = give_app(acme, EDITOR)
    client = sign_in(acme, EDITOR)
    before = client.cookies["sessionid"].value
    client.post(AT_SIGN_IN, {"code": code_of(secret)})
    assert client.cookies["sessionid"].value != before


def test_a_wrong_code_lets_nobody_in_and_is_recorded(acme):
    give_app(acme, EDITOR)
    client = sign_in(acme, EDITOR)
    answer = client.post(AT_SIGN_IN, {"code": "000000"})
    assert (answer.status_code, "Incorrect code" in answer.text) == (200, True)
    assert not is_in(client)
    assert events(acme, "accounts.factor.refused") == [EDITOR]


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_code_is_good_once(acme, kind):
    secret, recovery = give_app(acme, EDITOR)
    code = code_of(secret) if kind == "app" else recovery[3]
    first, second = sign_in(acme, EDITOR), sign_in(acme, EDITOR)
    assert first.post(AT_SIGN_IN, {"code": code}).status_code == 302
    cache.clear()  # another process
    assert second.post(AT_SIGN_IN, {"code": code}).status_code == 200
    assert (is_in(first), is_in(second)) == (True, False)


def test_codes_are_counted_before_they_are_looked_at(acme):
    secret, _ = give_app(acme, EDITOR)
    client = sign_in(acme, EDITOR)
    answers = [client.post(AT_SIGN_IN, {"code": f"{number:06}"}).status_code for number in range(10)]
    assert answers == [200] * 10
    assert client.post(AT_SIGN_IN, {"code": code_of(secret)}).status_code == 429
    assert not is_in(client)


def test_somebody_elses_code_is_no_good(acme, globex):
    give_app(acme, EDITOR)
    theirs, codes = give_app(acme, VIEWER)
    elsewhere, _ = give_app(globex, "editor@globex.example")
    client = sign_in(acme, EDITOR)
    for code in (code_of(theirs), code_of(elsewhere), codes[0]):
        assert client.post(AT_SIGN_IN, {"code": code}).status_code == 200


def test_secrets_are_sealed_and_sealed_anew_when_a_key_changes(acme, settings):
    secret, _ = give_app(acme, EDITOR)
    settings.ROWHOUSE_SEALING_KEYS = ["n" * 40, *settings.ROWHOUSE_SEALING_KEYS]
    stored = sealed_of(acme, EDITOR)["secret"]
    assert (secret in stored, opened(stored)) == (False, secret)
    with in_tenant(acme):
        done = reseal()
    assert (done.resealed, done.lost) == (2, [])
    settings.ROWHOUSE_SEALING_KEYS = ["n" * 40]
    client = sign_in(acme, EDITOR)
    assert client.post(AT_SIGN_IN, {"code": code_of(secret)}).status_code == 302


def test_an_app_is_added_by_its_first_code_and_recovery_codes_come_with_it(acme):
    client = sign_in(acme, EDITOR)
    page = client.get("/accounts/second-factor/app/")
    secret = page.context["form"].secret
    assert secret in page.text
    assert client.post("/accounts/second-factor/app/", {"code": "000000"}).status_code == 200
    answer = client.post("/accounts/second-factor/app/", {"code": code_of(secret)})
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        "/accounts/second-factor/recovery-codes/",
    )
    shown = client.get("/accounts/second-factor/recovery-codes/").context["unused_codes"]
    assert len(shown) == 10
    assert events(acme, "accounts.factor.added") == [EDITOR, EDITOR]
    other = sign_in(acme, EDITOR)
    assert other.post(AT_SIGN_IN, {"code": shown[0]}).status_code == 302


def test_factors_are_changed_by_who_has_just_shown_one(acme, client_of):
    secret, _ = give_app(acme, EDITOR)
    client = client_of(acme, "editor")  # signed in long ago
    for page in ("app/remove/", "recovery-codes/new/", "passkeys/add/"):
        answer = client.post(f"/accounts/second-factor/{page}")
        assert answer.headers["Location"].startswith("/accounts/second-factor/confirm/"), page
    # The password is not enough.
    answer = client.post("/accounts/confirm/", {"password": PASSWORD})
    assert answer.headers["Location"] == "/accounts/second-factor/confirm/"
    answer = client.post("/accounts/second-factor/confirm/", {"code": code_of(secret)})
    assert answer.status_code == 302
    assert (
        client.post("/accounts/second-factor/app/remove/").headers["Location"] == "/accounts/second-factor/"
    )
    with in_tenant(acme):
        assert not Authenticator.objects.filter(user__email=EDITOR).exists()
    assert "accounts.factor.removed" in names_of(acme)


def names_of(tenant):
    with in_tenant(tenant):
        return set(Event.objects.values_list("name", flat=True))


@pytest.mark.case("A03")
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_confirming_leads_to_our_own_pages_alone(acme, target):
    client = sign_in(acme, EDITOR)
    answer = client.post(f"/accounts/confirm/?next={target}", {"password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


@pytest.mark.parametrize(
    "path", [AT_SIGN_IN, "/accounts/confirm/", "/accounts/password/", "/accounts/sign-out-everywhere/"]
)
@pytest.mark.case("A03")
def test_every_form_needs_its_token(acme, path):
    client = browser(acme, enforce_csrf_checks=True)
    assert client.post(path, {"code": "1", "password": PASSWORD, "email": OWNER}).status_code == 403


# ---- roles that must have one ----------------------------------------------------------------------------


def require(tenant, *roles):
    with in_tenant(tenant):
        ask_of_roles(roles=roles, by=User.objects.get(email=f"owner@{tenant.slug}.example"))


@pytest.mark.case("A06")
def test_a_role_that_asks_for_one_leads_its_people_to_add_one_from_the_next_request_on(acme, globex):
    client, viewer = sign_in(acme, EDITOR), sign_in(acme, VIEWER)
    theirs = sign_in(globex, "editor@globex.example")
    assert is_in(client)
    require(acme, "editor")
    for method in ("get", "post"):
        for path in (
            "/admin/",
            "/admin/datasets/dataset/",
            "/admin/importer/importjob/upload/",
            "/admin/password_change/",
        ):
            answer = getattr(client, method)(path)
            assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/"), path
    assert "Your role asks for a second factor" in client.get("/accounts/").text
    secret = client.get("/accounts/second-factor/app/").context["form"].secret
    assert client.post("/accounts/second-factor/app/", {"code": code_of(secret)}).status_code == 302
    assert (is_in(client), is_in(viewer), is_in(theirs)) == (True, True, True)


@pytest.mark.parametrize(("vouched", "status"), [(True, 200), (False, 302)], ids=["counts", "does-not"])
def test_who_has_shown_the_provider_a_factor_that_counts_is_not_asked(acme, vouched, status):
    require(acme, "editor")
    client = sign_in(acme, EDITOR)
    with in_tenant(acme):
        session = client.session
        session["account_authentication_methods"] = [{"method": "socialaccount", "at": 0}]
        session[VOUCHED] = vouched
        session.save()
    assert client.get("/admin/").status_code == status


def test_somebody_elses_passkey_is_not_removed(acme):
    with in_tenant(acme):
        owner = User.objects.get(email=OWNER)
        theirs = Authenticator.objects.create(user=owner, type="webauthn", data={"name": "theirs"})
    client = sign_in(acme, EDITOR)
    assert client.post(f"/accounts/second-factor/passkeys/{theirs.pk}/remove/").status_code == 404
    with in_tenant(acme):
        assert Authenticator.objects.filter(pk=theirs.pk).exists()


def test_who_removes_a_factor_that_is_asked_for_adds_one_again(acme):
    give_app(acme, EDITOR)
    require(acme, "editor")
    with in_tenant(acme):
        Authenticator.objects.filter(user__email=EDITOR).exclude(type="recovery_codes").delete()
    assert not is_in(sign_in(acme, EDITOR))


def test_owners_say_of_which_roles_it_is_asked(acme, globex):
    owner = sign_in(acme, OWNER)
    page = "/admin/accounts/second-factor/"
    assert owner.post(page, {"role": ["editor", "viewer"]}).status_code == 302
    assert owner.get(page).text.count(" checked") == 2
    with in_tenant(acme):
        event = Event.objects.get(name="accounts.factors.required")
        assert (event.actor_label, event.data) == (OWNER, {"before": [], "after": ["editor", "viewer"]})
        with pytest.raises(UnknownRole):
            ask_of_roles(roles=["king"], by=None)
    assert sign_in(acme, "nobody@acme.example").post(page, {"role": []}).status_code == 302
    assert is_in(sign_in(globex, "editor@globex.example"))


# ---- lost ones -------------------------------------------------------------------------------------------


@pytest.mark.case("A21")
def test_a_lost_factor_is_taken_by_another_owner_and_all_sessions_end(acme, globex):
    secret, _ = give_app(acme, EDITOR)
    give_app(globex, "editor@globex.example")
    lost = sign_in(acme, EDITOR)
    lost.post(AT_SIGN_IN, {"code": code_of(secret)})
    assert is_in(lost)
    owner = sign_in(acme, OWNER)
    number = user_of(acme, EDITOR).pk
    assert owner.post(f"/admin/accounts/user/{number}/sign-in/reset/").status_code == 302
    assert not is_in(lost)
    assert is_in(sign_in(acme, EDITOR))  # the password alone
    with in_tenant(acme):
        event = Event.objects.get(name="accounts.factors.reset")
        assert (event.actor_label, event.target_label) == (OWNER, EDITOR)
    with in_tenant(globex):
        assert Authenticator.objects.count() == 2


@pytest.mark.case("A21")
def test_nobody_takes_his_own_factor_without_showing_it(acme):
    secret, _ = give_app(acme, OWNER)
    owner = sign_in(acme, OWNER)
    owner.post(AT_SIGN_IN, {"code": code_of(secret)})
    answer = owner.post(f"/admin/accounts/user/{user_of(acme, OWNER).pk}/sign-in/reset/")
    assert (answer.status_code, "Ask another owner" in answer.text) == (403, True)
    with in_tenant(acme):
        assert Authenticator.objects.filter(user__email=OWNER).count() == 2


@pytest.mark.case("A21", "A11")
def test_nobody_takes_the_factor_of_who_may_do_more(acme):
    give_app(acme, OWNER)
    with in_tenant(acme):
        from django.contrib.auth.models import Permission  # noqa: PLC0415 -- beside its use

        clerk = create_user(email="clerk@acme.example", password=PASSWORD, role="viewer")
        clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
        owner = User.objects.get(email=OWNER)
        with pytest.raises(FactorsNotReset):
            reset_factors(user=owner, by=clerk)
    client = sign_in(acme, clerk.email)
    for page in ("reset/", "end-all/", "end/"):
        assert client.post(f"/admin/accounts/user/{owner.pk}/sign-in/{page}").status_code == 403, page
    form = {"password1": "another long one", "password2": "another long one", "usable_password": "true"}
    assert client.post(f"/admin/accounts/user/{owner.pk}/password/", form).status_code == 403


@pytest.mark.case("A21")
def test_an_operator_takes_a_lost_factor_by_command(acme, capsys):
    give_app(acme, OWNER)
    call_command("reset_second_factor", OWNER, tenant="acme")
    assert "signed out everywhere" in capsys.readouterr().out
    assert events(acme, "accounts.factors.reset") == ["command line"]
    assert is_in(sign_in(acme, OWNER))
