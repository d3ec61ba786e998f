"""The log as people see it: who may, what they find, what a file holds, and what stands in it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.operators.models import Operator
from audit.models import Event
from audit.services import record
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from datasets.services import grant_right
from datasets.tests.statements import unbounded_counts
from exporter.tests.helpers import dataset_with
from tenants.models import EventStream

LOG = "/admin/audit/event/"


def text(client: Client, url: str, /, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def operator() -> Client:
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    return client


def rows(page: str) -> str:
    return page.partition("<tbody>")[2].partition("</tbody>")[0]


def test_the_page_says_who_did_what_from_where_and_by_which_request(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(globex):
        record("tests.thing.theirs", actor="CANARY-OF-GLOBEX")
    client = client_of(acme)
    client.get(LOG, headers={"x-request-id": "first-request"})
    client.get(
        f"{LOG}download/",
        {"form": "csv"},
        headers={"x-request-id": "second-request"},
        REMOTE_ADDR="203.0.113.7",
    )
    shown = text(client, LOG)
    assert "Events were downloaded" in shown and "203.0.113.7" in shown
    assert "request:second-requ…" in shown  # cut to the width of its column
    assert "CANARY-OF-GLOBEX" not in shown
    assert rows(text(client, LOG, cause="request:second-request")).count("<tr>") == 1
    assert "Nothing fits" in text(client, LOG, cause="request:nobody")


def test_the_page_sends_few_statements_and_counts_nothing(as_acme: TenantRef, client_of: Any) -> None:
    for number in range(200):
        record("tests.thing.done", actor="Ada", number=number)
    client = client_of(as_acme)
    for query in (
        {},
        {"q": "ada"},
        {"name": "tests.thing.done"},
        {"at_from": "2020-01-01", "at_to": "2040-01-01"},
    ):
        text(client, LOG, **query)
        with CaptureQueriesContext(connection) as sent:
            text(client, LOG, **query)
        statements = [one["sql"] for one in sent]
        assert (
            unbounded_counts(
                [one.replace("audit_event", "ds_1") for one in statements if "audit_event" in one]
            )
            == []
        )
        assert sum("audit_event" in one for one in statements) <= 6, statements
        assert len(statements) <= 24, statements


def test_older_events_are_one_click_away_and_the_beginning_is_said(
    as_acme: TenantRef, client_of: Any
) -> None:
    for number in range(60):
        record("tests.thing.done", actor=f"person {number}.")
    client = client_of(as_acme)
    first = text(client, LOG, name="tests.thing.done")
    assert "person 59." in first and "person 9." not in first
    [address] = [one for one in first.split('"') if "before=" in one]
    second = text(client, LOG + address.replace("&amp;", "&"))
    assert "person 9." in second and "person 59." not in second
    assert "This is the beginning of the log" in text(client, LOG, before="1")


def test_an_empty_log_says_what_will_stand_there(db: None) -> None:
    client = operator()
    with connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON audit_event TO CURRENT_USER")
    Event.objects.all().delete()
    assert "Nothing has happened yet" in text(client, "/operator/audit/event/")


@pytest.mark.parametrize(
    "query",
    [
        {"q": "a\0b"}, {"address": "no address"}, {"actor": "9" * 40}, {"before": "x"}, {"at_from": "2026-13-40"},
        {"at_to": "0001-01-01"}, {"of": "a.b", "id": "x"}, {"name": "'; --"}, {"area": "%"}, {"before": "²"},
    ],
    ids=lambda query: "-".join(query),
)  # fmt: skip
def test_whatever_the_address_asks_the_page_answers(
    acme: TenantRef, client_of: Any, query: dict[str, str]
) -> None:
    text(client_of(acme), LOG, **query)


def test_an_event_shows_before_and_after_its_proof_and_where_to_go(
    as_acme: TenantRef, client_of: Any
) -> None:
    dataset = dataset_with(slug="orders")
    event = record(
        "tests.thing.done",
        actor="Ada",
        target=dataset,
        before={"days": 30, "on": True},
        after={"days": 60, "on": True},
        more="<b>x</b>",
    )
    shown = text(client_of(as_acme), f"{LOG}{event.pk}/change/")
    assert "<td>30</td><td>60</td>" in shown and '<th scope="row">on</th>' not in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "waits for the next seal" in shown
    assert f'href="/admin/datasets/dataset/{dataset.pk}/change/"' in shown
    assert f"?of=datasets.dataset&amp;id={dataset.pk}" in shown
    assert client_of(as_acme).get(f"{LOG}999999999/change/").status_code == 404
    assert client_of(as_acme).post(f"{LOG}{event.pk}/change/").status_code == 403


def test_what_an_event_is_about_is_no_link_for_who_may_not_see_it(as_acme: TenantRef, client_of: Any) -> None:
    dataset = dataset_with(slug="orders")
    event = record("tests.thing.done", target=dataset)
    gone = record("tests.thing.done", target=Dataset(pk=4711, title="Gone"))
    strange = Event.objects.create(at=now(), name="tests.thing.done", target_type="no.such", target_id="1")
    with in_tenant(as_acme):
        editor = User.objects.get(email="editor@acme.example")
        editor.groups.clear()
        from django.contrib.auth.models import Permission  # noqa: PLC0415 -- beside its one use

        editor.user_permissions.add(
            Permission.objects.get(codename="view_event", content_type__app_label="audit")
        )
    client = client_of(as_acme, "editor")
    link = f'href="/admin/datasets/dataset/{dataset.pk}/change/"'
    assert link not in text(client, f"{LOG}{event.pk}/change/")
    with in_tenant(as_acme):
        grant_right(right="view", to=editor, dataset=dataset)
    assert link in text(client, f"{LOG}{event.pk}/change/")
    for one in (gone, strange):
        assert "/4711/change/" not in text(client_of(as_acme), f"{LOG}{one.pk}/change/")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_file_has_what_the_page_would_show_and_is_an_event(
    as_acme: TenantRef, globex: TenantRef, client_of: Any, form: str
) -> None:
    with in_public(), in_tenant(globex):
        record("tests.thing.done", actor="CANARY-OF-GLOBEX")
    uids = [
        str(record("tests.thing.done", actor="=cmd|' /C calc'!A0", number=number).uid) for number in range(3)
    ]
    record("tests.thing.other", actor="Ada")
    client = client_of(as_acme)
    answer = client.get(f"{LOG}download/", {"form": form, "name": "tests.thing.done"})
    body = answer.getvalue().decode()
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="events_acme_')
    if form == "csv":
        found = list(csv.DictReader(io.StringIO(body)))
        assert {one["who"] for one in found} == {"'=cmd|' /C calc'!A0"}
    else:
        found = [json.loads(line) for line in body.splitlines()]
        assert found[0]["data"] == {"number": 2}
    assert [one["uid"] for one in found] == uids[::-1]
    with in_tenant(as_acme):
        event = Event.objects.get(name="audit.events.exported")
    assert event.data["filters"] == {"name": "tests.thing.done"} and event.actor_label
    assert client.get(f"{LOG}download/", {"form": "exe"}).status_code == 404
    assert client_of(as_acme, "editor").get(f"{LOG}download/", {"form": form}).status_code == 403


def test_operators_have_the_same_for_the_platform_s_log(acme: TenantRef) -> None:
    with in_tenant(acme):
        record("tests.thing.done", actor="CANARY-OF-ACME")
    event = record("tests.thing.ours", actor="an operator")
    client = operator()
    shown = text(client, "/operator/audit/event/")
    assert "tests.thing.ours" in shown and "CANARY-OF-ACME" not in shown
    assert "ROWHOUSE_SYSLOG" in shown
    assert "waits for the next seal" in text(client, f"/operator/audit/event/{event.pk}/change/")
    answer = client.get("/operator/audit/event/download/", {"form": "jsonl"})
    body = answer.getvalue().decode()
    assert "tests.thing.ours" in body and "CANARY-OF-ACME" not in body


# ---- where events are sent to


def test_an_owner_has_events_sent_out_and_sees_the_secret_once(
    acme: TenantRef, client_of: Any, settings: Any
) -> None:
    settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    client, page = client_of(acme), f"{LOG}stream/"
    assert "Events are sent nowhere yet" in text(client, page)
    refused = client.post(page, {"url": "http://10.0.0.1/", "seen": "0"})
    assert (refused.status_code, 'value="http://10.0.0.1/"' in refused.content.decode()) == (422, True)
    made = client.post(page, {"url": "http://127.0.0.1:9/hook", "seen": "0"}).content.decode()
    assert "shown this once: <code>rhsec_" in made
    again = text(client, page)
    assert "rhsec_" not in again and "all events are sent" in again
    assert "Sent to http://127.0.0.1:9/hook" in text(client, LOG)
    with in_public():
        EventStream.objects.update(waiting_since_at=now(), tries=3, error="nobody is there")
    assert "tried 3 times without success" in text(client, LOG)
    assert 'value="resume"' in text(client, page)
    assert client.post(page, {"do": "resume", "seen": "1"}).status_code == 302
    assert client.post(page, {"do": "secret", "seen": "1"}).status_code == 422  # another version by now
    assert client.post(page, {"do": "remove", "seen": "2"}).status_code == 302
    assert "Events are sent nowhere yet" in text(client, page)
    assert client_of(acme, "editor").get(page).status_code == 403


# ---- people


def test_a_change_of_a_person_says_what_was_before_and_after(acme: TenantRef, client_of: Any) -> None:
    with in_tenant(acme):
        person = User.objects.get(email="viewer@acme.example")
        from django.contrib.auth.models import Group  # noqa: PLC0415 -- beside its one use

        editor = Group.objects.get(name="editor").pk
    client = client_of(acme)
    answer = client.post(
        f"/admin/accounts/user/{person.pk}/change/",
        {"email": person.email, "first_name": "Vi", "last_name": "", "is_active": "on", "groups": [editor]},
    )
    assert answer.status_code == 302
    with in_tenant(acme):
        event = Event.objects.get(name="accounts.user.changed")
    assert event.data["before"]["roles"] == ["viewer"]
    assert event.data["after"]["roles"] == ["editor"]
    assert (event.data["before"]["first_name"], event.data["after"]["first_name"]) == ("", "Vi")


def test_setting_a_password_is_an_event_one_s_own_and_another_s(acme: TenantRef, client_of: Any) -> None:
    with in_tenant(acme):
        person = User.objects.get(email="viewer@acme.example")
    new = {"password1": "a new and long one", "password2": "a new and long one", "usable_password": "true"}
    client_of(acme).post(f"/admin/accounts/user/{person.pk}/password/", {**new, "password2": "another"})
    with in_tenant(acme):
        assert not Event.objects.filter(name__startswith="accounts.user.password").exists()
    assert client_of(acme).post(f"/admin/accounts/user/{person.pk}/password/", new).status_code == 302
    own = {
        "old_password": "a new and long one",
        "new_password1": "one more, also long",
        "new_password2": "one more, also long",
    }
    assert client_of(acme, "viewer").post("/admin/password_change/", own).status_code == 302
    with in_tenant(acme):
        events = Event.objects.filter(name__startswith="accounts.user.password").order_by("pk")
        assert [(event.name, event.actor_label, event.target_label) for event in events] == [
            ("accounts.user.password_set", "owner@acme.example", "viewer@acme.example"),
            ("accounts.user.password_changed", "viewer@acme.example", "viewer@acme.example"),
        ]
        assert "long" not in str([event.data for event in events])
