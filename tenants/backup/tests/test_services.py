"""Backups are taken on demand and by the clock, kept for their time, and tried now and then."""

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
from core.stores import ForeignKey
from core.tenancy import TenantRef, in_tenant
from jobs import services as jobs
from jobs.models import Job
from tenants.backup import services, taking
from tenants.backup.models import TenantBackup
from tenants.backup.restoring import restore_as
from tenants.backup.store import backup_store
from tenants.backup.tests.scene import schemas, tenant_of
from tenants.migrating import SchemaBusy
from tenants.models import Tenant
from tenants.services import suspend_tenant

State, Trigger, Verdict = TenantBackup.State, TenantBackup.Trigger, TenantBackup.Verdict


def taken(
    tenant: TenantRef, trigger: TenantBackup.Trigger = Trigger.MANUAL, *, days: float = 0
) -> TenantBackup:
    """Take a backup to the end, as if it had been asked for so many days ago."""
    backup = services.request_backup(tenant=tenant_of(tenant), trigger=trigger, by="a test")
    jobs.run_until_done(backup.job_id or 0)
    TenantBackup.objects.filter(pk=backup.pk).update(created_at=now() - timedelta(days=days))
    return TenantBackup.objects.get(pk=backup.pk)


def run(*command: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    try:
        call_command(*command, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        return int(end.code or 0), json.loads(out.getvalue() or "{}")
    return 0, json.loads(out.getvalue())


def test_a_backup_asked_for_is_taken_by_a_worker_and_can_be_restored(first):
    backup = taken(first)
    assert (backup.state, backup.tenant.slug, backup.asked_by, backup.is_sealed) == (
        State.SUCCEEDED, first.slug, "a test", False,
    )  # fmt: skip
    assert backup_store().size(backup.key) == backup.bytes
    assert services.verify_backup(found=services.of_row(backup)).findings == []
    backup.refresh_from_db()
    assert (backup.verdict, backup.findings) == (Verdict.GOOD, "")
    names = Event.objects.filter(name__startswith="tenants.backup.", target_id=backup.tenant.pk).order_by(
        "pk"
    )
    assert [name.rsplit(".")[-1] for name in names.values_list("name", flat=True)] == [
        "requested", "taken", "verified",
    ]  # fmt: skip


def test_a_tenant_neither_sees_nor_removes_its_stored_backups(first):
    backup = taken(first)
    with in_tenant(first):
        assert not [key for key, _ in storage.list_keys() if "backup" in key]
        for act in (storage.open_read, storage.delete, storage.exists):
            with pytest.raises(ForeignKey):
                act(backup.key)


def test_a_backup_in_a_bucket_is_restored_from_there(on_moto, first):
    backup = taken(first)
    assert (backup.state, backup.key.split("/")[0]) == (State.SUCCEEDED, "_backups")
    assert services.verify_backup(found=services.of_row(backup)).findings == []
    assert restore_as(found=services.of_row(backup), slug=f"{first.slug}-again").tenant.state == "ACTIVE"
    services.prune_backups(now=now() + timedelta(days=2))
    assert backup_store().exists(backup.key)


def test_a_suspended_tenant_is_backed_up(first):
    suspend_tenant(tenant=tenant_of(first))
    assert taken(first).state == State.SUCCEEDED


def test_a_tenant_that_has_no_schema_yet_is_not(db):
    tenant = Tenant.objects.create(
        schema_name="t_00000001", slug="none", name="None", owner_email="a@b.example"
    )
    with pytest.raises(services.NoTenantToBackUp):
        services.request_backup(tenant=tenant)


def test_two_backups_of_a_tenant_are_not_taken_at_once(first):
    services.request_backup(tenant=tenant_of(first))
    with pytest.raises(jobs.TargetBusy):
        services.request_backup(tenant=tenant_of(first))


def test_a_backup_that_cannot_be_taken_says_why(first, monkeypatch):
    def take(*_: Any, **__: Any) -> None:
        raise SchemaBusy("Tables were being changed all the time.")

    monkeypatch.setattr(taking, "take", take)
    backup = taken(first)
    assert (backup.state, backup.error_code, backup.error) == (
        State.FAILED, "schema-busy", "Tables were being changed all the time.",
    )  # fmt: skip


def test_a_cancelled_backup_leaves_no_object(first, monkeypatch):
    backup = services.request_backup(tenant=tenant_of(first))
    real = taking.take

    def take(*args: Any, **options: Any) -> Any:
        jobs.cancel(backup.job_id or 0)
        return real(*args, **options)

    monkeypatch.setattr(taking, "take", take)
    jobs.run_until_done(backup.job_id or 0)
    backup.refresh_from_db()
    assert (backup.state, backup.error_code) == (State.FAILED, "cancelled")
    assert list(backup_store().list_keys()) == []


def test_a_backup_done_twice_is_one(first):
    backup = taken(first)
    assert services.run_backup(backup=backup, attempt=2) is False
    assert [key for key, _ in backup_store().list_keys()] == [backup.key]


# ---- by the clock


def test_each_tenant_is_backed_up_once_a_day(tenants):
    for tenant in Tenant.objects.exclude(slug__in=[one.slug for one in tenants]):
        TenantBackup.objects.create(tenant=tenant, trigger=Trigger.SCHEDULED)
    assert services.request_due_backups(now=now()) == 2
    assert services.request_due_backups(now=now()) == 0
    assert services.request_due_backups(now=now() + timedelta(hours=22)) == 0
    jobs.run_pending()
    TenantBackup.objects.exclude(tenant__slug__in=[one.slug for one in tenants]).update(
        created_at=now() + timedelta(days=1)
    )
    assert services.request_due_backups(now=now() + timedelta(hours=24)) == 2


def test_no_backups_by_the_clock_where_none_are_wanted(tenants, settings):
    settings.ROWHOUSE_BACKUP_HOURS = 0
    assert services.request_due_backups(now=now()) == 0


def test_the_hours_look_is_asked_for_once(tenants):
    services.look_after_backups()
    services.look_after_backups()
    assert Job.objects.filter(kind="tenants.look_after").count() == 1
    jobs.run_pending()
    services.look_after_backups()
    assert Job.objects.filter(kind="tenants.look_after").count() == 1


def test_retention_takes_what_is_old_and_never_the_newest(first, settings):
    settings.ROWHOUSE_BACKUP_KEEP_DAYS = 10
    old, middle, newest = taken(first, days=30), taken(first, days=5), taken(first, days=20)
    assert [one.pk for one in services.prune_backups(now=now(), dry_run=True).backups] == [old.pk]
    assert backup_store().exists(old.key)
    services.prune_backups(now=now())
    assert services.prune_backups(now=now()).backups == []
    assert [backup_store().exists(one.key) for one in (old, middle, newest)] == [False, True, True]
    with pytest.raises(services.BackupGone):
        services.find_backup(str(old.pk))


def test_what_an_attempt_left_is_removed_when_nobody_can_want_it_any_more(first):
    with backup_store().write("left/over.backup") as writer:
        writer.write(b"x")
    assert services.prune_backups(now=now()).strays == []
    assert services.prune_backups(now=now() + timedelta(days=2)).strays == [writer.key]
    assert not backup_store().exists(writer.key)


def test_one_tenants_newest_backup_is_restored_on_trial_each_week_in_turn(tenants):
    backups = {ref.slug: taken(ref) for ref in tenants}
    tried = []
    for week in range(3):
        at = now() + timedelta(days=8 * week)
        chosen = services.request_due_drill(now=at)
        jobs.run_pending()
        TenantBackup.objects.filter(pk=chosen.pk).update(verified_at=at)
        assert services.request_due_drill(now=at + timedelta(days=6)) is None
        tried.append(chosen.tenant.slug)
    assert tried == [tenants[0].slug, tenants[1].slug, tenants[0].slug]
    drilled = TenantBackup.objects.get(pk=backups[tenants[0].slug].pk)
    assert (drilled.verdict, drilled.verified_at is not None) == (Verdict.GOOD, True)


def test_a_trial_of_a_damaged_backup_is_written_down_and_leaves_nothing(first):
    before = schemas()
    backup = taken(first)
    with backup_store().write(backup.key.removeprefix("_backups/")) as writer:
        writer.write(b"rubbish")
    services.request_verification(backup=backup)
    jobs.run_pending()
    backup.refresh_from_db()
    assert (backup.verdict, "no backup of this platform" in backup.findings) == (Verdict.BAD, True)
    assert schemas() == before


# ---- the commands


def test_the_commands_take_try_list_and_restore(first, tmp_path):
    path = str(tmp_path / "one.backup")
    code, told = run("backup_tenant", first.slug, "--to", path)
    assert (code, told["state"], told["place"]) == (0, "SUCCEEDED", path)
    assert run("verify_backup", path)[1]["findings"] == []
    code, told = run("restore_tenant", path, "--as", f"{first.slug}-again", "--domain", "again.example")
    assert (code, told["state"], told["domain"]) == (0, "ACTIVE", "again.example")
    code, stored = run("backup_tenant", first.slug)
    code, told = run("restore_tenant", str(stored["backup"]), "--as", first.slug, "--replace")
    assert (code, told["tenant"], told["missing_files"]) == (0, first.slug, [])
    assert [one["backup"] for one in run("list_backups", "--tenant", first.slug)[1]["backups"]][0] == stored[
        "backup"
    ]
    assert run("prune_backups", "--dry-run")[1]["pruned"] == []


def test_the_commands_refuse_in_words(first, tmp_path):
    (tmp_path / "no.backup").write_bytes(b"nothing of ours")
    assert run("verify_backup", str(tmp_path / "no.backup"))[0] == 2
    assert run("restore_tenant", "99999999", "--as", "new")[0] == 2
    assert run("backup_tenant", first.slug, "--to", str(tmp_path))[0] == 2
    assert run("backup_tenant", first.slug, "--to", str(tmp_path / "no.backup" / "x"))[0] == 2


def test_one_command_backs_up_all_who_are_due_and_another_tries_them(tenants, capsys):
    slugs = {ref.slug for ref in tenants}
    code, told = run("backup_tenants")
    assert (code, told["failed"]) == (0, [])
    assert {one["tenant"] for one in told["backups"] if one["state"] == "SUCCEEDED"} >= slugs
    assert run("backup_tenants", "--due") == (0, {"backups": [], "failed": []})
    again = run("backup_tenants", "--all")[1]["backups"]
    assert {one["tenant"] for one in again} >= slugs
    code, told = run("drill_backups")
    assert (code, [one["verdict"] for one in told["drilled"]], told["bad"]) == (0, ["GOOD"], [])
    assert run("drill_backups") == (0, {"drilled": [], "bad": []})
    code, told = run("drill_backups", "--all")
    assert (code, {one["backup"] for one in told["drilled"]}) == (0, {one["backup"] for one in again})


def test_the_commands_wait_for_what_a_worker_is_at(first):
    backup = services.request_backup(tenant=tenant_of(first), by="a person")
    told = run("backup_tenants", "--all")[1]
    assert [one["backup"] for one in told["backups"] if one["tenant"] == first.slug] == [backup.pk]
    services.request_verification(backup=TenantBackup.objects.get(pk=backup.pk))
    drilled = run("drill_backups", "--all")[1]["drilled"]
    assert [(one["backup"], one["verdict"]) for one in drilled if one["tenant"] == first.slug] == [
        (backup.pk, "GOOD")
    ]
    assert Job.objects.filter(kind=services.VERIFY, target=str(backup.pk)).count() == 1


def test_a_command_says_which_backup_failed(first, monkeypatch):
    def busy(*_arguments: Any, **_options: Any) -> None:
        raise SchemaBusy("A table was being changed all the time.")

    monkeypatch.setattr(taking, "take", busy)
    code, told = run("backup_tenants", "--all")
    assert (code, first.slug in told["failed"]) == (1, True)
    monkeypatch.undo()
    backup = taken(first)
    with backup_store().write(backup.key.removeprefix("_backups/")) as writer:
        writer.write(b"rubbish")
    code, told = run("drill_backups", "--all")
    assert (code, first.slug in told["bad"]) == (1, True)
