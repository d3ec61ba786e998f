"""What a proxy hears before it has a certificate made."""

from __future__ import annotations

import pytest
from django.test import Client

from core.tenancy import TenantRef
from tenants.models import Tenant


def asked(domain: str) -> int:
    return Client(HTTP_HOST="localhost").get("/domain-served", {"domain": domain}).status_code


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("localhost", 200), ("acme.localhost", 200), ("ACME.localhost.", 200), ("initech.localhost", 404),
        ("sub.acme.localhost", 404), ("", 404), ("acme.localhost/..", 404), ("example.org", 404),
    ],
)  # fmt: skip
def test_a_certificate_is_made_for_our_own_hosts_alone(acme: TenantRef, domain: str, status: int) -> None:
    assert asked(domain) == status


def test_a_tenant_that_is_not_routed_gets_no_certificate(acme: TenantRef, globex: TenantRef) -> None:
    Tenant.objects.filter(slug="acme").update(state=Tenant.State.DELETING)
    assert (asked("acme.localhost"), asked("globex.localhost")) == (404, 200)


def test_tenants_hosts_do_not_answer_it(acme: TenantRef) -> None:
    assert Client(HTTP_HOST="acme.localhost").get("/domain-served?domain=localhost").status_code == 404
