"""A tenant is deleted in steps, each of which may run twice, and until the last of them it can be brought back."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from audit.models import Event
from core import storage
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from jobs import claim, runner
from jobs import services as jobs
from jobs.models import Job, TenantShare
from tenants import deleting
from tenants.backup import services
from tenants.backup.models import TenantBackup
from tenants.backup.restoring import restore_as
from tenants.backup.store import backup_store
from tenants.backup.tests.scene import rows_of, schemas, tenant_of
from tenants.models import Tenant
from tenants.services import WrongState, fail_provisioning, request_tenant, resume_tenant, suspend_tenant

Verdict = TenantBackup.Verdict


@pytest.fixture
def suspended(first: TenantRef) -> Tenant:
    tenant = tenant_of(first)
    suspend_tenant(tenant=tenant)
    return tenant


def deleted(tenant: Tenant, *, at_once: bool = False) -> Tenant:
    job = deleting.delete_tenant(tenant=tenant, at_once=at_once, by="a test")
    assert jobs.run_until_done(job.pk).state == "DONE"
    tenant.refresh_from_db()
    return tenant


def test_a_deletion_takes_a_backup_tries_it_and_waits(suspended, settings):
    settings.ROWHOUSE_DELETE_GRACE_DAYS = 30
    before = now()
    tenant = deleted(suspended)
    final = TenantBackup.objects.get(tenant=tenant)
    assert (final.trigger, final.verdict, final.is_kept) == ("FINAL", Verdict.GOOD, True)
    assert tenant.state == "DELETING"
    assert tenant.purge_after is not None
    assert before + timedelta(days=29) < tenant.purge_after < now() + timedelta(days=31)
    assert tenant.schema_name in schemas()
    assert deleting.purge_due(now=now()) == 0


def test_when_the_grace_is_over_the_schema_the_jobs_and_the_files_go_and_the_row_and_backup_stay(
    suspended, tenants, settings
):
    other = tenants[1]
    with in_tenant(other):
        theirs = storage.save("exports/x.csv", io.BytesIO(b"x")).key
    ref = suspended.ref
    tenant = deleted(suspended)
    later = now() + timedelta(days=31)
    Tenant.objects.filter(pk=tenant.pk).update(purge_after=now())
    assert deleting.purge_due(now=later) == 1
    jobs.run_pending()
    tenant.refresh_from_db()
    assert (tenant.state, tenant.error) == ("DELETED", "")
    assert tenant.schema_name not in schemas()
    assert not Job.objects.filter(schema=ref.schema).exists()
    assert not TenantShare.objects.filter(pk=ref.schema).exists()
    with in_tenant(ref):
        assert list(storage.list_keys()) == []
    with in_tenant(other):
        assert storage.exists(theirs)
    final = TenantBackup.objects.get(tenant=tenant)
    assert backup_store().exists(final.key)
    names = Event.objects.filter(target_id=tenant.pk, name__startswith="tenants.tenant.del").order_by("pk")
    assert [name.rsplit(".")[-1] for name in names.values_list("name", flat=True)] == [
        "deletion-requested", "deletion-scheduled", "deleted",
    ]  # fmt: skip
    back = restore_as(found=services.of_row(final), slug=f"{ref.slug}-back").tenant.ref
    assert rows_of(back, "accounts_user", "email")
    settings.ROWHOUSE_FINAL_BACKUP_KEEP_DAYS = 90
    assert services.prune_backups(now=now() + timedelta(days=80)).backups == []
    assert services.prune_backups(now=now() + timedelta(days=91)).backups == [final]


def test_within_the_grace_it_can_be_called_off(suspended, first):
    before = rows_of(first, "accounts_user")
    tenant = deleted(suspended)
    deleting.call_off_deletion(tenant=tenant, by="a test")
    assert (tenant.state, tenant.purge_after) == ("SUSPENDED", None)
    resume_tenant(tenant=tenant)
    assert (tenant.state, rows_of(first, "accounts_user")) == ("ACTIVE", before)
    with pytest.raises(WrongState):
        deleting.call_off_deletion(tenant=tenant)


def test_at_once_needs_a_good_backup_all_the_same(suspended, monkeypatch):
    bad = services.Verified(None, ["Rows of x are not those of the backup."])  # type: ignore[arg-type] # not asked for
    monkeypatch.setattr(services, "verify_backup", lambda **_: bad)
    job = deleting.delete_tenant(tenant=suspended, at_once=True)
    ended = jobs.run_until_done(job.pk)
    suspended.refresh_from_db()
    assert (ended.state, ended.error_code, suspended.state) == ("FAILED", "final-backup-bad", "DELETING")
    assert "Nothing was deleted" in suspended.error
    assert suspended.schema_name in schemas()
    monkeypatch.undo()
    assert deleted(suspended, at_once=True).state == "DELETED"
    assert suspended.schema_name not in schemas()


def test_a_tenant_that_was_never_set_up_needs_no_backup(tenants):
    slug = f"{tenants[0].slug}-never"
    tenant = request_tenant(slug=slug, name="Never", owner_email="a@b.example", provision_now=True)
    fail_provisioning(tenant=tenant, error="the disk was full")
    assert deleted(tenant, at_once=True).state == "DELETED"
    assert not TenantBackup.objects.filter(tenant=tenant).exists()


def test_an_active_tenant_is_not_deleted(first):
    with pytest.raises(WrongState, match="Suspend it first"):
        deleting.delete_tenant(tenant=tenant_of(first))


@pytest.mark.parametrize("slices", range(1, 7))
def test_a_deletion_that_dies_after_any_step_goes_on_there(suspended, slices, monkeypatch):
    job = deleting.delete_tenant(tenant=suspended, at_once=True)
    for _ in range(slices - 1):
        claimed = claim.claim_one(job.pk)
        assert claimed is not None
        runner.run_slice(claimed)
    # What the step does outside of its transaction stays, what it did inside is undone.
    monkeypatch.setattr(runner, "_advance", _die)
    taken = claim.claim_one(job.pk)
    if taken is not None:
        with pytest.raises(KeyboardInterrupt):
            runner.run_slice(taken)
    monkeypatch.undo()
    assert jobs.run_until_done(job.pk).state == "DONE"
    suspended.refresh_from_db()
    assert suspended.state == "DELETED"
    assert suspended.schema_name not in schemas()
    with in_tenant(suspended.ref):
        assert list(storage.list_keys()) == []
    final = TenantBackup.objects.get(tenant=suspended)
    assert (final.verdict, backup_store().exists(final.key)) == (Verdict.GOOD, True)


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


def test_the_command_deletes_and_calls_off(suspended):
    def run(*options: str) -> tuple[int, dict[str, Any]]:
        out = io.StringIO()
        try:
            call_command(
                "delete_tenant", suspended.slug, *options, "--json", stdout=out, stderr=io.StringIO()
            )
        except SystemExit as end:
            return int(end.code or 0), json.loads(out.getvalue() or "{}")
        return 0, json.loads(out.getvalue())

    assert run()[0] == 2
    code, told = run("--confirm", suspended.slug)
    assert (code, told["state"], bool(told["purge_after"])) == (0, "DELETING", True)
    assert run("--call-off")[1]["state"] == "SUSPENDED"
    assert run("--now", "--confirm", suspended.slug)[1]["state"] == "DELETED"
