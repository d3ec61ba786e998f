"""The judge of upgrades and recoveries sees what is lost, doubled, changed or left undone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from benchmarks.fleet import verdict
from benchmarks.fleet.people import Tenant, Write
from benchmarks.fleet.site import Site
from core.tenancy import TenantRef, in_tenant, leave_tenant
from datasets.rules import NewColumn
from datasets.services import create_dataset
from exporter.services import request_export
from importer.services import confirm_import, create_import
from jobs.models import Job
from jobs.services import run_pending
from tests.conftest import database_url

SEEDED = 3


@pytest.fixture
def scene(
    committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker, tmp_path: Path
) -> Iterator[tuple[Site, Tenant]]:
    """A tenant with three records, a fourth that an import wrote, and an export, all as they were promised."""
    ref = committed_tenants[0]
    with django_db_blocker.unblock(), in_tenant(ref):
        columns = [
            NewColumn("no", "integer", is_required=True),
            NewColumn("v", "text"),
            NewColumn("w", "text"),
        ]
        dataset = create_dataset(title="Orders", columns=columns, key=["no"], by=None)
        for file in (b"no,v,w\n0,v0,w0\n1,v1,w1\n2,v2,w2\n", b"no,v,w\n2,later,w\n7,new,w\n"):
            job = create_import(dataset=dataset, file=io.BytesIO(file), name="o.csv", by=None)
            run_pending()
            job.refresh_from_db()
            confirm_import(job=job, by=None)
            run_pending()
        run = request_export(by=None, datasets=[dataset])
        run_pending()
        names = [f"c{column.pk}" for column in dataset.columns.order_by("pk")]
        tenant = Tenant(ref.slug, ref.schema, dataset.pk, names, SEEDED)
        tenant.writes[2].append(Write(2, "later", 10.0, 11.0))
        tenant.writes[7].append(Write(7, "new", 10.0, 11.0))
        tenant.runs[run.pk] = 10.0
        leave_tenant()
        yield Site(database_url(str(connection.settings_dict["NAME"])), tmp_path), tenant


def said(site: Site, tenant: Tenant, until_at: float = 0.0) -> list[str]:
    found = verdict.records(site, tenant, until_at=until_at) + verdict.runs(site, tenant, until_at=until_at)
    return found + [one for one in verdict.jobs(site) if tenant.slug in one]


def test_what_is_as_promised_is_left_alone(scene: tuple[Site, Tenant]) -> None:
    assert said(*scene) == []


def sql(statement: str) -> Callable[[Site, Tenant], None]:
    def act(site: Site, tenant: Tenant) -> None:
        table, (no, v, _) = f"{tenant.schema}.ds_{tenant.dataset}", tenant.columns
        site.sql(statement.format(table=table, no=no, v=v, schema=tenant.schema))

    return act


def promise(no: int, value: str) -> Callable[[Site, Tenant], None]:
    return lambda _site, tenant: tenant.writes[no].append(Write(no, value, 12.0, 13.0))


FAULTS: dict[str, Callable[[Site, Tenant], None]] = {
    "a value that was lost": promise(1, "never written"),
    "a record that was lost": promise(9, "never written"),
    "a record that is gone": sql("DELETE FROM {table} WHERE {no} = 0"),
    "a value nobody wrote": sql("UPDATE {table} SET {v} = 'somebody' WHERE {no} = 0"),
    "a version that is gone": sql(
        "DELETE FROM {table}_history WHERE history_id = (SELECT max(history_id) FROM {table}_history)"
    ),
    "a version twice": sql(
        "UPDATE {table} SET {v} = 'x' WHERE {no} = 7; UPDATE {table} SET {v} = 'new' WHERE {no} = 7"
    ),
    "a run that is gone": lambda _site, tenant: tenant.runs.update({9999: 10.0}),
    "a run that failed": sql("UPDATE {schema}.exporter_exportrun SET state = 'FAILED', error_code = 'x'"),
    "a job that failed": sql("UPDATE public.jobs_job SET state = 'FAILED' WHERE schema = '{schema}'"),
    "a slot twice": sql(
        "INSERT INTO public.jobs_job (schema, slug, kind, target, payload, priority, state, step, cursor, processed,"
        " busy_seconds, attempts, cancel_requested, error_code, error) SELECT schema, slug, 'exporter.run',"
        " n::text, '{{\"slot\": \"2026\"}}', 100, 'DONE', 0, '{{}}', 0, 0, 0, false, '', ''"
        " FROM public.jobs_tenantshare, generate_series(1, 2) n WHERE schema = '{schema}'"
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_seen(scene: tuple[Site, Tenant], fault: Callable[[Site, Tenant], None]) -> None:
    fault(*scene)
    assert len(said(*scene)) > 0


def test_after_a_restore_what_came_later_may_be_there_or_not_and_what_came_before_must(
    scene: tuple[Site, Tenant],
) -> None:
    site, tenant = scene
    promise(1, "never written")(site, tenant)
    assert said(site, tenant, until_at=12.5) == []
    assert len(said(site, tenant, until_at=14.0)) == 1
    assert verdict.settle(site, tenant) == 2
    assert said(site, tenant) == []
    assert Job.objects.filter(schema=tenant.schema).exists()
