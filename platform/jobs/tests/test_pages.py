"""The operators' pages of background work."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.operators.models import Operator
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef
from jobs.models import Job

LIST = "/operator/jobs/job/"
SHARES = "/operator/jobs/tenantshare/"


@pytest.fixture
def operator(db: None) -> Client:
    Job.objects.all().delete()  # of tests that commit, before this one
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    return client


def make(tenant: TenantRef, kind: str = "test.append", **fields: Any) -> Job:
    count = Job.objects.count()
    values = {"target": f"thing:{count}", "slug": tenant.slug, **fields}
    return Job.objects.create(schema=tenant.schema, kind=kind, **values)


def text(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", answer.text)


def listed(client: Client, **query: str) -> set[int]:
    return {int(pk) for pk in re.findall(r'id="job-(\d+)-state"', text(client, LIST, **query))}


def test_the_list_shows_each_state_in_a_word_with_its_reason(operator, acme):
    soon = now() + timedelta(hours=1)
    make(acme)
    make(acme, step=1, processed=250, total=1000, started_at=now() - timedelta(seconds=5))
    make(acme, attempts=2, error="It stumbled.", not_before=soon)
    make(acme, state="RUNNING", worker="pod-7.3", lease="0" * 32, started_at=now())
    make(acme, state="FAILED", error="The file is gone.", error_code="storage-changed", finished_at=now())
    make(acme, state="DONE", finished_at=now())
    make(acme, state="CANCELLED", finished_at=now())

    shown = text(operator, LIST)

    for words in ("Queued", "Running", "Resting until", "Failed", "Done", "Cancelled", "The file is gone."):
        assert words in shown, words
    assert 'max="100" value="25"' in shown
    assert "250 of 1,000" in shown
    assert "pod-7.3" in shown


def test_the_list_can_be_filtered_and_searched(operator, acme, globex):
    old = make(acme, state="FAILED", finished_at=now() - timedelta(days=2), error="old")
    fresh = make(acme, state="FAILED", finished_at=now(), error="fresh")
    waits = make(globex, kind="importer.preview", payload={"import": 3})
    resting = make(globex, not_before=now() + timedelta(hours=1))
    platforms = Job.objects.create(schema="public", kind="test.append", target="x", state="DONE")

    assert listed(operator) == {old.pk, fresh.pk, waits.pk, resting.pk, platforms.pk}
    assert listed(operator, state="failed") == {old.pk, fresh.pk}
    assert listed(operator, state="failed-lately") == {fresh.pk}
    assert listed(operator, state="queued") == {waits.pk}
    assert listed(operator, state="resting") == {resting.pk}
    assert listed(operator, kind="importer.preview") == {waits.pk}
    assert listed(operator, tenant="globex") == {waits.pk, resting.pk}
    assert listed(operator, tenant="-") == {platforms.pk}
    assert listed(operator, q="fresh") == {fresh.pk}
    assert listed(operator, q=str(waits.pk)) == {waits.pk}


def test_an_empty_list_says_what_to_do(operator, db):
    Job.objects.all().delete()
    assert "Check that a worker runs" in text(operator, LIST)
    assert "No job fits this search" in text(operator, LIST, q="nothing like it")


def test_the_list_asks_again_only_while_something_is_active(operator, acme):
    done = make(acme, state="DONE", finished_at=now())
    assert 'id="jobs-live" hx-get' not in text(operator, LIST)
    active = make(acme)
    assert f"{LIST}live/?jobs={active.pk}" in text(operator, LIST)

    going = operator.get(f"{LIST}live/?jobs={active.pk},{done.pk}")
    assert (going.status_code, f'id="job-{active.pk}-state"' in going.text) == (200, True)
    Job.objects.filter(pk=active.pk).update(state="DONE", finished_at=now())
    over = operator.get(f"{LIST}live/?jobs={active.pk}")
    assert (over.status_code, "hx-get" in over.text) == (286, False)


@pytest.mark.parametrize("jobs", ["", "1;DROP", "-1", "9" * 30, "²"])
def test_a_poll_for_nonsense_is_answered_with_nothing(operator, acme, jobs):
    assert operator.get(f"{LIST}live/", {"jobs": jobs}).status_code == 286


def test_the_page_of_a_job_shows_everything_and_escapes_it(operator, acme):
    payload = {"name": "<img src=x onerror=alert(1)>"}
    job = make(acme, payload=payload, state="FAILED", error="<b>why</b>", finished_at=now())

    shown = text(operator, f"{LIST}{job.pk}/change/")

    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert "<img src=x" not in shown
    assert "&lt;b&gt;why&lt;/b&gt;" in shown
    for name in ("Idempotency key", "Slices committed", "Lease until", "Not before"):
        assert name in shown
    assert f"{LIST}{job.pk}/again/" in shown
    assert f"{LIST}{job.pk}/cancel/" not in shown


@pytest.mark.parametrize("address", ["0/change/", "nonsense/change/", "99999999/change/", "99999999/cancel/"])
def test_a_job_that_is_not_there_is_a_404(operator, acme, address):
    assert operator.get(f"{LIST}{address}").status_code == 404


def test_cancelling_and_starting_again_need_a_yes_and_are_noted_with_who(operator, acme):
    job = make(acme, payload={"steps": 1})
    assert "before its next slice" in operator.get(f"{LIST}{job.pk}/cancel/").text
    job.refresh_from_db()
    assert not job.cancel_requested  # following a link changed nothing

    operator.post(f"{LIST}{job.pk}/cancel/")
    Job.objects.filter(pk=job.pk).update(state="CANCELLED", finished_at=now())
    operator.post(f"{LIST}{job.pk}/again/")

    job.refresh_from_db()
    assert (job.state, job.cancel_requested) == ("QUEUED", False)
    names = ["jobs.job.cancelled", "jobs.job.retried"]
    events = Event.objects.filter(name__in=names, actor_label="op@example.com").order_by("pk")
    assert list(events.values_list("name", flat=True)) == names
    page = text(operator, f"{LIST}{job.pk}/change/")
    assert all(name in page for name in names)
    assert "op@example.com" in page


def test_a_form_from_elsewhere_ends_no_job(acme):
    person: Any = Operator.objects.create_operator(email="op2@example.com", password="correct horse battery")
    client = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    job = make(acme)
    assert client.post(f"{LIST}{job.pk}/cancel/").status_code == 403
    assert client.post(f"{SHARES}{acme.schema}/pause/").status_code == 403
    job.refresh_from_db()
    assert not job.cancel_requested


def test_starting_a_running_job_again_is_refused_in_words(operator, acme):
    job = make(acme)
    answer = operator.post(f"{LIST}{job.pk}/again/", follow=True)
    assert "only a failed or cancelled one can run again" in answer.text
    assert not Event.objects.filter(name="jobs.job.retried", target_id=str(job.pk)).exists()


@pytest.mark.parametrize("page", [LIST, f"{LIST}live/", SHARES])
def test_nobody_but_an_operator_sees_these_pages(client_of, acme, page):
    assert Client(HTTP_HOST="localhost").get(page).status_code == 302
    assert client_of(acme).get(page).status_code == 404  # a tenant's host has no such address


def test_the_first_page_leads_to_what_failed_and_to_what_waits(operator, acme):
    Job.objects.all().delete()
    make(acme, state="FAILED", finished_at=now())
    make(acme, not_before=now() - timedelta(minutes=7))
    shown = text(operator, "/operator/")
    assert f"{LIST}?state=failed-lately" in shown
    assert "waits longer than 5 minutes" in shown
