from __future__ import annotations

import pytest
from django.test import Client

from core.tenancy import in_tenant, tenant_or_none
from tenants.models import Domain, Tenant


def status(host: str, path: str = "/admin/login/") -> int:
    return Client(HTTP_HOST=host).get(path).status_code


@pytest.mark.case("T02")
@pytest.mark.parametrize(
    "host", ["acme.localhost", "ACME.localhost", "acme.localhost.", "Acme.LOCALHOST:8000"]
)
def test_a_tenant_is_found_however_its_host_is_written(acme, host):
    assert status(host) == 200


@pytest.mark.case("T02")
@pytest.mark.parametrize(
    "host",
    ["user@acme.localhost", "acme.localhost,globex.localhost", "http://acme.localhost", "", "[::1]", "acme.localhost:x",
     "acme.localhost..", "www.acme.localhost", "acme_localhost", "acme.localhost/x"],
)  # fmt: skip
def test_an_odd_host_is_not_found(acme, host):
    assert status(host) == 404


@pytest.mark.case("T03")
@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Tenant", "X_Tenant", "Forwarded"])
def test_headers_do_not_choose_the_tenant(acme, globex, header):
    answer = Client(HTTP_HOST="acme.localhost").get("/admin/login/", headers={header: "globex.localhost"})
    assert "Acme" in answer.text
    assert "Globex" not in answer.text


@pytest.mark.case("T04")
@pytest.mark.parametrize("state", ["REQUESTED", "PROVISIONING", "FAILED", "DELETING", "DELETED"])
def test_an_unfinished_tenant_looks_like_one_that_never_was(acme, state):
    Tenant.objects.filter(slug="acme").update(state=state)
    ours = Client(HTTP_HOST="acme.localhost").get("/admin/login/")
    nobodys = Client(HTTP_HOST="nobody.localhost").get("/admin/login/")
    assert (ours.status_code, ours.content) == (404, nobodys.content)


@pytest.mark.case("T04")
def test_a_suspended_tenant_shows_a_notice(acme, client_of):
    client = client_of(acme)
    Tenant.objects.filter(slug="acme").update(state="SUSPENDED")
    answer = client.get("/admin/")
    assert answer.status_code == 503
    assert "suspended" in answer.text


@pytest.mark.case("T32")
@pytest.mark.parametrize(
    "path",
    [
        "/operator/",
        "/admin/tenants/tenant/",
        "/admin/django_q/schedule/",
        "/admin/jobs/tenantshare/",
        "/admin/operators/operator/",
    ],
)
def test_platform_pages_are_not_on_a_tenants_host(acme, client_of, path):
    assert client_of(acme).get(path).status_code == 404


@pytest.mark.case("A20")
@pytest.mark.parametrize(
    "path", ["/operator/django_q/schedule/", "/operator/django_q/success/", "/admin/django_q/failure/"]
)
def test_the_queues_own_pages_are_nowhere(db, path):
    assert Client(HTTP_HOST="localhost").get(path).status_code in {302, 404}
    from django.contrib import admin  # noqa: PLC0415 -- the default site, which we never use
    from django_q.models import Failure, OrmQ, Schedule, Success  # noqa: PLC0415 -- beside its use

    from accounts.sites import operator_site, tenant_site  # noqa: PLC0415 -- beside its use

    for site in (admin.site, operator_site, tenant_site):
        assert not {Schedule, Success, Failure, OrmQ} & set(site._registry)


@pytest.mark.case("T01")
@pytest.mark.case("T13")
def test_one_tenants_session_is_nobody_at_another(acme, globex, client_of):
    client = client_of(acme)
    assert client.get("/admin/").status_code == 200
    answer = client.get("/admin/", HTTP_HOST="globex.localhost")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login/?next=/admin/")


def test_the_tenant_is_left_after_a_request(acme, client_of):
    client_of(acme).get("/admin/")
    assert tenant_or_none() is None


def test_a_schema_name_that_nobody_generated_is_refused_by_the_database(db):
    from django.db import IntegrityError  # noqa: PLC0415 -- beside its use

    with pytest.raises(IntegrityError, match="schema_name_is_generated"):
        Tenant.objects.create(schema_name="public", slug="evil", name="x", owner_email="a@b.example")


def test_operators_sign_in_on_the_platforms_host_alone(acme, client_of):
    from accounts.operators.models import Operator  # noqa: PLC0415 -- beside its use

    Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    form = {"username": "op@example.com", "password": "correct horse battery"}
    platform, tenant = Client(HTTP_HOST="localhost"), Client(HTTP_HOST="acme.localhost")
    assert platform.post("/operator/login/", form).status_code == 302
    assert platform.get("/operator/").status_code == 200
    assert tenant.post("/admin/login/", form).status_code == 200  # the form again
    with in_tenant(acme):
        pass
    assert Domain.objects.filter(tenant__slug="acme").count() == 1


@pytest.mark.case("T01")
def test_a_tenants_owner_is_nobody_on_the_operator_site(acme, client_of):
    client = client_of(acme)
    assert client.get("/operator/", HTTP_HOST="localhost").status_code == 302
