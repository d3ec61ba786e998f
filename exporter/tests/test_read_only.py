"""A read-only tenant is exported like any other."""

from __future__ import annotations

import pytest

import jobs.services
from core.tenancy import TenantRef, in_tenant
from exporter.models import ExportFile
from exporter.services import request_export
from importer.tests.tools import import_text, make_orders
from tenants.models import Tenant
from tenants.standing import make_read_only, make_writable


@pytest.fixture
def locked(pair: list[TenantRef]):
    tenant = Tenant.objects.get(schema_name=pair[0].schema)
    with in_tenant(pair[0]):
        import_text(make_orders())
    make_read_only(tenant=tenant)
    yield pair[0]
    make_writable(tenant=tenant)


def test_exports_go_on_in_a_tenant_that_is_read_only(locked):
    with in_tenant(locked):
        request_export(by=None)
        jobs.services.run_pending()
        assert ExportFile.objects.values_list("rows", flat=True).get() == 3
