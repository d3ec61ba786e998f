from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from core.tenancy import TenantRef
from exporter.tests.s3 import moto as moto  # fixtures
from exporter.tests.s3 import on_moto as on_moto
from jobs.models import Job, TenantShare
from tenants.backup.models import TenantBackup
from tenants.backup.tests.scene import fill, schemas
from tenants.models import Domain, Tenant
from tenants.template import drop_schema


@pytest.fixture
def tenants(committed_tenants: list[TenantRef]) -> Iterator[list[TenantRef]]:
    """Give two fresh tenants, and remove whatever the test makes of them, backups and further tenants too."""
    known = set(Tenant.objects.values_list("pk", flat=True))
    before = schemas()
    yield committed_tenants
    TenantBackup.objects.all().delete()
    for tenant in Tenant.objects.exclude(pk__in=known):
        Job.objects.filter(schema=tenant.schema_name).delete()
        TenantShare.objects.filter(schema=tenant.schema_name).delete()
        Domain.objects.filter(tenant=tenant).delete()
        tenant.delete()
    Job.objects.filter(schema="public").delete()
    with connection.cursor() as cursor:
        for schema in schemas() - before:
            drop_schema(cursor, schema)


@pytest.fixture
def first(tenants: list[TenantRef]) -> TenantRef:
    """Give a tenant that has lived."""
    fill(tenants[0])
    return tenants[0]
