"""An operator inside a tenant: asked why, seen by its owners, out when the time is over."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any, cast

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.operators.models import Operator
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from jobs import services as jobs
from tenants import entering
from tenants.entering import EntryEnded, EntryRefused, close_past, end_entry, enter, grant_entry, token_of
from tenants.models import EntryGrant, Tenant

PASSWORD = "correct horse battery"


@pytest.fixture
def operator(db) -> Operator:
    return Operator.objects.create_operator(email="op@example.com", password=PASSWORD)


def granted(operator: Operator, slug: str = "acme", **options: Any) -> EntryGrant:
    tenant = Tenant.objects.get(slug=slug)
    return grant_entry(tenant=tenant, operator=operator, reason="they asked for help", **options)


def entered(grant: EntryGrant) -> Client:
    client = Client(HTTP_HOST=f"{grant.tenant.slug}.localhost")
    answer = client.post("/admin/enter/", {"token": token_of(grant)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    return client


def let_time_pass(grant: EntryGrant) -> None:
    earlier = now() - timedelta(seconds=1)
    EntryGrant.objects.filter(pk=grant.pk).update(granted_at=earlier - timedelta(hours=1), expires_at=earlier)
    with in_tenant(grant.tenant.ref):
        User.objects.exclude(entry_ends_at=None).update(entry_ends_at=earlier)


def test_an_operator_comes_in_once_and_looks(acme, operator):
    grant = granted(operator)
    client = entered(grant)
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/accounts/user/").status_code == 403  # a viewer
    again = Client(HTTP_HOST="acme.localhost").post("/admin/enter/", {"token": token_of(grant)})
    assert (again.status_code, "was used or has ended" in again.text) == (200, True)


def test_following_the_link_alone_uses_nothing(acme, operator):
    grant = granted(operator)
    answer = Client(HTTP_HOST="acme.localhost").get(f"/admin/enter/?token={token_of(grant)}")
    assert (answer.status_code, answer.headers["Referrer-Policy"]) == (200, "same-origin")
    grant.refresh_from_db()
    assert grant.entered_at is None


def test_when_the_time_is_over_the_next_request_is_refused(acme, operator):
    grant = granted(operator)
    client = entered(grant)
    let_time_pass(grant)
    assert client.get("/admin/").status_code == 302
    with in_tenant(acme):
        assert (close_past(), close_past()) == (1, 0)
        assert not User.objects.exclude(entry_ends_at=None).get().is_active


def test_an_owner_sees_it_and_ends_it_at_once(acme, operator, client_of):
    grant = granted(operator, minutes=45)
    inside, owner = entered(grant), client_of(acme)
    page = owner.get("/admin/entries/").text
    assert all(word in page for word in ("op@example.com", "they asked for help", "viewer", "End it now"))
    until = f"Operator inside until {grant.expires_at:%H:%M} UTC"
    for path in ("/admin/", "/admin/datasets/dataset/"):
        assert until in owner.get(path).text
    assert until in client_of(acme, "viewer").get("/admin/").text
    answer = owner.post("/admin/entries/end/", {"entry": grant.pk})
    assert answer.status_code == 302, answer.text
    assert inside.get("/admin/").status_code == 302
    assert "ended by owner@acme.example" in owner.get("/admin/entries/").text
    assert "Operator inside" not in owner.get("/admin/").text


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_who_is_no_owner_neither_sees_nor_ends_them(acme, operator, client_of, role):
    grant = granted(operator)
    entered(grant)
    client = client_of(acme, role)
    assert client.get("/admin/entries/").status_code == 403
    assert client.post("/admin/entries/end/", {"entry": grant.pk}).status_code == 403
    grant.refresh_from_db()
    assert grant.ended_at is None


def test_another_tenants_owner_neither_sees_nor_ends_it(acme, globex, operator, client_of):
    grant = granted(operator)
    inside, other = entered(grant), client_of(globex)
    assert "op@example.com" not in other.get("/admin/entries/").text
    assert other.post("/admin/entries/end/", {"entry": grant.pk}).status_code == 302
    assert inside.get("/admin/").status_code == 200
    assert inside.get("/admin/", HTTP_HOST="globex.localhost").status_code == 302


def test_a_link_is_one_tenants(acme, globex, operator):
    token = token_of(granted(operator))
    answer = Client(HTTP_HOST="globex.localhost").post("/admin/enter/", {"token": token})
    assert "does not let you in" in answer.text
    with in_tenant(globex):
        assert not User.objects.exclude(entry_ends_at=None).exists()


@pytest.mark.parametrize("token", ["", "x", "a:b:c"])
def test_what_is_no_link_lets_nobody_in(acme, token):
    client = Client(HTTP_HOST="acme.localhost")
    assert "does not let you in" in client.post("/admin/enter/", {"token": token}).text
    assert client.get("/admin/").status_code == 302


def test_an_old_link_lets_nobody_in(acme, operator, monkeypatch):
    token = token_of(granted(operator))
    monkeypatch.setattr(entering, "LINK_SECONDS", -1)
    with in_tenant(acme), pytest.raises(EntryEnded):
        enter(token=token)


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"minutes": 61}, {"role": "root"}], ids=["no-time", "too-long", "no-such-role"]
)
def test_what_is_no_entry_is_refused(acme, operator, wrong):
    with pytest.raises(EntryRefused):
        granted(operator, **wrong)
    assert not EntryGrant.objects.exists()


def test_without_a_reason_nobody_comes_in(acme, operator):
    with pytest.raises(EntryRefused, match="Say why"):
        grant_entry(tenant=Tenant.objects.get(slug="acme"), operator=operator, reason="  ")


def test_a_password_given_to_the_marked_user_opens_nothing(acme, operator):
    entered(granted(operator))
    with in_tenant(acme):
        user = User.objects.exclude(entry_ends_at=None).get()
        assert not user.has_usable_password()
        user.set_password(PASSWORD)
        user.save()
    client = Client(HTTP_HOST="acme.localhost")
    client.post("/admin/login/", {"username": user.email, "password": PASSWORD})
    assert client.get("/admin/").status_code == 302


def test_both_sides_have_events_and_changes_stand_under_the_operators_name(acme, operator):
    grant = granted(operator, role="owner")
    client = entered(grant)
    form = {"email": "made@acme.example", "usable_password": "false", "groups": []}
    assert client.post("/admin/accounts/user/add/", form).status_code == 302
    end_entry(grant=grant, by=operator)
    names = ["tenants.entry.granted", "tenants.entry.begun", "tenants.entry.ended"]
    ours = list(Event.objects.filter(name__startswith="tenants.entry.").order_by("pk"))
    assert [one.name for one in ours] == names
    assert ours[0].data["reason"] == "they asked for help"
    with in_tenant(acme):
        theirs = Event.objects.filter(name__startswith="tenants.entry.").order_by("pk")
        assert [one.name for one in theirs] == names
        made = Event.objects.get(name="accounts.user.created", target_label="made@acme.example")
        assert made.actor_label == "Operator op@example.com"
        assert User.history.filter(email="made@acme.example").first().history_user.is_operator_entry


def test_an_operator_inside_does_not_count_as_an_owner(acme, operator, client_of):
    entered(granted(operator, role="owner"))
    with in_tenant(acme):
        owner = User.objects.get(email="owner@acme.example")
    form = {"email": owner.email, "groups": []}
    answer = client_of(acme).post(f"/admin/accounts/user/{owner.pk}/change/", form)
    assert "the last active owner" in answer.text


def test_an_operator_who_is_made_inactive_is_out_everywhere(acme, globex, operator):
    boss: Any = Operator.objects.create_operator(email="boss@example.com", password=PASSWORD)
    inside = [entered(granted(operator, slug)) for slug in ("acme", "globex")]
    client = Client(HTTP_HOST="localhost")
    client.force_login(boss, backend="accounts.backends.OperatorBackend")
    form = {"name": "", "is_active": ""}
    assert client.post(f"/operator/operators/operator/{operator.pk}/change/", form).status_code == 302
    assert [one.get("/admin/").status_code for one in inside] == [302, 302]
    assert {one.ended_by_label for one in EntryGrant.objects.all()} == {"boss@example.com"}


def test_a_suspended_tenant_is_not_entered(acme, operator):
    token = token_of(granted(operator))
    Tenant.objects.filter(slug="acme").update(state="SUSPENDED")
    assert Client(HTTP_HOST="acme.localhost").post("/admin/enter/", {"token": token}).status_code == 503
    with pytest.raises(EntryRefused):
        granted(operator)


def test_an_operator_enters_by_the_page_of_the_tenant(acme, operator):
    client, person = Client(HTTP_HOST="localhost"), cast("Any", operator)
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    page = f"/operator/tenants/tenant/{Tenant.objects.get(slug='acme').pk}"
    form = {"reason": "", "role": "viewer", "minutes": "30"}
    assert client.post(f"{page}/enter/", form).status_code == 422
    address = client.post(f"{page}/enter/", {**form, "reason": "a question"}).context["address"]
    assert address.startswith("http://acme.localhost/admin/enter/?token=")
    assert "a question" in client.get(f"{page}/change/").text


def test_the_command_prints_a_link(acme, operator, capsys):
    call_command("enter_tenant", "acme", "--as", "op@example.com", "--reason", "a question", "--json")
    link = json.loads(capsys.readouterr().out)["link"]
    client = Client(HTTP_HOST="acme.localhost")
    assert client.post("/admin/enter/", {"token": link.partition("token=")[2]}).status_code == 302
    with pytest.raises(SystemExit, match="2"):
        call_command("enter_tenant", "acme", "--as", "nobody@example.com", "--reason", "x")


def test_the_list_is_searched_and_narrowed(acme, operator, client_of):
    owner = client_of(acme)
    assert "No operator has ever entered" in owner.get("/admin/entries/").text
    entered(granted(operator))
    assert "they asked" in owner.get("/admin/entries/?q=asked&state=open").text
    for query in ("q=nothing", "state=ended", "state=unused"):
        assert "None fits" in owner.get(f"/admin/entries/?{query}").text


def test_of_two_who_use_a_link_at_once_one_comes_in(committed_tenants: list[TenantRef], django_db_blocker):
    with django_db_blocker.unblock():
        ref = committed_tenants[0]
        operator = Operator.objects.create_operator(email="both@example.com", password=PASSWORD)
        try:
            token = token_of(granted(operator, ref.slug))
            start, results = threading.Barrier(2), []

            def come_in() -> None:
                try:
                    start.wait(30)
                    with in_tenant(ref):
                        enter(token=token)
                    results.append("in")
                except EntryEnded:
                    results.append("out")
                finally:
                    connection.close()

            threads = [threading.Thread(target=come_in) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(results) == ["in", "out"]
        finally:
            operator.delete()
            EntryGrant.objects.filter(tenant__slug=ref.slug).delete()


def test_the_owners_are_mailed_who_is_inside_and_why(acme, globex, operator):
    grant = granted(operator, role="editor")
    entered(grant)
    jobs.run_pending()
    [message] = mail.outbox
    assert message.to == ["owner@acme.example"]
    assert message.subject == "[acme] An operator is inside"
    for said in (
        "op@example.com",
        "they asked for help",
        "as editor",
        "http://acme.localhost/admin/entries/",
    ):
        assert said in message.body


def test_the_dashboard_says_for_a_week_that_somebody_was_inside(acme, client_of, operator):
    owner, viewer = client_of(acme), client_of(acme, "viewer")
    assert "came in during the last week" not in owner.get("/admin/").text
    grant = granted(operator)
    entered(grant)
    assert "An operator of the platform is inside until" in owner.get("/admin/").text
    end_entry(grant=grant, by="owner@acme.example")
    assert "1 operator of the platform came in during the last week" in owner.get("/admin/").text
    assert "came in during the last week" not in viewer.get("/admin/").text
    EntryGrant.objects.filter(pk=grant.pk).update(
        granted_at=now() - timedelta(days=9), entered_at=now() - timedelta(days=8)
    )
    assert "came in during the last week" not in owner.get("/admin/").text


def test_an_entry_leads_to_what_was_done_during_it(acme, client_of, operator):
    grant = granted(operator, role="owner")
    client = entered(grant)
    client.post("/admin/accounts/user/add/", {"email": "more@acme.example", "usable_password": "false"})
    grant.refresh_from_db()
    owner = client_of(acme)
    address = f"/admin/audit/event/?actor={grant.user_id}"
    assert f'href="{address}"' in owner.get("/admin/entries/").text
    done = owner.get(address).text
    assert "A person was added" in done and "more@acme.example" in done
    assert "owner@acme.example" not in done.partition("<tbody>")[2]
