"""The review of access: who may what and since when, what stands out, and that somebody has looked."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.operators.models import Operator
from accounts.services import create_user
from audit.models import Event
from audit.services import record
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.services import grant_right
from exporter.tests.helpers import dataset_with
from rowhouse.review.report import mark_reviewed, report_of, review_due, rows_of
from tenants.entering import grant_entry
from tenants.models import EntryGrant, Tenant

PAGE = "/admin/review/"


def person(email: str) -> User:
    return User.objects.get(email=email)


def findings() -> set[tuple[str, str]]:
    return {(one.kind, one.who) for one in report_of().findings}


@pytest.fixture
def everybody_is_in(as_acme: TenantRef) -> None:
    User.objects.update(last_login=now())


def test_it_says_who_may_what_since_when_and_what_was_used_last(
    as_acme: TenantRef, globex: TenantRef
) -> None:
    dataset = dataset_with(slug="orders")
    dataset_with(slug="parts")
    viewer = create_user(email="more@acme.example", password=None, role="viewer")
    viewer.groups.clear()
    grant_right(right="import", to=viewer, dataset=dataset)
    record("importer.job.confirmed", actor=viewer)
    found = next(one for one in report_of().people if one.user == viewer)
    assert (found.rights["import"], found.rights["export"], found.roles) == (1, 0, ())
    assert found.since == Event.objects.get(name="accounts.user.created", target_id=str(viewer.pk)).at
    assert list(found.uses) == ["imported"]
    owner = next(one for one in report_of().people if one.user.email == "owner@acme.example")
    assert (owner.rights["export"], owner.roles) == (2, ("owner",))
    [(row, dates)] = [(row, dates) for row, dates in rows_of() if row.user == viewer]
    assert row.dataset == dataset
    assert dates["import"] == Event.objects.get(name="datasets.right.granted").at
    assert not [one for one in report_of().people if "globex" in one.user.email]


def test_what_stands_out_is_found_and_nothing_else(as_acme: TenantRef, everybody_is_in: None) -> None:
    assert findings() == set()
    dataset = dataset_with(slug="orders")
    never = create_user(email="never@acme.example", password=None, role="viewer")
    quiet = create_user(email="quiet@acme.example", password=None, role="viewer")
    bare = create_user(email="bare@acme.example", password=None, role="viewer")
    left = create_user(email="left@acme.example", password=None, role="viewer")
    bare.groups.clear()
    grant_right(right="view", to=left, dataset=dataset)
    team = Group.objects.create(name="team")
    grant_right(right="view", to=team, dataset=dataset)
    User.objects.filter(pk__in=[bare.pk]).update(last_login=now())
    User.objects.filter(pk=quiet.pk).update(last_login=now() - timedelta(days=91))
    User.objects.filter(pk=left.pk).update(is_active=False)
    assert findings() == {
        ("Never signed in", never.email),
        ("Not signed in lately", quiet.email),
        ("Without any right", bare.email),
        ("Groups without members", "team"),
        ("Grants of inactive people", left.email),
        ("Grants of groups without members", "team"),
    }


def test_few_statements_whatever_the_number_of_people(as_acme: TenantRef, everybody_is_in: None) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as sent:
            report_of()
        return len(sent)

    dataset_with(slug="orders")
    before = statements()
    for number in range(12):
        create_user(email=f"p{number}@acme.example", password=None, role="viewer")
    assert statements() == before <= 24


def test_the_page_shows_it_searches_and_filters(
    as_acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    User.objects.filter(email="viewer@acme.example").update(last_login=now() - timedelta(days=200))
    client = client_of(as_acme)
    shown = client.get(PAGE).content.decode()
    assert "Not reviewed yet" in shown and "Not signed in lately" in shown
    assert "viewer@acme.example" in shown and "globex" not in shown

    def people(**query: str) -> list[str]:
        page = (
            client.get(PAGE, query)
            .content.decode()
            .partition('aria-label="People"')[2]
            .partition("</tbody>")[0]
        )
        return [one for one in ("owner", "editor", "viewer") if f"{one}@acme.example" in page]

    assert people() == ["owner", "editor", "viewer"]
    assert people(q="EDIT") == ["editor"]
    assert people(role="viewer") == ["viewer"]
    assert people(state="inactive") == []
    assert "Nobody fits" in client.get(PAGE, {"q": "nobody"}).content.decode()
    assert "viewer" in people(state="quiet")
    for role in ("editor", "viewer"):
        assert client_of(as_acme, role).get(PAGE).status_code == 403
        assert client_of(as_acme, role).get(f"{PAGE}download/?form=csv").status_code == 403
        assert client_of(as_acme, role).post(f"{PAGE}done/").status_code == 403


def test_a_review_is_an_event_and_the_dashboard_reminds_when_it_is_due(
    acme: TenantRef, globex: TenantRef, client_of: Any, settings: Any
) -> None:
    owner, viewer = client_of(acme), client_of(acme, "viewer")
    reminder = "Nobody has reviewed yet who may what here."
    assert reminder not in owner.get("/admin/").text
    with in_tenant(acme):
        User.objects.update(date_joined=now() - timedelta(days=200))
    assert reminder in owner.get("/admin/").text
    assert reminder not in viewer.get("/admin/").text
    assert reminder not in client_of(globex).get("/admin/").text
    settings.ROWHOUSE_REVIEW_MONTHS = 0
    assert reminder not in owner.get("/admin/").text
    settings.ROWHOUSE_REVIEW_MONTHS = 6
    assert owner.post(f"{PAGE}done/", {"note": "took Vi's import"}).status_code == 302
    with in_tenant(acme):
        event = Event.objects.get(name="rowhouse.access.reviewed")
        assert (event.actor_label, event.data["note"]) == ("owner@acme.example", "took Vi's import")
        assert review_due() is None
    shown = owner.get(PAGE).text
    assert "Last reviewed on" in shown and "took Vi&#x27;s import" in shown
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON audit_event TO CURRENT_USER")
        Event.objects.filter(pk=event.pk).update(at=now() - timedelta(days=190))
    assert "Who may what was last reviewed on" in owner.get("/admin/").text
    with in_tenant(acme), pytest.raises(PermissionDenied):
        mark_reviewed(note="", by=person("viewer@acme.example"))


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_files_hold_it_and_no_formula(as_acme: TenantRef, client_of: Any, form: str) -> None:
    dataset_with(slug="orders")
    made = create_user(email="sly@acme.example", password=None, role="viewer", full_name="=HYPERLINK(1) x")
    with in_public():
        operator = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
        grant_entry(tenant=Tenant.objects.get(slug="acme"), operator=operator, reason="they asked")
        assert EntryGrant.objects.count() == 1
    answer = client_of(as_acme).get(f"{PAGE}download/", {"form": form})
    body = answer.content
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="access_acme_')
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(body.decode())))
        [line] = [one for one in lines if one["e-mail address"] == made.email]
        assert (line["name"], line["dataset"], line["view"]) == (
            "'=HYPERLINK(1) x",
            "Orders",
            "every dataset, as viewer",
        )
    else:
        book = openpyxl.load_workbook(io.BytesIO(body))
        assert book.sheetnames == ["People", "Rights", "What stands out", "Operators", "Reviews"]
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert "=HYPERLINK(1) x" in [cell.value for cell in cells]
        assert {cell.data_type for cell in cells} <= {"s", "n"}
        assert [cell.value for cell in book["Operators"][2]][:3] == ["op@example.com", "they asked", "viewer"]
    with in_tenant(as_acme):
        assert Event.objects.get(name="rowhouse.access.downloaded").data == {"form": form}
    assert client_of(as_acme).get(f"{PAGE}download/", {"form": "exe"}).status_code == 404


def test_globex_has_its_own(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        mark_reviewed(note="ours", by=person("owner@acme.example"))
    with in_tenant(globex):
        assert not Event.objects.filter(name="rowhouse.access.reviewed").exists()
