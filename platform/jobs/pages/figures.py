"""How much work each tenant has, set-based: the number of queries does not grow with the tenants."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, DateTimeField, IntegerField, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from jobs.kinds import hourly_kinds, slot_kinds
from jobs.models import PUBLIC, Job, State, TenantShare
from jobs.pages.filters import failed_lately

# A job whose next slice waits for its turn is running, as people see it.
_RUNNING = "(state = 'RUNNING' OR state = 'QUEUED' AND step > 0 AND not_before <= statement_timestamp())"
_QUEUED = "state = 'QUEUED' AND NOT (step > 0 AND not_before <= statement_timestamp())"
_FAILED = "state = 'FAILED' AND finished_at > statement_timestamp() - interval '1 day'"
# Of the first slice alone: nobody notes since when a job between two slices waits.
_WAITING = "state = 'QUEUED' AND step = 0 AND not_before <= statement_timestamp()"


def _per_tenant(figure: str, condition: str, cast: str) -> str:
    # PostgreSQL works the inner query out once for the whole list; joined by tenant, or as a subquery of
    # each row, it would be looked up a thousand times.
    return (
        f"(((SELECT jsonb_object_agg(schema, figure) FROM (SELECT schema, {figure} AS figure FROM jobs_job"  # noqa: S608 -- our own words
        f" WHERE {condition} GROUP BY schema) f) ->> jobs_tenantshare.schema)::{cast})"
    )


def _count(condition: str) -> RawSQL:
    sql = f"COALESCE({_per_tenant('count(*)', condition, 'int')}, 0)"
    return RawSQL(sql, [], output_field=IntegerField())  # noqa: S611 -- our own words


def with_figures(shares: QuerySet[TenantShare]) -> QuerySet[Any]:
    """Add running, queued, failed (24 hours), since when the oldest job waits, and its last slot."""
    oldest = _per_tenant("min(not_before)", _WAITING, "timestamptz")
    hourly = Job.objects.filter(
        schema=OuterRef("schema"), kind__in=hourly_kinds() + slot_kinds(), idem_key__isnull=False
    ).order_by()
    return shares.annotate(
        running=_count(_RUNNING),
        queued=_count(_QUEUED),
        failed=_count(_FAILED),
        oldest_at=RawSQL(  # noqa: S611 -- our own words
            f"CASE WHEN jobs_tenantshare.state = 'ACTIVE' THEN {oldest} END", [], output_field=DateTimeField()
        ),
        last_slot=Subquery(hourly.values("schema").annotate(last=Max("target")).values("last")),
    )


def totals() -> dict[str, Any]:
    """Return the same figures over all tenants, and how many tenants are paused. Two queries."""
    active = TenantShare.objects.filter(state=TenantShare.State.ACTIVE).values("schema")
    between = Q(state=State.QUEUED, step__gt=0, not_before__lte=Now())
    first = Q(state=State.QUEUED, step=0, not_before__lte=Now(), schema__in=active)
    figures = Job.objects.filter(Q(state__in=(State.RUNNING, State.QUEUED)) | failed_lately()).aggregate(
        running=Count("pk", filter=Q(state=State.RUNNING) | between),
        queued=Count("pk", filter=Q(state=State.QUEUED) & ~between),
        failed=Count("pk", filter=Q(state=State.FAILED)),
        oldest_at=Min("not_before", filter=first),
        waiting_tenants=Count("schema", distinct=True, filter=first),
    )
    paused = TenantShare.objects.filter(state=TenantShare.State.PAUSED).exclude(pk=PUBLIC).count()
    return {**figures, "paused": paused}
