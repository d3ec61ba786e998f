from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from audit.models import Event
from core.clock import now
from core.tenancy import in_tenant
from tenants import deleting, services
from tenants.models import Domain, Tenant


def request(slug: str = "initech", owner_email: str = "boss@initech.example", domain: str = "") -> Tenant:
    return services.request_tenant(
        slug=slug, name="Initech", owner_email=owner_email, domain=domain, provision_now=True
    )


def delete(tenant: Tenant) -> None:
    """Delete a tenant as a worker does when the time of grace is over."""
    Tenant.objects.filter(pk=tenant.pk).update(state="DELETING", purge_after=now())
    deleting.purge_tenant(tenant=tenant, now=now())


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%'")
        return {name for (name,) in cursor.fetchall()}


def test_a_tenant_comes_to_life_with_an_owner_who_can_sign_in(db):
    tenant = request()
    made = services.provision_tenant(tenant=tenant)
    client = Client(HTTP_HOST="initech.localhost")
    chosen = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}
    assert client.post(made.link.removeprefix("http://initech.localhost"), chosen).status_code == 302
    form = {"username": "boss@initech.example", "password": "correct horse battery"}
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert Event.objects.filter(name="tenants.tenant.provisioned").count() >= 1


@pytest.mark.case("T28")
def test_a_fresh_tenant_has_its_owner_and_nobody_else(db):
    tenant = request()
    services.provision_tenant(tenant=tenant)
    with in_tenant(tenant.ref):
        assert list(User.objects.values_list("email", flat=True)) == ["boss@initech.example"]


@pytest.mark.case("C20")
def test_a_tenant_is_set_up_once(db):
    tenant = request()
    services.provision_tenant(tenant=tenant)
    before = schemas()
    with pytest.raises(services.WrongState):
        services.provision_tenant(tenant=Tenant.objects.get(pk=tenant.pk))
    assert schemas() == before


def test_a_failed_tenant_can_be_set_up_again(db):
    tenant = request()
    services.fail_provisioning(tenant=tenant, error="the disk was full")
    assert tenant.state == "FAILED"
    services.provision_tenant(tenant=tenant)
    assert tenant.state == "ACTIVE"


@pytest.mark.parametrize(
    "slug", ["", "Acme", "a b", "-a", "a-", "www", "xn--acme", "ä", "a" * 41, "1a", "a_b", "%s"]
)
@pytest.mark.case("N13")
def test_a_slug_is_a_plain_host_name(db, slug):
    with pytest.raises(services.BadTenant):
        request(slug)


@pytest.mark.case("N13")
@pytest.mark.parametrize(
    "domain", ["аcme.example", "xn--80ak6aa92e.example", "a..b", "a b", "-a.example", "a" * 64 + ".b"]
)
def test_a_domain_is_plain_ascii(db, domain):
    with pytest.raises(services.BadTenant):
        request(domain=domain)


def test_names_stay_taken_after_a_tenant_is_deleted(db):
    tenant = request()
    services.provision_tenant(tenant=tenant)
    services.suspend_tenant(tenant=tenant)
    delete(tenant)
    assert tenant.schema_name not in schemas()
    with pytest.raises(services.TenantExists):
        request()
    assert Client(HTTP_HOST="initech.localhost").get("/admin/").status_code == 404


def test_an_active_tenant_is_not_deleted(acme):
    with pytest.raises(services.WrongState, match="Suspend it first"):
        deleting.delete_tenant(tenant=Tenant.objects.get(slug="acme"))


def test_suspending_pauses_the_tenants_jobs_and_resuming_lets_them_go_on(acme):
    from jobs.models import TenantShare  # noqa: PLC0415 -- beside its use

    tenant = Tenant.objects.get(slug="acme")
    services.suspend_tenant(tenant=tenant)
    assert TenantShare.objects.get(schema=acme.schema).state == "PAUSED"
    services.resume_tenant(tenant=tenant)
    assert TenantShare.objects.get(schema=acme.schema).state == "ACTIVE"


def test_deleting_a_tenant_leaves_none_of_its_jobs_waiting(db):
    from jobs import services as jobs  # noqa: PLC0415 -- beside its use
    from jobs.models import Job, TenantShare  # noqa: PLC0415 -- beside its use

    tenant = request()
    services.provision_tenant(tenant=tenant)
    with in_tenant(tenant.ref):
        jobs.submit("exporter.run", target="now", payload={"slot": "2026-08-26T14:00:00+00:00"})
    services.suspend_tenant(tenant=tenant)
    delete(tenant)
    assert not Job.objects.filter(schema=tenant.schema_name).exists()
    assert not TenantShare.objects.filter(pk=tenant.schema_name).exists()


def test_an_owner_with_a_bad_address_is_refused(db):
    with pytest.raises(services.BadTenant, match="e-mail"):
        request(owner_email="nobody")


def test_domains_are_kept_in_lower_case(db):
    tenant = request(domain="Data.Initech.Example")
    assert Domain.objects.get(tenant=tenant).domain == "data.initech.example"
