"""The query by which KEDA scales the workers, run as it is rendered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from core.tenancy import TenantRef
from jobs.models import Job, TenantShare
from tests.helm.engine import rendered, values_of


def queue_age() -> float:
    """Return what the database answers to the rendered ScaledObject's query, in seconds."""
    scaler = next(each for each in rendered(values_of("keda")) if each["kind"] == "ScaledObject")
    with connection.cursor() as cursor:
        cursor.execute(scaler["spec"]["triggers"][0]["metadata"]["query"])
        ((found,),) = cursor.fetchall()
    assert isinstance(found, float)  # what KEDA reads into a number
    return found


def waiting(tenant: TenantRef, target: str, minutes: float, **fields: object) -> Job:
    since = Now() - timedelta(minutes=minutes)
    job = Job.objects.create(schema=tenant.schema, slug=tenant.slug, kind="a.kind", target=target)
    Job.objects.filter(pk=job.pk).update(**{"created_at": since, "not_before": since, **fields})
    return job


@pytest.fixture
def shares(acme: TenantRef, globex: TenantRef) -> None:
    Job.objects.all().delete()
    for tenant in (acme, globex):
        TenantShare.objects.update_or_create(schema=tenant.schema, defaults={"slug": tenant.slug, "cap": 1})


def test_nothing_waits(shares, acme):
    assert queue_age() == 0


def test_it_is_the_age_of_the_oldest_job_no_worker_has_begun(shares, acme, globex):
    waiting(acme, "1", minutes=3)
    waiting(globex, "1", minutes=10)
    assert 600 <= queue_age() < 660


def test_a_job_between_two_slices_does_not_wait(shares, acme):
    waiting(acme, "1", minutes=10, step=4, started_at=Now() - timedelta(minutes=9))
    assert queue_age() == 0


def test_a_job_for_later_does_not_wait(shares, acme):
    waiting(acme, "1", minutes=10, not_before=Now() + timedelta(hours=1))
    assert queue_age() == 0


def test_a_job_waits_from_its_time_on(shares, acme):
    waiting(acme, "1", minutes=600, not_before=Now() - timedelta(minutes=2))
    assert 120 <= queue_age() < 180


def test_what_more_workers_could_not_take_does_not_count(shares, acme, globex):
    waiting(acme, "1", minutes=30, state="RUNNING", started_at=Now() - timedelta(minutes=29))
    waiting(acme, "2", minutes=20)  # its tenant has as many running as it may
    assert queue_age() == 0
    waiting(globex, "1", minutes=5)
    assert 300 <= queue_age() < 360


def test_a_paused_tenants_work_does_not_wait(shares, acme):
    waiting(acme, "1", minutes=10)
    TenantShare.objects.filter(schema=acme.schema).update(state="PAUSED", paused_by="OPERATOR")
    assert queue_age() == 0


def test_after_a_pause_it_waits_from_the_resumption_on(shares, acme):
    waiting(acme, "1", minutes=600)
    TenantShare.objects.filter(schema=acme.schema).update(resumed_at=Now() - timedelta(minutes=1))
    assert 60 <= queue_age() < 120


def test_one_more_worker_for_each_so_many_seconds():
    scaler = next(each for each in rendered(values_of("keda")) if each["kind"] == "ScaledObject")
    (trigger,) = scaler["spec"]["triggers"]
    assert (trigger["metricType"], trigger["metadata"]["targetQueryValue"]) == ("AverageValue", "30")
