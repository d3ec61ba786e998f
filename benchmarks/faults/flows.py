"""Small complete flows of one tenant whose outcome is known beforehand.

A flow is a list of acts: what a person does is plain code, what the workers do is handed to `part`, so that
the caller decides what goes wrong in it. Import this after Django is set up.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import jobs.services
from benchmarks.faults import flows_imports
from benchmarks.faults.checker import BY_FAULTS
from benchmarks.faults.flows_imports import file_for
from benchmarks.faults.nth_checks import (
    IMPORTED,
    ITEMS,
    Broken,
    Site,
    active_jobs,
    check_export,
    check_import,
    check_site,
    counts_of,
    same,
)
from benchmarks.faults.nth_child import Work
from core.tenancy import TenantRef, in_public, in_tenant
from exporter.models import ExportRun
from exporter.services import cancel_export, request_export
from importer.models import ImportJob
from importer.services import cancel_import, confirm_import, create_import
from jobs.models import Job, TenantShare

if TYPE_CHECKING:
    from benchmarks.faults.ground import Ground

__all__ = ["FLOWS", "Broken", "Site", "active_jobs", "alone", "make_site"]
Part = Callable[[Work], None]


def make_site(ground: Ground, prefix: str) -> Site:
    """Provision the tenant and fill its datasets by two imports that nothing disturbs."""
    tenant = ground.tenants(1, prefix)[0]
    site = Site(ground, tenant, ground.dataset(tenant, "Orders"), ground.dataset(tenant, "Items"))
    with alone(tenant):
        import_(site, undisturbed)
        with in_tenant(tenant):
            job = create_import(dataset=site.items, file=io.BytesIO(ITEMS), name="items.csv", by=None)
        Work().do()
        with in_tenant(tenant):
            confirm_import(job=job, by=None)
        Work().do()
    return site


@contextmanager
def alone(tenant: TenantRef) -> Iterator[None]:
    """Pause everyone else meanwhile, so that only this tenant's work is found."""
    others = TenantShare.objects.filter(state=TenantShare.State.ACTIVE).exclude(schema=tenant.schema)
    with in_public():
        paused = list(others.values_list("schema", flat=True))
        TenantShare.objects.filter(schema__in=paused).update(state=TenantShare.State.PAUSED)
    try:
        yield
    finally:
        with in_public():
            TenantShare.objects.filter(schema__in=paused).update(state=TenantShare.State.ACTIVE)


def undisturbed(work: Work) -> None:
    """Play a worker's part with nothing going wrong."""
    work.do()


# ---- the flows -------------------------------------------------------------------------------------------


def import_(site: Site, part: Part) -> None:
    """Upload, preview, confirm, merge and tidy a file of created, changed, unchanged and rejected rows."""
    file, plan = file_for(site)
    with in_tenant(site.tenant):
        job = create_import(dataset=site.orders, file=io.BytesIO(file), name="orders.csv", by=None)
    part(Work())
    with in_tenant(site.tenant):
        job.refresh_from_db()
        same("the preview", (job.state, counts_of(job)), ("PREVIEW_SUCCEEDED", plan.counts), job.error)
        confirm_import(job=job, by=None)
    part(Work())
    site.records |= plan.written
    site.changes += len(plan.written)
    with in_tenant(site.tenant):
        check_import(site, job.pk, plan)
    check_site(site)


def export(site: Site, part: Part) -> None:
    """Export two datasets and prune the files beyond the newest."""
    with in_tenant(site.tenant):
        run = request_export(by=None, datasets=[site.orders, site.items])
    part(Work())
    with in_tenant(site.tenant):
        check_export(site, run.pk, ["requested", "succeeded"])
    check_site(site)


