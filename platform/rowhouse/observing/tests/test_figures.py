"""The platform's figures: all documented, true to what stands in the database, and asked of `public` alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from prometheus_client import REGISTRY

from core import metrics
from datasets.tests.conftest import make_dataset
from rowhouse.observing import figures
from rowhouse.observing.link import Link, Row
from tests.source import ROOT
from tests.watched import ALERTS, DASHBOARD

PAGE = (ROOT / "docs" / "operations" / "observability.md").read_text()
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks"
ALERT_NAMES = re.findall(r"- alert: (\w+)", ALERTS.read_text())


class Inside(Link):
    """Asks on the test's own connection, which sees what the test has not committed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, statement: str, values: dict[str, Any] | None = None) -> list[Row]:
        self.asked.append(statement)
        with connection.cursor() as cursor:
            cursor.execute(statement, values or {})
            return list(cursor.fetchall())


@pytest.fixture
def link() -> Inside:
    return Inside()


def told(link: Link) -> dict[str, list[tuple[dict[str, str], float]]]:
    looked = figures.look(link)
    assert looked.failed == ()
    return {
        metric.name: [(sample.labels, sample.value) for sample in metric.samples] for metric in looked.metrics
    }


def test_every_metric_is_documented_and_every_documented_one_is_told(db, link):
    counted = {
        f"{one.name}_total" if one.type == "counter" else one.name
        for one in REGISTRY.collect()
        if one.name.startswith("rowhouse_")
    }
    read = {"rowhouse_collection_seconds", "rowhouse_collection_errors_total", *told(link)}
    assert counted and read
    documented = set(re.findall(r"^\| `(rowhouse_\w+)`", PAGE, re.M))
    assert documented == counted | read


def test_every_label_is_documented(db, acme, link):
    rows = {
        name: {word.strip("` ") for word in labels.split(",") if word.strip()}
        for name, labels in re.findall(r"^\| `(rowhouse_\w+)` \| ([^|]*)\|", PAGE, re.M)
    }
    for name, samples in told(link).items():
        for labels, _ in samples:
            assert set(labels) == rows[name]


def test_what_alerts_and_dashboard_ask_for_is_documented():
    asked = set(re.findall(r"rowhouse_\w+", ALERTS.read_text() + DASHBOARD.read_text()))
    known = set(re.findall(r"`(rowhouse_\w+)`", PAGE))
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} - known == set()


def test_every_alert_has_its_page_and_every_page_its_alert():
    assert sorted(ALERT_NAMES) == sorted(page.stem for page in RUNBOOKS.glob("*.md"))
    assert sorted(ALERT_NAMES) == sorted(set(re.findall(r"runbooks/(\w+)\.md\)", PAGE)))


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(name):
    rule = re.split(r"- alert: ", ALERTS.read_text())
    (text,) = [one for one in rule if one.startswith(f"{name}\n")]
    assert re.search(r"severity: (critical|warning)\n", text)
    assert re.search(r"summary: \S", text)
    assert f"runbook: docs/operations/runbooks/{name}.md" in text
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.M) == ["What it means", "Look", "Do", "Verify"]


def test_no_statement_looks_into_a_tenants_schema(db, acme, globex, link):
    told(link)
    tables = {
        word
        for statement in link.asked
        for word in re.findall(r"(?:FROM|JOIN) ([a-z_.]+)\b(?!\()", statement)
    }
    strange = {one for one in tables if not one.startswith(("public.", "pg_", "clock_"))}
    assert strange == set()
    assert not any(tenant.schema in statement for tenant in (acme, globex) for statement in link.asked)


def test_looking_costs_as_many_statements_for_two_tenants_as_for_one_hundred(db, acme, link):
    told(link)
    before = len(link.asked)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_tenant (schema_name, slug, name, owner_email, state, error, created_at)"
            " SELECT 't_' || lpad(n::text, 10, '0'), 'many-' || n, 'Many', 'o@e.example', 'ACTIVE', '', now()"
            "   FROM generate_series(1, 100) n"
        )
    link.asked.clear()
    assert (
        sum(value for labels, value in told(link)["rowhouse_tenants"] if labels == {"state": "active"}) >= 102
    )
    assert len(link.asked) == before


def test_tenants_are_told_as_the_worst_of_a_bounded_number(db, acme, globex, link, settings):
    settings.ROWHOUSE_METRICS_TENANTS = 1
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenants_tenant SET created_at = now() - interval '3 hours' WHERE slug = 'globex'"
        )
    found = told(link)
    ((labels, age),) = found["rowhouse_tenant_export_age_seconds"]
    assert (labels, age >= 10_800) == ({"tenant": "globex"}, True)
    assert found["rowhouse_tenants_export_late"] == [({}, 1.0)]
    settings.ROWHOUSE_METRICS_TENANTS = 0
    assert told(link)["rowhouse_tenant_export_age_seconds"] == []


def job(acme, *, slot: str, state: str, ended: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job (schema, slug, kind, target, idem_key, payload, priority, state, step, cursor,"
            " processed, busy_seconds, attempts, cancel_requested, error_code, error, finished_at)"
            " VALUES (%s, %s, 'exporter.run', %s, %s, '{}', 100, %s, 0, '{}', 0, 0, 0, false, '', '',"
            " now() - %s::interval)",
            [acme.schema, acme.slug, slot, f"{acme.schema}:exporter.run:{slot}", state, ended],
        )


def test_an_exports_age_is_since_the_last_slot_that_was_done(db, acme, link):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET created_at = now() - interval '9 hours'")
    job(acme, slot="2026-08-26T12:00:00+00:00", state="DONE", ended="4 hours")
    job(acme, slot="2026-08-26T13:00:00+00:00", state="DONE", ended="3 hours")
    job(acme, slot="2026-08-26T14:00:00+00:00", state="FAILED", ended="1 hour")
    ages = {labels["tenant"]: value for labels, value in told(link)["rowhouse_tenant_export_age_seconds"]}
    assert 10_800 <= ages["acme"] < 10_900
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_tenantshare SET resumed_at = now() - interval '1 hour' WHERE slug = 'acme'"
        )
    ages = {labels["tenant"]: value for labels, value in told(link)["rowhouse_tenant_export_age_seconds"]}
    assert 3_600 <= ages["acme"] < 3_700
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_tenantshare SET state = 'PAUSED' WHERE slug = 'acme'")
    found = told(link)["rowhouse_tenant_export_age_seconds"]
    assert [labels["tenant"] for labels, _ in found] == ["globex"]


def test_a_question_that_fails_takes_no_other_with_it(db, monkeypatch):
    broken = tuple(
        figures.Question("jobs", "SELECT * FROM public.nowhere", one.told) if one.name == "jobs" else one
        for one in figures.QUESTIONS
    )
    monkeypatch.setattr(figures, "QUESTIONS", broken)
    link = Link(seconds=2, name="test")
    looked = figures.look(link)
    link.close()
    assert looked.failed == ("jobs",)
    assert "rowhouse_tenants" in {metric.name for metric in looked.metrics}


def test_views_are_counted_without_the_number_of_their_dataset(acme, client_of, as_acme):
    dataset = make_dataset()
    page = reverse(f"admin:datasets_ds{dataset.pk}_changelist", urlconf="rowhouse.urls_tenant")
    assert client_of(acme).get(page).status_code == 200
    view = "admin:datasets_ds_changelist"
    assert metrics.REQUESTS.labels(view, "GET", "2xx")._value.get() >= 1
    assert not [one for one in metrics.REQUESTS._metrics if re.search(r"ds\d", one[0])]
