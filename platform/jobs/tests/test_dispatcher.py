"""Hourly work: each slot once, one catch-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from core.tenancy import TenantRef
from jobs import dispatcher, services
from jobs.models import Job, TenantShare

START = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)


def slots(schema: str, kind: str = "test.append") -> list[str]:
    found = Job.objects.filter(schema=schema, kind=kind).order_by("id")
    return [job.payload["slot"][:13] for job in found]


@pytest.fixture
def tenant(db: None) -> TenantRef:
    ref = TenantRef("t_00000000", "slow")
    services.admit_tenant(ref, now=START)
    return ref


def dispatch(tenant: TenantRef, at: datetime) -> None:
    services.dispatch_hourly(now=at)


def test_a_new_tenant_begins_with_the_next_hour_at_its_own_offset(tenant: TenantRef) -> None:
    first = dispatcher.first_due(tenant.schema, START)
    assert START + timedelta(hours=1) <= first < START + timedelta(hours=2)
    dispatch(tenant, first - timedelta(seconds=1))
    assert slots(tenant.schema) == []
    dispatch(tenant, first)
    assert slots(tenant.schema) == slots(tenant.schema, "test.stumble") == ["2026-11-20T01"]


def test_the_slot_is_named_and_keyed_by_its_utc_hour(tenant: TenantRef) -> None:
    dispatch(tenant, dispatcher.first_due(tenant.schema, START))
    job = Job.objects.get(schema=tenant.schema, kind="test.append")
    assert job.payload == {"slot": "2026-11-20T01:00:00+00:00"}
    assert job.idem_key == "t_00000000:test.append:2026-11-20T01:00:00+00:00"


@pytest.mark.case("I12")
@pytest.mark.parametrize("hours", [7, 10])
def test_after_an_outage_the_latest_due_hour_is_caught_up_once(tenant: TenantRef, hours: int) -> None:
    first = dispatcher.first_due(tenant.schema, START)
    dispatch(tenant, first)
    for _ in range(3):
        dispatch(tenant, first + timedelta(hours=hours, minutes=1))
    dispatch(tenant, first + timedelta(hours=hours + 1))
    assert slots(tenant.schema) == [
        "2026-11-20T01",
        f"2026-11-20T{1 + hours:02}",
        f"2026-11-20T{2 + hours:02}",
    ]


def test_a_paused_tenant_gets_no_hourly_work(tenant: TenantRef) -> None:
    services.pause_tenant(tenant.schema)
    dispatch(tenant, START + timedelta(hours=5))
    assert slots(tenant.schema) == []


def test_an_hour_that_still_runs_does_not_swallow_the_next(tenant: TenantRef) -> None:
    first = dispatcher.first_due(tenant.schema, START)
    dispatch(tenant, first)
    dispatch(tenant, first + timedelta(hours=1))
    assert slots(tenant.schema) == ["2026-11-20T01", "2026-11-20T02"]


@pytest.fixture
def hundred(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[str]]:
    """A hundred committed shares; no schemas are needed to dispatch."""
    refs = [TenantRef(f"t_hour{n:06}", f"hour-{n}") for n in range(100)]
    schemas = [ref.schema for ref in refs]
    with django_db_blocker.unblock():
        try:
            for ref in refs:
                services.admit_tenant(ref, now=START)
            yield schemas
        finally:
            Job.objects.filter(schema__in=schemas).delete()
            TenantShare.objects.filter(schema__in=schemas).delete()
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM django_q_ormq")


def test_four_dispatchers_at_once_give_a_hundred_tenants_each_hour_of_a_day_once(hundred: list[str]) -> None:
    # Due times of other tenants lie in the real present and are not reached.
    steps = [START + timedelta(minutes=10 * n) for n in range(6 * 26)]

    def run() -> None:
        try:
            for at in steps:
                services.dispatch_hourly(now=at)
        finally:
            connection.close()

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(
        Job.objects.filter(
            schema__in=hundred, kind="test.append", target__startswith="2026-11-20T"
        ).values_list("schema", "target")
    )
    assert set(counts.values()) == {1}
    assert len(counts) == 100 * 23  # 01:00 to 23:00; a tenant's first hour is the one after its admission