def hour(site: Site, part: Part) -> None:
    """Tick at the tenant's next hour, which submits its scheduled export, and do it."""
    with in_public():
        share = TenantShare.objects.get(schema=site.tenant.schema)
        assert share.next_hour_at is not None
        due = share.next_hour_at + timedelta(seconds=1)

    part(Work(due))
    with in_tenant(site.tenant):
        runs = ExportRun.objects.filter(slot__isnull=False).order_by("-slot")
        slots = list(runs.values_list("slot", flat=True)[:2])
        if site.slot is not None:
            same("the hours exported", slots, [site.slot + timedelta(hours=1), site.slot])
        site.slot = slots[0]
        check_export(site, runs[0].pk, ["succeeded"])
    check_site(site)


def cancel(site: Site, part: Part) -> None:
    """Cancel an import before its preview, an import before its merge, and an export, all still waiting."""
    file, _plan = file_for(site)
    with in_tenant(site.tenant):
        first = create_import(dataset=site.orders, file=io.BytesIO(file), name="cancelled.csv", by=None)
        cancel_import(job=first, by=None)
        run = request_export(by=None, datasets=[site.orders])
        cancel_export(run=run, by=None)
    part(Work())
    with in_tenant(site.tenant):
        second = create_import(dataset=site.orders, file=io.BytesIO(file), name="cancelled.csv", by=None)
    Work().do()
    with in_tenant(site.tenant):
        second.refresh_from_db()
        confirm_import(job=second, by=None)
        cancel_import(job=ImportJob.objects.get(pk=second.pk), by=None)
    part(Work())
    with in_tenant(site.tenant):
        for job in ImportJob.objects.filter(pk__in=[first.pk, second.pk]):
            same("a cancelled import", (job.state, job.error_code), ("CANCELLED", "cancelled"), job.error)
        run.refresh_from_db()
        same("a cancelled export", (run.state, run.files.count()), ("CANCELLED", 0), run.error)
    check_site(site)


def export_again(site: Site, part: Part) -> None:
    """Export while the storage fails for good; then, when it is back, start the failed job again."""
    with in_tenant(site.tenant):
        run = request_export(by=None, datasets=[site.orders, site.items])
    part(Work())
    with in_tenant(site.tenant):
        run.refresh_from_db()
        trail = ["requested", "succeeded"]
        if run.state != "SUCCEEDED":
            same("an export without a storage", (run.state, run.error_code in BY_FAULTS), ("FAILED", True))
            same("its files", run.files.count(), 0)
            trail += ["failed", "started-again"]
    start_again(site)
    Work().do()
    with in_tenant(site.tenant):
        check_export(site, run.pk, trail)
    check_site(site)


def import_again(site: Site, part: Part) -> None:
    """Import while the storage fails for good in the preview, and start the failed job again."""
    file, plan = file_for(site)
    with in_tenant(site.tenant):
        job = create_import(dataset=site.orders, file=io.BytesIO(file), name="orders.csv", by=None)
    part(Work())
    with in_tenant(site.tenant):
        job.refresh_from_db()
        was_spared = job.state == "PREVIEW_SUCCEEDED"
        if not was_spared:
            why = (job.state, job.error_code in BY_FAULTS)
            same("a preview without a storage", why, ("PREVIEW_FAILED", True))
    start_again(site)
    Work().do()
    with in_tenant(site.tenant):
        confirm_import(job=job, by=None)
    Work().do()
    site.records |= plan.written
    site.changes += len(plan.written)
    with in_tenant(site.tenant):
        check_import(site, job.pk, plan, IMPORTED if was_spared else (*IMPORTED, "ended", "started_again"))
    check_site(site)


def start_again(site: Site) -> None:
    """Start the tenant's failed jobs again, as an operator would."""
    with in_public():
        failed = list(
            Job.objects.filter(schema=site.tenant.schema, state="FAILED").values_list("pk", flat=True)
        )
    with in_tenant(site.tenant):
        for pk in failed:
            jobs.services.retry(pk)


FLOWS: dict[str, Callable[[Site, Part], None]] = {
    "import": import_,
    "export": export,
    "hour": hour,
    "cancel": cancel,
    "export again": export_again,
    "import again": import_again,
    **flows_imports.FLOWS,
}
