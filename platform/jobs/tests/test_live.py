"""The polls of a page of background work: one query each, and none the wiser once somebody may not look."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import revoke_right
from jobs import services
from jobs.models import Job
from jobs.tests.test_work import WORK, Scene, clerk, grant, scene
from rowhouse.work import live
from tenants.models import Tenant

__all__ = ["clerk", "scene"]
MIDDLEWARE = "rowhouse.work.live.Polls"
# Those before it ask nobody anything: docs/operations/observability.md.
BEFORE = [
    "core.cookies.PlainCookies",
    "core.headers.Headers",
    "rowhouse.observing.probes.Probes",
    "rowhouse.observing.requests.Observed",
]
INSTALLED = project.MIDDLEWARE[: len(BEFORE) + 1] == [*BEFORE, MIDDLEWARE]


def poll_of(client: Client) -> str:
    """Open the page and return the address it polls."""
    return next_of(client.get(WORK).text)


def next_of(page: str) -> str:
    """Return the address a page or a poll says to ask next."""
    found = re.search(r'id="jobs-live" hx-get="([^"]+)"', page)
    assert found
    return html.unescape(found[1])


def statements(client: Client, address: str) -> tuple[Any, list[str]]:
    """Ask, and return the answer with every statement but the one that says which schema is meant."""
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(address)
    said = [one["sql"] for one in seen.captured_queries]
    return answer, [sql for sql in said if not sql.startswith("SET search_path")]


@pytest.fixture
def viewer(scene: Scene, acme: TenantRef, client_of: Any) -> Client:
    return client_of(acme, "viewer")  # type: ignore[no-any-return]


def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Let the passes age."""
    read = time.time
    monkeypatch.setattr("django.core.signing.time.time", lambda: read() + seconds)


@pytest.fixture(autouse=True)
def installed(settings: Any) -> None:
    """The polls come first, also where the project has not installed them."""
    settings.MIDDLEWARE = [MIDDLEWARE, *(one for one in project.MIDDLEWARE if one != MIDDLEWARE)]


def test_the_polls_are_answered_before_anything_else_looks_something_up():
    assert INSTALLED


def test_the_address_is_the_one_the_page_names():
    assert reverse("admin:jobs_job_live", urlconf="rowhouse.urls_tenant") == live.PATH


def test_a_poll_costs_one_query(viewer, scene):
    Job.objects.filter(pk=scene.orders).update(processed=50, total=200, step=1, started_at=now())
    address = poll_of(viewer)
    answer, asked = statements(viewer, address)
    assert len(asked) == 1, asked
    assert answer.status_code == 200
    assert f'id="job-{scene.orders}-progress"' in answer.text
    assert 'value="25"' in answer.text
    assert answer["Cache-Control"] == "no-store"
    assert "salaries" not in answer.text  # no title travels with a poll


def test_a_poll_goes_on_until_all_have_ended_and_then_stops(viewer, scene, acme):
    address = poll_of(viewer)
    assert 'hx-trigger="every 2s"' in viewer.get(address).text
    Job.objects.filter(schema=acme.schema).update(state="DONE", finished_at=now())
    answer, asked = statements(viewer, address)
    assert (answer.status_code, "hx-trigger" in answer.text, len(asked)) == (286, False, 1)


def test_a_change_is_said_once(viewer, scene):
    first = viewer.get(poll_of(viewer))
    assert "jobs-said" not in first.text
    Job.objects.filter(pk=scene.orders).update(state="DONE", finished_at=now())
    second = viewer.get(poll_of(viewer).split("&said=")[0])
    assert "Background work: " in second.text
    assert "jobs-said" not in viewer.get(next_of(second.text)).text


def test_a_pass_holds_for_its_tenant_alone(viewer, scene, globex, client_of):
    address = poll_of(viewer)
    theirs = client_of(globex)
    assert theirs.get(address).status_code == 404
    # Not even with the session of the tenant it was written for.
    theirs.cookies = viewer.cookies
    assert theirs.get(address).status_code == 401


def test_a_pass_holds_for_its_session_alone(viewer, scene, acme, client_of, clerk):
    grant(acme, clerk, "view", "orders")
    answer, asked = statements(client_of(acme, clerk), poll_of(viewer))
    assert len(asked) > 1  # looked at in full, by the rights of whoever asks
    assert f'id="job-{scene.orders}-state"' in answer.text
    assert f'id="job-{scene.secret}-state"' not in answer.text
    assert Client(HTTP_HOST="acme.localhost").get(poll_of(viewer)).status_code == 401


