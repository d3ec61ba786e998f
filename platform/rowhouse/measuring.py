"""Measuring tenants for the operators' list: each in its turn, once an hour, with a handful of statements."""

from __future__ import annotations

from django.db import connection
from django.db.models import Max, Sum

from accounts.quotas import users
from core.tenancy import current_tenant, in_public, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile
from importer.models import ImportJob
from jobs.kinds import Slice, Step
from tenants.entering import close_past
from tenants.figures import Measured, keep
from tenants.models import Tenant

# All of the tenant's tables with their indexes and long texts, and the records of its datasets: counted where few
# pages hold them, else by rows per page and pages.
CATALOG = r"""
SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0),
       COALESCE(sum(CASE WHEN c.relname ~ '^ds_\d+$' AND c.relpages > 0 AND c.reltuples >= 0
         THEN c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::bigint) END), 0),
       COALESCE(array_agg(c.relname) FILTER (WHERE c.relname ~ '^ds_\d+$'
         AND (c.relpages <= 0 OR c.reltuples < 0)), '{}')
  FROM pg_catalog.pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'm')"""


def measure(work: Slice) -> Step:
    """Measure the tenant of this hour's job, and close the entries of operators whose time is over."""
    measure_current()
    close_past()
    return Step(done=True)


def measure_current() -> Measured:
    """Measure the current tenant and keep the figures. Six statements, however much it holds."""
    with connection.cursor() as cursor:
        cursor.execute(CATALOG)
        size, rows, unknown = cursor.fetchone()
        if unknown:
            counts = " UNION ALL ".join(f'SELECT count(*) FROM "{name}"' for name in unknown)
            cursor.execute(f"SELECT sum(count) FROM ({counts}) AS each(count)")
            rows += int(cursor.fetchone()[0])
    exports = ExportFile.objects.aggregate(last=Max("created_at"))
    stored = ExportFile.objects.stored().filter(destination=None).aggregate(all=Sum("bytes"))
    uploads = ImportJob.objects.exclude(key="").aggregate(all=Sum("bytes"))
    measured = Measured(
        database_bytes=int(size),
        file_bytes=int(stored["all"] or 0) + int(uploads["all"] or 0),
        rows=round(rows),
        datasets=Dataset.objects.count(),
        users=users(0),
        last_export_at=exports["last"],
    )
    schema = current_tenant().schema
    with in_public():
        keep(schema, measured)
    return measured


def measure_tenant(tenant: Tenant) -> Measured:
    """Measure one tenant now, whatever its turn."""
    with in_tenant(tenant.ref):
        return measure_current()
