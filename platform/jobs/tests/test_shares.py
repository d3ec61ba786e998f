"""Work per tenant, on the operator site."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from core.clock import now
from jobs import services
from jobs.models import Job, TenantShare
from jobs.tests.test_pages import SHARES, make, operator, text
from tenants.models import Tenant
from tenants.services import suspend_tenant

__all__ = ["operator"]


def figures(client: Client, slug: str, **query: str) -> list[str]:
    """Return the cells of a tenant's row as text."""
    rows = re.findall(r'<tr class="data-row.*?</tr>', text(client, SHARES, **query), re.S)
    row = next(row for row in rows if f">{slug}<" in row or f"> {slug} <" in row)
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in cells]


def test_each_tenant_is_shown_with_its_own_figures(operator, acme, globex):
    Job.objects.all().delete()
    make(acme, state="RUNNING", step=0)
    make(acme, step=2)
    make(acme, not_before=now() - timedelta(minutes=7))
    make(acme, state="FAILED", finished_at=now())
    make(acme, state="FAILED", finished_at=now() - timedelta(days=2))
    make(globex)
    Job.objects.create(
        schema=acme.schema, slug="acme", kind="test.append", target="2026-11-20T23:00:00+00:00",
        idem_key="k", state="DONE", finished_at=now(),
    )  # fmt: skip

    acmes = figures(operator, "acme")

    assert acmes[3:6] == ["2", "1", "1"]
    assert acmes[6].startswith("7 min")
    assert acmes[7] == "2026-11-20 23:00"
    assert figures(operator, "globex")[3:6] == ["0", "1", "0"]
    assert "jb-old" in text(operator, SHARES)  # above five minutes


def test_a_paused_tenants_work_is_not_waiting(operator, acme):
    Job.objects.all().delete()
    make(acme, not_before=now() - timedelta(minutes=7))
    services.pause_tenant(acme.schema)
    row = figures(operator, "acme")
    assert (row[2], row[4], row[6]) == ("Paused", "1", "-")


@pytest.mark.parametrize(
    ("work", "expected"),
    [("paused", {"globex"}), ("active", {"acme"}), ("failed", {"acme"}), ("waiting", {"globex"})],
)
def test_tenants_can_be_filtered_by_their_work(operator, acme, globex, work, expected):
    Job.objects.all().delete()
    make(acme, state="FAILED", finished_at=now())
    make(globex)
    services.pause_tenant(globex.schema)
    shown = text(operator, SHARES, work=work)
    assert {
        slug for slug in ("acme", "globex") if f"{SHARES}" in shown and f">{slug}</a>" in shown
    } == expected


def test_pausing_and_resuming_need_a_yes_and_are_noted_with_who(operator, acme):
    address = f"{SHARES}{acme.schema}"
    assert operator.get(f"{address}/pause/").status_code == 200
    assert TenantShare.objects.get(pk=acme.schema).state == "ACTIVE"

    operator.post(f"{address}/pause/")
    assert TenantShare.objects.get(pk=acme.schema).state == "PAUSED"
    operator.post(f"{address}/pause/")  # twice is once
    operator.post(SHARES, {"action": "resume_work", "_selected_action": [acme.schema]})
    assert TenantShare.objects.get(pk=acme.schema).state == "ACTIVE"

    events = Event.objects.filter(name__startswith="jobs.tenant.").order_by("pk")
    assert list(events.values_list("name", "actor_label", "target_label")) == [
        ("jobs.tenant.paused", "op@example.com", "acme"),
        ("jobs.tenant.resumed", "op@example.com", "acme"),
    ]


def test_the_platforms_own_work_is_never_paused(operator, acme):
    TenantShare.objects.get_or_create(schema="public")
    operator.post(f"{SHARES}public/pause/")
    assert TenantShare.objects.get(pk="public").state == "ACTIVE"


def test_the_work_of_a_suspended_tenant_is_resumed_with_the_tenant_alone(operator, acme):
    suspend_tenant(tenant=Tenant.objects.get(slug="acme"))
    answer = operator.post(f"{SHARES}{acme.schema}/resume/", follow=True)
    assert "Resume the tenant itself" in answer.text
    assert TenantShare.objects.get(pk=acme.schema).state == "PAUSED"


def test_weight_and_cap_are_changed_and_nothing_else(operator, acme):
    TenantShare.objects.filter(pk=acme.schema).update(vtime=5)
    address = f"{SHARES}{acme.schema}/change/"
    assert operator.get(address).status_code == 200
    answer = operator.post(address, {"weight": "2.5", "cap": "4"})
    share = TenantShare.objects.get(pk=acme.schema)
    assert (answer.status_code, share.weight, share.cap, share.vtime) == (302, 2.5, 4, 5)
    event = Event.objects.get(name="jobs.tenant.share-changed")
    assert event.data["after"] == {"weight": 2.5, "cap": 4}


@pytest.mark.parametrize(
    ("weight", "cap"), [("0", "2"), ("-1", "2"), ("nan", "2"), ("1", "0"), ("1", "1000"), ("", "")]
)
def test_a_weight_or_cap_that_makes_no_sense_is_refused(operator, acme, weight, cap):
    answer = operator.post(f"{SHARES}{acme.schema}/change/", {"weight": weight, "cap": cap})
    share = TenantShare.objects.get(pk=acme.schema)
    assert (answer.status_code, share.weight, share.cap) == (200, 1, 2)


def test_a_thousand_tenants_cost_as_many_queries_as_two(operator, acme, globex):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert operator.get(SHARES, {"o": "-4"}).status_code == 200
        return len(seen)

    queries()  # the first of a session writes it
    few = queries()
    shares = [TenantShare(schema=f"t_{n:08d}", slug=f"many-{n}") for n in range(1000)]
    TenantShare.objects.bulk_create(shares)
    jobs = [Job(schema=one.schema, slug=one.slug, kind="test.append", target="x") for one in shares]
    Job.objects.bulk_create(jobs)
    assert queries() == few