def signs_out(client: Client, acme: TenantRef) -> None:
    client.post("/admin/logout/")


def is_signed_out_elsewhere(client: Client, acme: TenantRef) -> None:
    with in_tenant(acme):
        Session.objects.all().delete()


def is_deactivated(client: Client, acme: TenantRef) -> None:
    with in_tenant(acme):
        User.objects.filter(email="viewer@acme.example").update(is_active=False)


def has_an_old_session(client: Client, acme: TenantRef) -> None:
    with in_tenant(acme):
        Session.objects.update(expire_date=now() - timedelta(seconds=1))


@pytest.mark.parametrize("happens", [signs_out, is_signed_out_elsewhere, is_deactivated, has_an_old_session])
def test_the_very_next_poll_is_refused_once_a_person(
    viewer, scene, acme, happens: Callable[[Client, TenantRef], None]
):
    address = poll_of(viewer)
    kept = dict(viewer.cookies.items())
    happens(viewer, acme)
    viewer.cookies.update(kept)
    answer = viewer.get(address)
    assert (answer.status_code, answer["HX-Refresh"]) == (401, "true")
    assert "job-" not in answer.text


def test_the_very_next_poll_is_refused_once_the_tenant_is_suspended(viewer, scene, acme):
    address = poll_of(viewer)
    Tenant.objects.filter(slug="acme").update(state=Tenant.State.SUSPENDED)
    assert viewer.get(address).status_code == 503


def test_a_right_that_was_taken_away_counts_within_a_minute(
    scene, acme, client_of, clerk, monkeypatch: pytest.MonkeyPatch
):
    grant(acme, clerk, "view", "orders")
    client = client_of(acme, clerk)
    address = poll_of(client)
    with in_tenant(acme):
        person = User.objects.get(email=clerk)
        dataset = Dataset.objects.get(slug="orders")
        revoke_right(right="view", of=person, dataset=dataset)
    later(monkeypatch, live.PASS_SECONDS + 1)
    answer = client.get(address)
    assert (answer.status_code, "job-" in answer.text) == (286, False)


def test_a_pass_is_renewed_after_a_minute_with_the_rights_looked_at_again(
    viewer, scene, monkeypatch: pytest.MonkeyPatch
):
    address = poll_of(viewer)
    later(monkeypatch, live.PASS_SECONDS + 1)
    renewed, asked = statements(viewer, address)
    assert len(asked) > 1
    answer, asked = statements(viewer, next_of(renewed.text))
    assert (answer.status_code, len(asked)) == (200, 1)


@pytest.mark.parametrize("change", [lambda text: text[:-2] + "xx", lambda text: "", lambda text: "a:b:c"])
def test_a_pass_that_was_tampered_with_is_none(viewer, scene, change):
    held = poll_of(viewer).split("pass=")[1].split("&")[0]
    assert viewer.get(live.PATH, {"pass": change(held)}).status_code == 404


def test_a_pass_for_a_tenant_that_is_gone_is_not_answered_with_an_error(viewer, scene, acme):
    poll_of(viewer)
    session = viewer.cookies[project.SESSION_COOKIE_NAME].value
    gone = TenantRef("t_gonegonegone", "gone")
    held = live.write_pass(tenant=gone, user=1, session=session, jobs=[scene.orders], hushed=[])
    request = RequestFactory().get(live.PATH, {"pass": held}, HTTP_HOST="acme.localhost")
    request.COOKIES[project.SESSION_COOKIE_NAME] = session
    with connection.cursor() as cursor:  # the failed statement must not spoil the test's own transaction
        cursor.execute("SAVEPOINT before")
        assert live.answer_poll(request) is None
        cursor.execute("ROLLBACK TO SAVEPOINT before")


def test_other_addresses_pass_by():
    passed = HttpResponse("passed")
    polls = live.Polls(lambda request: passed)
    for path in ("/", "/admin/jobs/job/", live.PATH + "x", live.PATH):
        assert polls(RequestFactory().get(path)) is passed
    assert polls(RequestFactory().post(live.PATH)) is passed


def test_paused_work_shows_as_paused_at_the_next_poll(viewer, scene, acme):
    address = poll_of(viewer)
    services.pause_tenant(acme.schema)
    assert "Paused" in viewer.get(address).text
