"""Removing jobs that ended long ago."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from core.clock import now
from core.tenancy import TenantRef
from jobs import services
from jobs.models import Job
from jobs.purging import purge


def job_of(tenant: TenantRef, state: str, days: float, number: int = 0) -> Job:
    return Job.objects.create(
        schema=tenant.schema, slug=tenant.slug, kind="test.append", target=f"{state} {days} {number}",
        state=state, finished_at=now() - timedelta(days=days) if state not in ("QUEUED", "RUNNING") else None,
        created_at=now() - timedelta(days=days),
    )  # fmt: skip


def test_what_ended_long_ago_goes_and_failures_stay_three_times_as_long(acme: TenantRef) -> None:
    kept = {
        job_of(acme, state, days).target
        for state, days in (("DONE", 29), ("CANCELLED", 29), ("FAILED", 31), ("FAILED", 89))
    }
    for state, days in (("DONE", 31), ("CANCELLED", 31), ("FAILED", 91)):
        job_of(acme, state, days)
    assert purge() == 3
    assert set(Job.objects.filter(schema=acme.schema).values_list("target", flat=True)) == kept
    assert purge() == 0


def test_active_work_is_never_purged_however_old(acme: TenantRef) -> None:
    for state in ("QUEUED", "RUNNING"):
        job_of(acme, state, 4000)
    assert purge() == 0


def test_the_time_jobs_are_kept_is_a_setting(acme: TenantRef, settings: Any) -> None:
    settings.ROWHOUSE_JOB_KEEP_DAYS = 1
    job_of(acme, "DONE", 2)
    assert purge() == 1
    settings.ROWHOUSE_JOB_KEEP_DAYS = 10**9  # "for ever"
    job_of(acme, "DONE", 4000)
    assert purge() == 0


def test_a_moment_can_be_given(acme: TenantRef) -> None:
    job = job_of(acme, "DONE", 0)
    assert purge() == 0
    assert purge(now() + timedelta(days=31)) > 0  # others may have ended too
    assert not Job.objects.filter(pk=job.pk).exists()


def test_it_goes_in_batches_up_to_its_limit(acme: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.purging.BATCH", 2)
    for number in range(7):
        job_of(acme, "DONE", 40, number)
    assert purge(limit=5) == 5
    assert purge(limit=5) == 2


def test_a_job_started_again_is_not_purged_for_its_first_end(acme: TenantRef) -> None:
    job = job_of(acme, "FAILED", 400)
    services.retry(job.pk)
    assert purge() == 0


def test_the_oldest_ends_are_found_by_an_index(acme: TenantRef) -> None:
    from jobs.purging import PURGE  # noqa: PLC0415 -- beside its one use

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {PURGE}", {"now": None, "days": 30, "failed_days": 90, "limit": 500})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "jobs_by_end" in plan
