"""Removing what the demo made, and nothing else."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate
from django.db import connection

from accounts.operators.models import Operator
from core.tenancy import in_tenant
from jobs import services as jobs
from rowhouse.demo.story import OPERATOR_EMAIL, TENANTS
from tenants.backup.models import TenantBackup
from tenants.backup.store import backup_store
from tenants.models import Tenant
from tenants.template import drop_schema


def remove_everything() -> None:
    """Drop the demo's tenants with their files, its operator and its notes; the database itself stays."""
    tables = connection.introspection.table_names()
    if "tenants_tenant" in tables:
        call_command(
            Migrate(), interactive=False, verbosity=0
        )  # what refers to tenants may be of this release
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
        drop_schema(cursor, tenant.schema_name)
    backups = TenantBackup.objects.filter(tenant=tenant)
    backup_store().delete_many(backups.exclude(key="").values_list("key", flat=True))
    backups.delete()  # which otherwise hold their tenant's row
    # Not a tombstone as for real tenants: the demo takes its names again.
    tenant.domains.all().delete()
    Tenant.objects.filter(pk=tenant.pk).delete()
