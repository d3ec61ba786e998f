"""A read-only tenant: its people look and download, nothing is written, exports go on."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from django.core.management import call_command
from django.test import Client

import jobs.services
from audit.models import Event
from core.standing import TenantReadOnly, require_writable
from core.tenancy import in_public, in_tenant
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from importer.tests.tools import GOOD, import_text, make_orders, person, records, upload
from jobs.models import Job
from tenants.models import Tenant
from tenants.standing import AlreadyReadOnly, NotReadOnly, make_read_only, make_writable

PASSWORD = "correct horse battery"


@pytest.fixture
def locked(acme, globex):
    make_read_only(tenant=Tenant.objects.get(slug="acme"), reason="it is being moved")
    return acme


def test_people_look_and_nothing_they_send_is_taken(locked, client_of):
    client = client_of(locked)
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/accounts/user/").status_code == 200
    for path in ("/admin/accounts/user/add/", "/admin/datasets/dataset/add/", "/admin/no/such/page/"):
        answer = client.post(path, {"email": "new@acme.example"})
        assert answer.status_code == 409
        assert "Acme is read-only for now: it is being moved." in answer.text
    with in_tenant(locked):
        assert not Event.objects.filter(
            name="accounts.user.created", target_label="new@acme.example"
        ).exists()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_method_that_may_write_is_taken(locked, client_of, method):
    assert getattr(client_of(locked), method)("/admin/datasets/dataset/").status_code == 409


def test_people_sign_in_and_out(locked):
    client = Client(HTTP_HOST="acme.localhost")
    form = {"username": "viewer@acme.example", "password": PASSWORD}
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/").status_code == 302


def test_another_tenant_is_written_to_meanwhile(locked, globex):
    with in_tenant(globex):
        assert len(records_after_import()) == 3


def records_after_import() -> list[tuple]:
    orders = make_orders()
    import_text(orders)
    return records(orders)


def test_work_that_writes_is_refused_where_it_is_asked_for(locked):
    with in_tenant(locked):
        with pytest.raises(TenantReadOnly, match="read-only for now: it is being moved"):
            jobs.services.submit("importer.merge", target="x", payload={})
        with in_public():
            assert not Job.objects.filter(schema=locked.schema, kind="importer.merge").exists()


def test_an_upload_makes_no_import(acme):
    with in_tenant(acme):
        orders = make_orders()
        with in_public():
            make_read_only(tenant=Tenant.objects.get(slug="acme"))
        with pytest.raises(TenantReadOnly):
            create_import(dataset=orders, file=BytesIO(GOOD.encode()), name="a.csv", by=person())
        assert ImportJob.objects.count() == 0


def test_a_merge_that_waits_ends_with_nothing_applied(acme):
    with in_tenant(acme):
        orders = make_orders()
        job = upload(orders)
        confirm_import(job=job, by=person())
        with in_public():
            make_read_only(tenant=Tenant.objects.get(slug="acme"))
        jobs.services.run_pending()
        job.refresh_from_db()
        assert (job.state, job.error_code, records(orders)) == ("IMPORT_FAILED", "suspended", [])


def test_a_merge_claimed_before_the_word_came_ends_with_nothing_applied(acme):
    with in_tenant(acme):
        orders = make_orders()
        job = upload(orders)
        confirm_import(job=job, by=person())
        with in_public():
            make_read_only(tenant=Tenant.objects.get(slug="acme"))
            # As if it had been put there by a process that looked a moment earlier.
            Job.objects.filter(kind="importer.merge").update(cancel_requested=False, is_suspended=False)
        jobs.services.run_pending()
        job.refresh_from_db()
        assert (job.state, job.error_code, records(orders)) == ("IMPORT_FAILED", "tenant-read-only", [])


def test_hourly_work_that_writes_is_left_out_and_is_no_failure(locked):
    with in_tenant(locked):
        with in_public():
            make_writable(tenant=Tenant.objects.get(slug="acme"))
        job = jobs.services.submit("datasets.prune_history", target="now", payload={"slot": "x"})
        with in_public():
            make_read_only(tenant=Tenant.objects.get(slug="acme"))
            Job.objects.filter(pk=job.pk).update(cancel_requested=False, is_suspended=False)
        jobs.services.run_pending()
        with in_public():
            job.refresh_from_db()
    assert (job.state, job.error_code) == ("DONE", "")


def test_a_job_that_failed_is_not_started_again(locked):
    with in_tenant(locked), in_public():
        made = Job.objects.create(
            schema=locked.schema, slug="acme", kind="importer.merge", target="x", state="FAILED"
        )
    with in_tenant(locked), pytest.raises(TenantReadOnly):
        jobs.services.retry(made.pk)


def test_it_ends_and_everything_goes_on(locked):
    tenant = Tenant.objects.get(slug="acme")
    make_writable(tenant=tenant)
    with in_tenant(locked):
        require_writable()
        assert len(records_after_import()) == 3
    with pytest.raises(NotReadOnly):
        make_writable(tenant=tenant)


def test_it_is_made_read_only_once_and_recorded(locked):
    tenant = Tenant.objects.get(slug="acme")
    with pytest.raises(AlreadyReadOnly):
        make_read_only(tenant=tenant)
    event = Event.objects.get(name="tenants.tenant.made-read-only")
    assert (event.target_label, event.data) == ("Acme", {"reason": "it is being moved"})


def test_commands_make_it_read_only_and_writable(acme, capsys):
    call_command("make_read_only", "acme", "--reason", "it is being moved", "--json")
    assert json.loads(capsys.readouterr().out) == {"tenant": "acme", "is_read_only": True}
    with pytest.raises(SystemExit, match="2"):
        call_command("make_read_only", "acme")
    assert "error[already-read-only]" in capsys.readouterr().err
    call_command("make_writable", "acme", "--json")
    assert json.loads(capsys.readouterr().out) == {"tenant": "acme", "is_read_only": False}
