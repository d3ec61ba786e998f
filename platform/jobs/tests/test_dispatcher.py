"""Hourly work: each slot once, one catch-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection

from core.tenancy import TenantRef, in_tenant
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
    # One that fell hours behind would give up the hours between for the latest.
    together = Barrier(4, timeout=60)

    def run() -> None:
        try:
            for at in steps:
                together.wait()
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


# ---- slots of a quarter of an hour, where a tenant needs them


def set_minutes(tenant: TenantRef, minutes: int, at: datetime) -> None:
    with in_tenant(tenant):
        services.set_slot_minutes(minutes, now=at)


def names(schema: str, kind: str) -> list[str]:
    return [job.payload["slot"][11:16] for job in Job.objects.filter(schema=schema, kind=kind).order_by("id")]


def look_often(tenant: TenantRef, first: datetime, last: datetime) -> None:
    for number in range(int((last - first) / timedelta(minutes=4)) + 1):
        dispatch(tenant, first + timedelta(minutes=4 * number))
    dispatch(tenant, last)


def test_a_tenant_with_quarters_has_a_job_for_each_and_its_hourly_work_once_an_hour(
    tenant: TenantRef,
) -> None:
    set_minutes(tenant, 15, START)
    look_often(tenant, START, START + timedelta(hours=2, minutes=14))
    quarters = [f"{hour:02}:{minute:02}" for hour in range(2) for minute in (0, 15, 30, 45)]
    assert names(tenant.schema, "test.refuse") == [*quarters, "02:00"]
    assert names(tenant.schema, "test.append") == ["00:00", "01:00", "02:00"]


def test_an_offset_is_stable_and_shorter_than_the_slot() -> None:
    for number in range(500):
        schema = f"t_any{number:05}"
        assert timedelta(0) <= dispatcher.offset(schema, 15) < timedelta(minutes=15)
        assert dispatcher.offset(schema) == dispatcher.first_due(schema, START) - START - timedelta(hours=1)


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_the_slots_length_doubles_no_slot_and_loses_no_hour(tenant: TenantRef, seed: int) -> None:
    dice = Random(seed)
    changes = sorted(dice.sample(range(1, 12 * 60), 6))
    for number, at in enumerate([*changes, 12 * 60]):
        since = changes[number - 1] + 1 if number else 0
        look_often(tenant, START + timedelta(minutes=since), START + timedelta(minutes=at))
        set_minutes(tenant, (15, 60)[number % 2], START + timedelta(minutes=at))
    hours = names(tenant.schema, "test.append")
    assert len(set(hours)) == len(hours)
    # The last hour may not be due yet; the first is the one after the admission, or begun by the first quarter.
    assert {f"{hour:02}:00" for hour in range(1, 11)} <= set(hours)
    exported = names(tenant.schema, "test.refuse")
    assert len(set(exported)) == len(exported)
    # An hour that was not begun yet is dealt with in one of its own quarters.
    minutes = sorted(int(one[:2]) * 60 + int(one[3:]) for one in exported)
    assert max(late - early for early, late in pairwise(minutes)) <= 60 + 45


def test_what_is_overdue_when_the_length_changes_is_still_caught_up(tenant: TenantRef) -> None:
    late = START + timedelta(hours=5, minutes=59)
    set_minutes(tenant, 15, late)
    dispatch(tenant, late)
    assert names(tenant.schema, "test.append") == ["05:00"]
    is_begun = dispatcher.offset(tenant.schema, 15) <= timedelta(minutes=14)
    assert names(tenant.schema, "test.refuse") == ["05:45" if is_begun else "05:30"]


def test_slots_have_lengths_that_divide_an_hour(tenant: TenantRef) -> None:
    with in_tenant(tenant), pytest.raises(ValueError, match="15 or 60 minutes, not 20"):
        services.set_slot_minutes(20)


def test_a_pause_is_remembered_with_its_reason(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        assert services.last_pause() is None
    services.pause_tenant(tenant.schema, by=TenantShare.PausedBy.SUSPENDED)
    with in_tenant(tenant):
        lasting = services.last_pause()
    assert lasting is not None
    assert (lasting.until, lasting.by) == (None, TenantShare.PausedBy.SUSPENDED)
    services.resume_tenant(tenant.schema)
    services.resume_tenant(tenant.schema)  # of what is not paused: changes nothing
    with in_tenant(tenant):
        over = services.last_pause()
    assert over is not None
    assert over.until is not None
    assert (over.since, over.by) == (lasting.since, lasting.by)
