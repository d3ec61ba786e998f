from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.operators.models import Operator
from audit.models import Event
from jobs import services as jobs
from jobs.models import Job
from tenants.models import Domain, MigrationOutcome, Tenant, TenantBackup

PAGES = ["", "tenants/tenant/", "tenants/tenant/add/", "jobs/job/", "audit/event/", "operators/operator/",
         "tenants/tenantbackup/",
         "password_change/"]  # fmt: skip


@pytest.fixture
def operator(db) -> Client:
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    return client


@pytest.mark.parametrize("page", PAGES)
def test_every_page_answers(operator, acme, page):
    assert operator.get(f"/operator/{page}").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_no_page_answers_without_signing_in(db, page):
    assert Client(HTTP_HOST="localhost").get(f"/operator/{page}").status_code == 302


def test_a_page_of_djangos_log_is_not_found_rather_than_broken(operator, acme):
    assert (
        operator.get(f"/operator/tenants/tenant/{Tenant.objects.get(slug='acme').pk}/history/").status_code
        == 404
    )


def test_a_tenant_asked_for_on_the_page_is_set_up_by_a_worker(operator):
    form = {"name": "Initech", "slug": "initech", "owner_email": "boss@initech.example", "domain": ""}
    answer = operator.post("/operator/tenants/tenant/add/", form)
    tenant = Tenant.objects.get(slug="initech")
    assert (answer.status_code, tenant.state) == (302, "REQUESTED")
    jobs.run_pending()
    tenant.refresh_from_db()
    assert (tenant.state, Domain.objects.get(tenant=tenant).domain) == ("ACTIVE", "initech.localhost")


def test_a_name_that_is_taken_is_said_beside_the_form(operator, acme):
    form = {"name": "Other", "slug": "other", "owner_email": "a@b.example", "domain": "acme.localhost"}
    answer = operator.post("/operator/tenants/tenant/add/", form)
    assert (answer.status_code, Tenant.objects.filter(slug="other").exists()) == (200, False)
    assert "is taken" in answer.text


def test_following_a_link_suspends_nobody(operator, acme):
    url = f"/operator/tenants/tenant/{Tenant.objects.get(slug='acme').pk}/suspend/"
    assert operator.get(url).status_code == 200
    assert Tenant.objects.get(slug="acme").state == "ACTIVE"


def test_suspending_and_resuming_are_recorded_with_who(operator, acme):
    pk = Tenant.objects.get(slug="acme").pk
    operator.post(f"/operator/tenants/tenant/{pk}/suspend/")
    assert Tenant.objects.get(pk=pk).state == "SUSPENDED"
    operator.post(f"/operator/tenants/tenant/{pk}/resume/")
    assert Tenant.objects.get(pk=pk).state == "ACTIVE"
    names = ["tenants.tenant.suspended", "tenants.tenant.resumed"]
    events = Event.objects.filter(name__in=names).order_by("pk").values_list("name", "actor_label")
    assert list(events) == [(name, "op@example.com") for name in names]


def test_a_suspended_tenant_says_since_when_it_is_not_exported(operator, acme):
    tenant = Tenant.objects.get(slug="acme")
    assert "by their schedule" in operator.get("/operator/tenants/tenant/").text
    operator.post(f"/operator/tenants/tenant/{tenant.pk}/suspend/")
    tenant.refresh_from_db()
    since = f"{tenant.state_at:%Y-%m-%d %H:%M} UTC"
    for page in ("", f"{tenant.pk}/change/"):
        assert f"paused since {since}" in operator.get(f"/operator/tenants/tenant/{page}").text
    assert f"not exported since {since}" in operator.get("/operator/").text
    share = operator.get(f"/operator/jobs/tenantshare/{tenant.schema_name}/change/").text
    assert "the tenant was suspended" in share


def test_only_what_fits_the_state_is_offered(operator, acme):
    pk = Tenant.objects.get(slug="acme").pk
    page = operator.get(f"/operator/tenants/tenant/{pk}/change/").text
    assert ("suspend/" in page, "resume/" in page, "retry/" in page) == (True, False, False)
    assert operator.get(f"/operator/tenants/tenant/{pk}/resume/").status_code == 403


