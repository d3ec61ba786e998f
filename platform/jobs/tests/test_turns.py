"""Whose turn it is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from jobs import claim, runner, services
from jobs.kinds import Step
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


def work(job: Job, seconds: float) -> None:
    """End a slice of a claimed job as if it had taken so long; the job goes on."""
    with in_public():
        with transaction.atomic():
            runner._advance(job, Step(done=False), seconds)
        runner._charge(job, seconds)


def take() -> Job:
    with in_public():
        job = claim.claim()
    assert job
    return job


def turns_of_a_second(count: int) -> list[str]:
    turns = []
    for _ in range(count):
        job = take()
        work(job, 1)
        turns.append(job.slug)
    return turns


def test_fifty_jobs_of_one_tenant_do_not_delay_the_one_of_another(
    acme: TenantRef, globex: TenantRef, effects_of: EffectsOf
) -> None:
    submit(acme, 50)
    take_turns(3)
    submit(globex, 1)
    assert take_turns(2).count("globex") == 1


def test_a_tenant_back_from_idling_gets_its_turn_and_not_all_that_it_missed(
    acme: TenantRef, globex: TenantRef
) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(vtime=1000)
    submit(acme, 1)
    submit(globex, 1)
    turns = turns_of_a_second(20)
    assert turns[0] == "globex"
    assert turns.count("acme") >= 5


def test_a_tenant_at_its_cap_lets_others_go_first(acme: TenantRef, globex: TenantRef) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(vtime=-1000)
    submit(acme, 3)
    submit(globex, 1)
    with in_public():
        taken = [job.slug for job in iter(claim.claim, None)]
    assert taken == ["acme", "acme", "globex"]


def test_tenants_get_the_same_time_and_not_the_same_number_of_slices(
    acme: TenantRef, globex: TenantRef
) -> None:
    submit(acme, 1)
    submit(globex, 1)
    worked = {"acme": 0.0, "globex": 0.0}
    for _ in range(60):
        job = take()
        seconds = {"acme": 1.0, "globex": 0.1}[job.slug]
        work(job, seconds)
        worked[job.slug] += seconds
    assert worked["globex"] == pytest.approx(worked["acme"], abs=1.01)


def test_a_tenant_of_twice_the_weight_gets_twice_the_time(acme: TenantRef, globex: TenantRef) -> None:
    TenantShare.objects.filter(pk=globex.schema).update(weight=2)
    submit(acme, 1)
    submit(globex, 1)
    turns = turns_of_a_second(30)
    assert 19 <= turns.count("globex") <= 21


def test_what_runs_now_is_counted_before_it_is_paid_for(acme: TenantRef, globex: TenantRef) -> None:
    TenantShare.objects.filter(pk=globex.schema).update(vtime=4)
    submit(acme, 2)
    submit(globex, 1)
    assert [take().slug for _ in range(3)] == ["acme", "globex", "acme"]


def test_while_one_tenant_keeps_both_workers_busy_another_waits_for_one_slice_at_most(
    acme: TenantRef, globex: TenantRef
) -> None:
    submit(acme, 5)
    both = [take(), take()]
    submit(globex, 1)
    work(both[0], 5)
    assert take().slug == "globex"


def test_a_tenant_may_be_held_to_one_job_at_a_time(acme: TenantRef, globex: TenantRef) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(cap=1)
    submit(acme, 3)
    with in_public():
        assert len(list(iter(claim.claim, None))) == 1


def test_work_for_later_holds_up_neither_its_own_tenant_nor_another(
    acme: TenantRef, globex: TenantRef
) -> None:
    TenantShare.objects.filter(pk=acme.schema).update(vtime=-1000)
    with in_tenant(acme):
        later = now() + timedelta(hours=1)
        services.submit("test.append", target="later", payload={}, priority=1, not_before=later)
        services.submit("test.append", target="now", payload={})
    submit(globex, 1)
    with in_public():
        assert [job.target for job in iter(claim.claim, None)] == ["now", "100-0"]


def test_a_kind_there_is_no_room_for_gives_its_turn_to_the_next_job(
    acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        long = services.submit("test.long", target="orders", payload={}, priority=1)
    submit(acme, 1)
    with in_public():
        taken = claim.claim(without=("test.long",))
        assert taken and taken.kind == "test.append"
        assert claim.claim(without=("test.long",)) is None
        assert claim.claim() == long


def test_others_wait_only_while_nobody_works_for_them(acme: TenantRef, globex: TenantRef) -> None:
    submit(acme, 3)
    with in_public():
        claim.claim()
        assert not claim.others_wait()
        submit(globex, 1)
        assert claim.others_wait()
        services.pause_tenant(globex.schema)
        assert not claim.others_wait()


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
