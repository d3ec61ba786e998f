"""Tenants that are committed: other processes, threads and connections see them."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from accounts.services import create_user
from core.tenancy import TenantRef, in_tenant, leave_tenant
from tenants.models import Domain, Tenant
from tenants.services import provision_tenant, request_tenant
from tenants.template import drop_schema


def provision(slug: str, password: str) -> TenantRef:
    """Make a tenant with an owner, an editor and a viewer of the same password, and return it."""
    owner = f"owner@{slug}.example"
    tenant = request_tenant(slug=slug, name=slug.title(), owner_email=owner, provision_now=True)
    provision_tenant(tenant=tenant, owner_password=password)
    with in_tenant(tenant.ref):
        for role in ("editor", "viewer"):
            create_user(email=f"{role}@{slug}.example", password=password, role=role)
    return tenant.ref


def drop(refs: Iterable[TenantRef]) -> None:
    """Leave nothing of these tenants."""
    leave_tenant()
    for ref in refs:
        with connection.cursor() as cursor:
            drop_schema(cursor, ref.schema)
            cursor.execute("DELETE FROM jobs_job WHERE schema = %s OR target = %s", [ref.schema, ref.schema])
            cursor.execute("DELETE FROM jobs_tenantshare WHERE schema = %s", [ref.schema])
        Domain.objects.filter(tenant__slug=ref.slug).delete()
        Tenant.objects.filter(slug=ref.slug).delete()
