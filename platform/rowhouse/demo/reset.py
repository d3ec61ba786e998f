"""Removing what the demo made, and nothing else."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.db import connection

from accounts.operators.models import Operator
from core.backend.roles import drop_roles
from core.tenancy import in_tenant
from jobs import services as jobs
from rowhouse.demo.story import OPERATOR_EMAIL, TENANTS
from tenants.models import Tenant


def remove_everything() -> None:
    """Drop the demo's tenants with their files, its operator and its notes; the database itself stays."""
    tables = connection.introspection.table_names()
    if "tenants_tenant" in tables:
        for tenant in Tenant.objects.filter(slug__in=TENANTS):
            _remove(tenant)
        Operator.objects.filter(email=OPERATOR_EMAIL).delete()
    (settings.ROWHOUSE_DATA / "demo.json").unlink(missing_ok=True)
    shutil.rmtree(settings.ROWHOUSE_DATA / "cache", ignore_errors=True)


def _remove(tenant: Tenant) -> None:
    from core.storage import delete, list_keys  # noqa: PLC0415 -- beside its one use

    with in_tenant(tenant.ref):
        for key, _size in list(list_keys()):
            delete(key)
    jobs.forget_tenant(tenant.schema_name)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {connection.ops.quote_name(tenant.schema_name)} CASCADE")
        drop_roles(cursor, tenant.schema_name)
    # Not a tombstone as for real tenants: the demo takes its names again.
    tenant.domains.all().delete()
    Tenant.objects.filter(pk=tenant.pk).delete()
