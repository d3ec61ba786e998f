"""Whose turn it is."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef, in_public, in_tenant
from jobs import claim, runner, services
from jobs.models import Job, TenantShare
from jobs.tests.conftest import EffectsOf


def submit(tenant: TenantRef, count: int, priority: int = 100) -> list[Job]:
    with in_tenant(tenant):
        return [
            services.submit("test.append", target=f"{priority}-{n}", payload={}, priority=priority)
            for n in range(count)
        ]


def take_turns(count: int) -> list[str]:
    turns = []
    with in_public():
        for _ in range(count):
            job = claim.claim()
            assert job
            turns.append(job.slug)
            runner.run_slice(job)
    return turns


def test_fifty_jobs_of_one_tenant_do_not_delay_the_one_of_another(
    acme: TenantRef, globex: TenantRef, effects_of: EffectsOf
) -> None:
    submit(acme, 50)
    take_turns(3)
    submit(globex, 1)
    assert take_turns(2).count("globex") == 1


def test_a_tenant_back_from_idling_gets_its_turn_and_not_all_that_it_missed(
    acme: TenantRef, globex: TenantRef, effects_of: EffectsOf
) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(vtime=1000)
    submit(acme, 20)
    submit(globex, 20)
    turns = take_turns(20)
    assert turns[0] == "globex"
    assert turns.count("acme") >= 5


def test_a_tenant_at_its_cap_lets_others_go_first(acme: TenantRef, globex: TenantRef) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(vtime=-1000)
    submit(acme, 3)
    submit(globex, 1)
    with in_public():
        taken = [job.slug for job in iter(claim.claim, None)]
    assert taken == ["acme", "acme", "globex"]


def test_within_a_tenant_the_lower_priority_number_goes_first(acme: TenantRef, effects_of: EffectsOf) -> None:
    late, urgent = submit(acme, 1)[0], submit(acme, 1, priority=10)[0]
    with in_public():
        assert [job.pk for job in iter(claim.claim, None)] == [urgent.pk, late.pk]


def test_a_paused_tenants_work_waits_and_goes_on_where_it_stood(
    acme: TenantRef, effects_of: EffectsOf
) -> None:
    with in_tenant(acme):
        job = services.submit("test.append", target="orders", payload={"steps": 2})
        services.pause_tenant(acme.schema)
        assert services.run_pending() == 0
        with pytest.raises(services.TenantPaused):
            services.run_until_done(job.pk)
        services.resume_tenant(acme.schema)
        assert services.run_pending() == 2
    assert effects_of(acme, job.pk) == ["step 0", "step 1"]


def test_a_forgotten_tenant_leaves_no_job(acme: TenantRef, globex: TenantRef) -> None:
    submit(acme, 2)
    kept = submit(globex, 1)
    services.forget_tenant(acme.schema)
    assert list(Job.objects.filter(kind="test.append")) == kept
    assert not TenantShare.objects.filter(pk=acme.schema).exists()
