"""One tenant is restored, as another or in place; all others are as they were, and a damaged backup touches nothing."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate
from django.db import connection
from django.test import Client

from audit.models import Event
from conftest import PASSWORD
from core import storage
from core.stores import ForeignKey
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs import services as jobs
from jobs.models import Job, TenantShare
from tenants.backup import format as form
from tenants.backup import loading, services
from tenants.backup.format import BackupDamaged, BackupTooNew
from tenants.backup.restoring import OtherTenantsBackup, restore_as, restore_in_place
from tenants.backup.tests.scene import fill, keys_of, rows_of, schemas, tenant_of
from tenants.catalog import differences
from tenants.models import Tenant
from tenants.services import TenantExists, suspend_tenant


@pytest.fixture
def backup(first: TenantRef, tmp_path: Path) -> Path:
    path = tmp_path / "first.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    return path


def restored_as(path: Path, slug: str) -> TenantRef:
    return restore_as(found=services.find_backup(str(path)), slug=slug).tenant.ref


@pytest.mark.case("I19")
def test_a_restore_under_a_new_name_is_the_same_and_leaves_the_old_as_it_was(first, backup):
    contents = loading.check(lambda: backup.open("rb"))
    new = restored_as(backup, f"{first.slug}-again")
    for table in ("accounts_user", "guardian_groupobjectpermission", "datasets_dataset", "audit_event",
                  "datasets_historicaldataset", "auth_permission"):  # fmt: skip
        assert rows_of(new, table) == rows_of(first, table), table
    for table in [part["name"] for part in contents.tables if part["name"].startswith("ds_")]:
        assert rows_of(new, table) == rows_of(first, table), table
    with connection.cursor() as cursor:
        assert differences(cursor, first.schema, new.schema) == []
    client = Client(HTTP_HOST=f"{new.slug}.localhost")
    form = {"username": f"owner@{first.slug}.example", "password": PASSWORD}
    assert client.post("/admin/login/", form).status_code == 302


def test_a_copys_rows_speak_of_no_file_of_the_tenant_it_was(first, backup):
    new = restored_as(backup, f"{first.slug}-again")
    assert {key.split("/")[0] for key in keys_of(first)} == {first.slug}
    assert {key.split("/")[0] for key in keys_of(new)} == {new.slug}
    with in_tenant(new):
        file = ExportFile.objects.first()
        assert not storage.exists(file.key)
        with pytest.raises(ForeignKey):
            storage.exists(file.key.replace(new.slug, first.slug, 1))


def test_a_copy_tells_which_files_were_not_copied(first, backup):
    restored = restore_as(found=services.find_backup(str(backup)), slug=f"{first.slug}-again")
    assert restored.missing
    assert {key.split("/")[0] for key in restored.missing} == {restored.tenant.slug}
    assert restored.later == []


def test_work_that_was_going_on_is_told_to_have_ended(first, tmp_path):
    with in_tenant(first):
        dataset = Dataset.objects.get(slug="orders")
        waiting = create_import(dataset=dataset, file=io.BytesIO(b"id,note\n7,x\n"), name="more.csv", by=None)
    path = tmp_path / "busy.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    new = restored_as(path, f"{first.slug}-again")
    with in_tenant(new):
        job = ImportJob.objects.get(pk=waiting.pk)
        assert (job.state, job.error_code) == ("PREVIEW_FAILED", "restored")
    assert not Job.objects.filter(schema=new.schema).exists()
    assert TenantShare.objects.get(pk=new.schema).state == "ACTIVE"


def test_a_copy_exports_and_imports_as_any_other_tenant_does(first, backup):
    from exporter.tests.helpers import export  # noqa: PLC0415 -- beside its use

    new = restored_as(backup, f"{first.slug}-again")
    with in_tenant(new):
        assert export().state == "SUCCEEDED"
        dataset = Dataset.objects.get(slug="orders")
        job = create_import(
            dataset=dataset,
            file=io.BytesIO(b"id,note,amount,due\n900,x,1,2026-01-01\n"),
            name="a.csv",
            by=None,
        )
        jobs.run_pending()
        job.refresh_from_db()
        confirm_import(job=job, by=None)
        jobs.run_pending()
        job.refresh_from_db()
        assert job.state == "IMPORT_SUCCEEDED"


def test_a_taken_name_is_refused_and_nothing_is_left(first, committed_tenants, backup):
    before = schemas()
    with pytest.raises(TenantExists):
        restored_as(backup, committed_tenants[1].slug)
    assert schemas() == before


@pytest.mark.case("I20")
def test_a_restore_in_place_is_what_it_was_and_lists_what_was_stored_since(first, backup):
    before = rows_of(first, "datasets_dataset"), rows_of(first, "accounts_user")
    with in_tenant(first), connection.cursor() as cursor:
        later = storage.save("exports/later.csv", io.BytesIO(b"x")).key
        cursor.execute("UPDATE datasets_dataset SET title = 'Spoilt'")
        spec = Dataset.objects.get(slug="orders").spec()
        cursor.execute(f"DELETE FROM {spec.table}")
        Session.objects.create(session_key="k", session_data="", expire_date="2100-01-01T00:00Z")
    restored = restore_in_place(found=services.find_backup(str(backup)), tenant=tenant_of(first))
    assert (rows_of(first, "datasets_dataset"), rows_of(first, "accounts_user")) == before
    assert rows_of(first, "django_session") == []
    assert (restored.missing, restored.later) == ([], [later])
    loaded = loading.Loaded(restored.contents, [], [])
    assert [one for one in loading.mismatches(first.schema, loaded) if "importer_" not in one] == []
    assert tenant_of(first).state == "ACTIVE"
    assert TenantShare.objects.get(pk=first.schema).state == "ACTIVE"
    names = list(
        Event.objects.filter(target_id=tenant_of(first).pk).order_by("pk").values_list("name", flat=True)
    )
    assert names[-3:] == [
        "tenants.tenant.suspended",
        "tenants.tenant.restored-in-place",
        "tenants.tenant.resumed",
    ]


def test_a_restore_in_place_leaves_no_former_schema_behind(first, backup):
    before = schemas()
    restore_in_place(found=services.find_backup(str(backup)), tenant=tenant_of(first))
    assert schemas() == before


def test_work_asked_for_since_the_backup_does_not_come_back_after_a_restore_in_place(first, backup):
    with in_tenant(first):
        jobs.submit("exporter.run", target="now", payload={"slot": "2026-08-26T14:00:00+00:00"})
    restore_in_place(found=services.find_backup(str(backup)), tenant=tenant_of(first))
    assert not Job.objects.filter(schema=first.schema).exists()


def test_a_suspended_tenant_stays_suspended(first, backup):
    suspend_tenant(tenant=tenant_of(first))
    restore_in_place(found=services.find_backup(str(backup)), tenant=tenant_of(first))
    assert (tenant_of(first).state, TenantShare.objects.get(pk=first.schema).state) == ("SUSPENDED", "PAUSED")


def test_sealed_secrets_open_after_a_restore_in_place_and_not_in_a_copy(first, tmp_path):
    from core import sealing  # noqa: PLC0415 -- beside its use

    with in_tenant(first), connection.cursor() as cursor:
        sealed = sealing.seal("secret", purpose="a test")
        cursor.execute("UPDATE datasets_dataset SET title = %s WHERE slug = 'empty'", [sealed])
    path = tmp_path / "sealed.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    restore_in_place(found=services.find_backup(str(path)), tenant=tenant_of(first))
    new = restored_as(path, f"{first.slug}-again")
    with in_tenant(first):
        stored = Dataset.objects.get(slug="empty").title
        assert sealing.unseal(stored, purpose="a test") == "secret"
    with in_tenant(new), pytest.raises(sealing.NotOpened):
        sealing.unseal(Dataset.objects.get(slug="empty").title, purpose="a test")


def test_a_backup_takes_no_other_tenants_place(first, committed_tenants, backup):
    with pytest.raises(OtherTenantsBackup, match="under a new name"):
        restore_in_place(found=services.find_backup(str(backup)), tenant=tenant_of(committed_tenants[1]))


@pytest.mark.case("I22")
@pytest.mark.parametrize("keys", [[], ["k" * 40]], ids=["plain", "sealed"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(first, tmp_path, settings, keys):
    settings.ROWHOUSE_BACKUP_KEYS = keys
    path = tmp_path / "first.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    data = path.read_bytes()
    before = schemas(), Tenant.objects.count(), Event.objects.count(), tenant_of(first).state_at
    edges = [*frames(data), len(data) - form.SUM_BYTES, len(data) - 1]
    damaged = [data[:at] for at in edges] + [flipped(data, at) for at in edges]
    for number, wrong in enumerate(damaged):
        path.write_bytes(wrong)
        with pytest.raises((BackupDamaged, BackupTooNew)):
            if number % 2:
                restored_as(path, f"{first.slug}-again")
            else:
                restore_in_place(found=services.find_backup(str(path)), tenant=tenant_of(first))
    after = schemas(), Tenant.objects.count(), Event.objects.count(), tenant_of(first).state_at
    assert after == before


def frames(data: bytes) -> list[int]:
    at, found = len(form.MAGIC), []
    while at < len(data) - form.SUM_BYTES:
        found.append(at)
        at += form.LENGTH.size + form.LENGTH.unpack(data[at : at + form.LENGTH.size])[1]
    return found


def flipped(data: bytes, at: int) -> bytes:
    altered = bytearray(data)
    altered[at] ^= 1
    return bytes(altered)


def test_a_backup_that_changes_between_the_looks_takes_everything_back(first, backup, monkeypatch):
    data = backup.read_bytes()
    before = schemas(), Tenant.objects.count()
    real = loading.check

    def check(open_backup: Any) -> Any:
        contents = real(open_backup)
        backup.write_bytes(flipped(data, len(data) - 40))
        return contents

    monkeypatch.setattr(loading, "check", check)
    with pytest.raises(BackupDamaged):
        restored_as(backup, f"{first.slug}-again")
    assert (schemas(), Tenant.objects.count()) == before


@pytest.mark.case("I23")
def test_a_backup_of_a_later_release_is_refused_with_the_name_of_what_is_unknown(first, tmp_path):
    with in_tenant(first), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('datasets', '9999_later', now())"
        )
    path = tmp_path / "later.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    with pytest.raises(BackupTooNew, match=r"datasets\.9999_later.*Nothing was changed"):
        restored_as(path, f"{first.slug}-again")


@pytest.mark.case("I23")
def test_a_backup_of_an_earlier_release_is_migrated(first, tmp_path):
    with in_tenant(first):
        call_command(Migrate(), "audit", "0005", verbosity=0)
        assert "audit_seal" not in connection.introspection.table_names()
    path = tmp_path / "earlier.backup"
    services.back_up_to_file(tenant=tenant_of(first), path=path)
    new = restored_as(path, f"{first.slug}-again")
    applied = rows_of(new, "django_migrations", "name")
    assert {("0006_track_as_the_platform",), ("0007_signed_and_sealed",)} <= set(applied)
    assert rows_of(new, "audit_seal", "number") == []


@pytest.mark.case("I18")
def test_another_tenant_imports_while_one_is_backed_up_and_restored(first, committed_tenants, tmp_path):
    other = committed_tenants[1]
    fill(other)
    contents: list[int] = []
    failures: list[BaseException] = []
    rows = "".join(f"{number},n,1,2026-01-01\n" for number in range(1000, 4000))

    def import_again_and_again() -> None:
        from django.db import connection as own  # noqa: PLC0415 -- the thread's

        try:
            with in_tenant(other):
                dataset = Dataset.objects.get(slug="orders")
                for number in range(4):
                    data = f"id,note,amount,due\n{rows}{5000 + number},x,1,2026-01-01\n"
                    job = create_import(
                        dataset=dataset, file=io.BytesIO(data.encode()), name="a.csv", by=None
                    )
                    jobs.run_until_done(int(job.preview_job_id))
                    job.refresh_from_db()
                    confirm_import(job=job, by=None)
                    job.refresh_from_db()
                    jobs.run_until_done(int(job.merge_job_id))
                    job.refresh_from_db()
                    assert job.state == "IMPORT_SUCCEEDED", job.error
                    contents.append(job.pk)
        except BaseException as error:  # noqa: BLE001 -- told by the test below
            failures.append(error)
        finally:
            own.close()

    thread = threading.Thread(target=import_again_and_again)
    thread.start()
    number = 0
    while thread.is_alive() or number < 2:
        path = tmp_path / f"{number}.backup"
        services.back_up_to_file(tenant=tenant_of(first), path=path)
        restore_in_place(found=services.find_backup(str(path)), tenant=tenant_of(first))
        during = tmp_path / f"other-{number}.backup"
        services.back_up_to_file(tenant=tenant_of(other), path=during)
        assert services.verify_backup(found=services.find_backup(str(during))).findings == []
        number += 1
    thread.join()
    assert (failures, len(contents)) == ([], 4)
