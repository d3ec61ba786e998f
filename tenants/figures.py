"""What a tenant takes and holds, kept from the last time it was measured, so that a list of a thousand asks once.

Whoever knows what there is inside a tenant measures it (`rowhouse.measuring`) and hands it in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    BigIntegerField,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual

from core.quotas import WARN_PERCENT, Resource
from jobs.models import Job, State
from tenants.models import Tenant
from tenants.operating_models import ReadOnlyTenant, TenantFigures
from tenants.quotas import default_limits

# It is measured every hour.
MEASURED_WITHIN = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one tenant. Bytes of its tables with indexes, and of the files it has in storage."""

    database_bytes: int
    file_bytes: int
    rows: int
    datasets: int
    users: int
    last_export_at: datetime | None


def keep(schema: str, measured: Measured) -> bool:
    """Note what a tenant was measured to take, by the database's clock; False: there is no such tenant.

    Must run in `public`.
    """
    tenant = Tenant.objects.exclude(state=Tenant.State.DELETED).filter(schema_name=schema).first()
    if tenant is None:
        return False
    values = {name: getattr(measured, name) for name in Measured.__dataclass_fields__}
    TenantFigures.objects.update_or_create(tenant=tenant, defaults={**values, "measured_at": Now()})
    return True


def _jobs(which: Q) -> Coalesce:
    counted = Job.objects.filter(which, schema=OuterRef("schema_name")).order_by().values("schema")
    return Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


def with_figures(tenants: QuerySet[Any]) -> QuerySet[Any]:
    """Return tenants with what was measured, their work as it stands now, and whether they are read-only.

    However many there are, it is the one statement that reads them.
    """
    figured: QuerySet[Any] = tenants.select_related("figures", "limits").annotate(
        running=_jobs(Q(state=State.RUNNING)),
        queued=_jobs(Q(state=State.QUEUED)),
        failed=_jobs(Q(state=State.FAILED, finished_at__gt=Now() - timedelta(days=1))),
        is_read_only=Exists(ReadOnlyTenant.objects.filter(tenant=OuterRef("pk"))),
        all_bytes=F("figures__database_bytes") + F("figures__file_bytes"),
    )
    return figured


def past(percent: int) -> Q:
    """Return the condition of a tenant of `with_figures` that has so many percent or more of one of its limits.

    By what was measured last; jobs as they are now.
    """
    has: dict[Resource, Any] = {
        Resource.ROWS: F("figures__rows"),
        Resource.BYTES: F("all_bytes"),
        Resource.DATASETS: F("figures__datasets"),
        Resource.JOBS: F("running") + F("queued"),
        Resource.USERS: F("figures__users"),
    }
    found = Q(pk__in=[])
    for resource, default in default_limits().items():
        limit = Coalesce(F(f"limits__{resource.value}"), Value(default), output_field=BigIntegerField())
        found |= Q(GreaterThan(limit, 0)) & Q(GreaterThanOrEqual(has[resource] * 100, limit * percent))
    return found


def nearly_full() -> Q:
    """Return the condition of a tenant whose people are warned."""
    return past(WARN_PERCENT)


def stale() -> Q:
    """Return the condition of a tenant in use that was not measured for three hours, or never."""
    old = Q(figures=None) | Q(figures__measured_at__lt=Now() - MEASURED_WITHIN)
    return Q(state=Tenant.State.ACTIVE) & old
