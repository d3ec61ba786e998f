"""Asking for work: in the caller's transaction, once, one at a target."""

from __future__ import annotations

import pytest
from django.db import transaction

from core.tenancy import TenantRef, in_public, in_tenant
from jobs import engine, services
from jobs.kinds import UnknownKind
from jobs.models import Job


class Oops(Exception):
    pass


def submit_and_oops() -> None:
    with transaction.atomic():
        services.submit("test.append", target="orders", payload={})
        raise Oops


def test_a_job_is_rolled_back_with_the_transaction_that_asked_for_it_and_so_is_its_bell(
    as_acme: TenantRef,
) -> None:
    with in_public():
        bells = engine.pending()
    with pytest.raises(Oops):
        submit_and_oops()
    assert not services.is_active("test.append", "orders")
    with in_public():
        assert engine.pending() == bells


def test_the_same_idempotency_key_gives_the_same_job(as_acme: TenantRef) -> None:
    first = services.submit("test.append", target="orders", payload={}, idem_key="once")
    assert services.submit("test.append", target="customers", payload={}, idem_key="once") == first


def test_the_same_idempotency_key_of_two_tenants_gives_two_jobs(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        ours = services.submit("test.append", target="orders", payload={}, idem_key="once")
    with in_tenant(globex):
        assert services.submit("test.append", target="orders", payload={}, idem_key="once") != ours


@pytest.mark.case("C01")
def test_a_second_job_at_the_same_target_is_refused_while_the_first_is_active(as_acme: TenantRef) -> None:
    services.submit("test.append", target="orders", payload={})
    with pytest.raises(services.TargetBusy, match="Another job is working on orders now"):
        services.submit("test.append", target="orders", payload={})
    services.submit("test.append", target="customers", payload={})


def test_an_unknown_kind_is_refused_at_once(as_acme: TenantRef) -> None:
    with pytest.raises(UnknownKind):
        services.submit("test.nothing", target="orders", payload={})


def test_a_job_belongs_to_the_tenant_it_was_asked_for_in(as_acme: TenantRef) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 2})
    assert (job.tenant, job.payload) == (as_acme, {"steps": 2})


@pytest.mark.case("T21")
def test_work_asked_for_outside_of_tenants_is_the_platforms_own(db: None) -> None:
    job = services.submit("test.append", target="spares", payload={})
    assert (job.schema, job.slug, job.tenant) == ("public", "", None)


def test_a_tenant_sees_its_own_jobs_alone(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        theirs = services.submit("test.append", target="orders", payload={})
    with in_tenant(acme):
        with pytest.raises(services.JobNotFound):
            services.status(theirs.pk)
        with pytest.raises(services.JobNotFound):
            services.cancel(theirs.pk)
    with in_public():
        assert services.status(theirs.pk).state == Job.objects.get(pk=theirs.pk).state == "QUEUED"
