"""What work counts: rows of imports, slices and ends of jobs, requests; and whose each line of the log is."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import TestCase

import jobs.services
from core import metrics
from core.errors import RowhouseError
from core.logging import context, formatter
from core.tenancy import in_tenant
from importer.tests.tools import import_text, make_orders
from jobs.models import Job
from rowhouse.observing import requests


def rows(outcome: str) -> float:
    return float(metrics.IMPORT_ROWS.labels(outcome)._value.get())


def ended(kind: str, state: str) -> float:
    return float(metrics.JOBS_ENDED.labels(kind, state)._value.get())


def test_rows_of_an_import_count_once_it_is_committed(as_acme):
    dataset = make_orders()
    before = {name: rows(name) for name in ("created", "updated", "rejected")}
    with TestCase.captureOnCommitCallbacks(execute=True):
        import_text(dataset, "id,status,amount,note\n1,new,1,a\n2,new,1,b\n3,nonsense,1,c\n")
    with TestCase.captureOnCommitCallbacks(execute=True):
        import_text(dataset, "id,status,amount,note\n1,paid,1,a\n")
    assert {name: rows(name) - count for name, count in before.items()} == {
        "created": 2, "updated": 1, "rejected": 1,
    }  # fmt: skip


def test_rows_a_job_went_through_are_counted_by_its_kind(as_acme):
    dataset = make_orders()
    before = metrics.JOB_ROWS.labels("importer.preview")._value.get()
    import_text(dataset)
    assert metrics.JOB_ROWS.labels("importer.preview")._value.get() >= before + 3


class Refused(RowhouseError):
    code = "refused-in-a-test"


def test_a_refused_job_is_counted_as_failed(acme, monkeypatch):
    def refuse(*_args):
        raise Refused("No.")

    monkeypatch.setattr("rowhouse.measuring.measure_current", refuse)
    before = ended("rowhouse.measure", "FAILED")
    with in_tenant(acme):
        job = jobs.services.submit("rowhouse.measure", target="x", payload={})
    with TestCase.captureOnCommitCallbacks(execute=True):
        jobs.services.run_pending()
    assert Job.objects.get(pk=job.pk).state == "FAILED"
    assert ended("rowhouse.measure", "FAILED") == before + 1
    assert metrics.SLICES.labels("rowhouse.measure", "refused")._value.get() >= 1


def test_a_cap_keeps_strange_views_from_becoming_series(monkeypatch):
    monkeypatch.setattr(requests, "_seen", set())
    monkeypatch.setattr(requests, "MOST_VIEWS", 2)
    names = ("one", "two", "three", "two")
    assert [requests.view_of(name) for name in names] == ["one", "two", "other", "two"]


def test_a_strange_method_is_no_label(client_of, acme):
    client_of(acme).generic("BREW", "/admin/")
    assert not [labels for labels in metrics.REQUESTS._metrics if "BREW" in labels]
    assert [labels for labels in metrics.REQUESTS._metrics if labels[1] == "other"]


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "with space", "new\nline-1234", '{"a": "12345"}', "ü" * 10],
    ids=["short", "long", "space", "line", "json", "letters"],
)  # fmt: skip
def test_a_number_that_is_not_well_formed_is_made_anew(given):
    assert requests.request_id_of(given) != given


def test_a_line_in_a_request_says_whose_it_is(acme, client_of, monkeypatch):
    found: dict[str, Any] = {}

    def look(_request, context_of_page):
        found.update(context())
        record = logging.LogRecord("importer", logging.WARNING, "", 1, "A %s", ("line",), None)
        found["line"] = json.loads(formatter(as_json=True).format(record))
        return context_of_page

    monkeypatch.setattr("rowhouse.dashboard.tenant_dashboard", look)
    client = client_of(acme)
    answer = client.get("/admin/", headers={"X-Request-ID": "abcd-1234"})
    assert answer["X-Request-ID"] == "abcd-1234"
    with in_tenant(acme):
        user = client.session["_auth_user_id"]
    assert {name: found[name] for name in ("tenant", "request_id", "user")} == {
        "tenant": "acme", "request_id": "abcd-1234", "user": user,
    }  # fmt: skip
    line = found["line"]
    assert (line["event"], line["tenant"], line["request_id"], str(line["user"])) == (
        "A line", "acme", "abcd-1234", user,
    )  # fmt: skip
    assert context() == {"tenant": "-"}


def test_a_line_of_a_job_says_which(acme, monkeypatch):
    found = {}
    monkeypatch.setattr("rowhouse.measuring.measure_current", lambda: found.update(context()))
    with in_tenant(acme):
        job = jobs.services.submit("rowhouse.measure", target="x", payload={})
    jobs.services.run_pending()
    assert found == {"tenant": "acme", "job": str(job.pk), "kind": "rowhouse.measure"}
