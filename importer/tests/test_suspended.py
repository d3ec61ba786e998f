"""A tenant is suspended, or deleted, while its import goes on: the import ends whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

import jobs.services
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from importer import services, staging
from importer.models import ImportJob, State
from importer.tests.tools import import_text, make_orders, person, records, upload, versions, work
from importer.undo import undo_import
from jobs import claim, runner
from jobs.models import Job
from jobs.models import State as JobState
from tenants.deleting import purge_tenant
from tenants.models import Tenant
from tenants.services import resume_tenant, suspend_tenant

OTHER = "id,status,amount,note\n1,paid,11.00,other\n4,new,4.00,new\n"


def a_preview(dataset: Dataset) -> ImportJob:
    return services.create_import(dataset=dataset, file=io.BytesIO(OTHER.encode()), name="o.csv", by=person())


def a_merge(dataset: Dataset) -> ImportJob:
    job = upload(dataset, OTHER)
    services.confirm_import(job=job, by=person())
    return job


def an_undo(dataset: Dataset) -> ImportJob:
    return undo_import(job=import_text(dataset, OTHER), by=person())


def a_confirmed_undo(dataset: Dataset) -> ImportJob:
    job = work(an_undo(dataset))
    services.confirm_import(job=job, by=person())
    return job


def tenant_row(tenant: TenantRef) -> Tenant:
    return Tenant.objects.get(schema_name=tenant.schema)


def job_of(found: ImportJob) -> int:
    found.refresh_from_db()
    return int(found.merge_job_id or found.preview_job_id)


def content(dataset: Dataset) -> tuple[list[tuple[Any, ...]], int]:
    return records(dataset), versions(dataset)


@pytest.mark.case("C09")
@pytest.mark.parametrize("in_its_slice", [False, True], ids=["between slices", "within a slice"])
@pytest.mark.parametrize(
    ("begin", "failed", "done"),
    [
        (a_preview, State.PREVIEW_FAILED, State.PREVIEW_SUCCEEDED),
        (a_merge, State.IMPORT_FAILED, State.IMPORT_SUCCEEDED),
        (an_undo, State.PREVIEW_FAILED, State.PREVIEW_SUCCEEDED),
        (a_confirmed_undo, State.IMPORT_FAILED, State.IMPORT_SUCCEEDED),
    ],
)
def test_an_import_ends_with_the_suspension_and_can_be_started_again(
    acme: TenantRef,
    globex: TenantRef,
    begin: Callable[[Dataset], ImportJob],
    failed: State,
    done: State,
    in_its_slice: bool,
) -> None:
    with in_tenant(globex):
        theirs = upload(make_orders())
        services.confirm_import(job=theirs, by=person())
    with in_tenant(acme):
        dataset = make_orders()
        import_text(dataset)
        found = begin(dataset)
        before = content(dataset)
    with in_public():
        claimed = claim.claim_one(job_of_in(acme, found)) if in_its_slice else None
    suspend_tenant(tenant=tenant_row(acme))
    if claimed is not None:
        runner.run_slice(claimed)  # a worker is at it; what this slice does stands or falls as a whole
    with in_tenant(acme):
        found = work(found)
        is_through = claimed is not None and found.state == done  # where one slice is all there was to do
        if not is_through:
            assert (found.state, found.error_code) == (failed, "suspended")
            assert found.error.startswith("The tenant was suspended or became read-only meanwhile.")
            assert content(dataset) == before
            assert bool(leftovers(found)) == (failed == State.IMPORT_FAILED)  # for whoever starts it again
            assert job_state(found) == (JobState.FAILED, "suspended")
    with in_tenant(globex):
        assert work(theirs).state == State.IMPORT_SUCCEEDED
    resume_tenant(tenant=tenant_row(acme))
    with in_tenant(acme):
        assert jobs.services.run_pending() == 0  # nothing goes on by itself
        if not is_through:
            jobs.services.retry(job_of(found))
            assert work(found).state == done
            assert (content(dataset) == before) == (done == State.PREVIEW_SUCCEEDED)


def job_of_in(tenant: TenantRef, found: ImportJob) -> int:
    with in_tenant(tenant):
        return job_of(found)


def job_state(found: ImportJob) -> tuple[str, str]:
    status = jobs.services.status(job_of(found))
    return status.state, status.error_code


def leftovers(found: ImportJob) -> list[str]:
    """The tables of what an import has staged or planned."""
    names = [f"{prefix}_{found.pk}" for prefix in staging.PREFIXES]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY(%s)",
            [names],
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.case("C09")
def test_a_tenant_deleted_while_its_import_goes_on_leaves_nothing(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        theirs = make_orders()
        import_text(theirs)
    with in_tenant(acme):
        found = a_merge(make_orders())
        number = job_of(found)
    with in_public():
        claimed = claim.claim_one(number)
    assert claimed is not None
    suspend_tenant(tenant=tenant_row(acme))
    Tenant.objects.filter(slug=acme.slug).update(state="DELETING", purge_after=now())
    purge_tenant(tenant=tenant_row(acme), now=now())
    runner.run_slice(claimed)  # the worker that had it: its tenant is not there any more
    jobs.services.run_pending()
    assert not Job.objects.filter(schema=acme.schema).exists()
    with in_tenant(globex):
        assert len(records(theirs)) == 3
        assert import_text(theirs, OTHER).state == State.IMPORT_SUCCEEDED