def test_what_an_operator_does_with_jobs_and_tenants_is_recorded_with_who(operator, acme):
    form = {"name": "Initech", "slug": "initech", "owner_email": "boss@initech.example", "domain": ""}
    operator.post("/operator/tenants/tenant/add/", form)
    job = Job.objects.get(kind="tenants.provision")
    operator.post("/operator/jobs/job/", {"action": "cancel_jobs", "_selected_action": [job.pk]})
    jobs.run_pending()
    operator.post("/operator/jobs/job/", {"action": "retry_jobs", "_selected_action": [job.pk]})
    names = ["tenants.tenant.requested", "jobs.job.cancelled", "jobs.job.retried"]
    events = Event.objects.filter(name__in=names, actor_label="op@example.com").order_by("pk")
    assert list(events.values_list("name", flat=True)) == names


def test_a_backup_and_a_deletion_are_asked_for_on_the_tenants_page(operator, acme):
    tenant = Tenant.objects.get(slug="acme")
    page = f"/operator/tenants/tenant/{tenant.pk}/"
    assert "last backup" in operator.get(f"{page}change/").text.lower()
    for verb in ("back_up", "delete_it", "keep"):
        assert operator.get(f"{page}{verb}/").status_code in {200, 403, 404}
    assert not Job.objects.filter(kind__in=["tenants.backup", "tenants.delete"]).exists()
    operator.post(f"{page}back_up/")
    assert Job.objects.get(kind="tenants.backup").target == tenant.schema_name
    operator.post(f"{page}suspend/")
    operator.post(f"{page}delete_it/")
    tenant.refresh_from_db()
    assert (tenant.state, Job.objects.filter(kind="tenants.delete").count()) == ("DELETING", 1)
    operator.post(f"{page}keep/")
    tenant.refresh_from_db()
    assert tenant.state == "SUSPENDED"


def test_a_tenants_page_says_when_it_was_backed_up_and_migrated(operator, acme):
    tenant = Tenant.objects.get(slug="acme")
    page = f"/operator/tenants/tenant/{tenant.pk}/change/"
    assert "set up by this release" in operator.get(page).text
    TenantBackup.objects.create(
        tenant=tenant,
        trigger="MANUAL",
        state="SUCCEEDED",
        key="_backups/x",
        sha256="0" * 64,
        bytes=5000,
        taken_at=datetime(2026, 8, 26, 14, tzinfo=UTC),
    )
    MigrationOutcome.objects.create(
        run=uuid4(), schema=acme.schema, slug="acme", state="FAILED", error="A table was in use.", seconds=1
    )
    text = operator.get(page).text
    assert "2026-08-26 14:00" in text
    assert "not tried yet" in text
    assert "failed, and as it was before: A table was in use." in text


def test_backups_are_found_filtered_and_shown(operator, acme):
    tenant = Tenant.objects.get(slug="acme")
    list_page = "/operator/tenants/tenantbackup/"
    assert "No backups yet" in operator.get(list_page).text
    good = TenantBackup.objects.create(
        tenant=tenant, trigger="MANUAL", state="SUCCEEDED", key="_backups/x", sha256="0" * 64, bytes=5000
    )
    TenantBackup.objects.create(
        tenant=tenant, trigger="SCHEDULED", state="FAILED", error_code="x", error="The disk was full."
    )
    assert "No backup fits" in operator.get(list_page, {"q": "nobody"}).text
    assert operator.get(list_page, {"state": "kept"}).context["cl"].result_count == 1
    assert operator.get(list_page, {"state": "failed"}).context["cl"].result_count == 1
    assert operator.get(list_page, {"q": "acme"}).context["cl"].result_count == 2
    page = operator.get(f"{list_page}{good.pk}/change/")
    assert f"restore_tenant {good.pk} --as" in page.text
    assert operator.get(f"{list_page}{good.pk}/verify/").status_code == 200
    operator.post(f"{list_page}{good.pk}/verify/")
    assert Job.objects.get(kind="tenants.verify_backup").target == str(good.pk)


def test_the_owners_invitation_is_shown_once(operator, acme):
    pk = Tenant.objects.get(slug="acme").pk
    assert operator.get(f"/operator/tenants/tenant/{pk}/invite/").status_code == 200
    shown = operator.post(f"/operator/tenants/tenant/{pk}/invite/", follow=True).text
    [link] = re.findall(r"http://acme\.localhost(/invitation/[\w:-]+/)", shown)
    assert Client(HTTP_HOST="acme.localhost").get(link).status_code == 200
    assert "/invitation/" not in operator.get(f"/operator/tenants/tenant/{pk}/change/").text
    assert Event.objects.filter(name="tenants.owner.invited", actor_label="op@example.com").count() == 1
