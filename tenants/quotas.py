"""How much a tenant may have: what the platform's settings say, and where an operator has said otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.db import transaction

from audit.services import record
from core.errors import RowhouseError
from core.quotas import LABELS, Resource, Use, uses
from core.tenancy import in_tenant
from tenants.models import Tenant
from tenants.operating_models import TenantLimits

MEGABYTE = 1024 * 1024
MOST = 2**60  # what PostgreSQL's bigint holds, with room to add to it


class BadLimit(RowhouseError):
    """A limit is no number from 0 on."""

    code = "bad-limit"
    status = 422


def default_limits() -> dict[Resource, int]:
    """Return the platform's limits by its settings; 0: none. Space in bytes."""
    return {
        Resource.ROWS: settings.ROWHOUSE_QUOTA_ROWS,
        Resource.BYTES: settings.ROWHOUSE_QUOTA_MB * MEGABYTE,
        Resource.DATASETS: settings.ROWHOUSE_QUOTA_DATASETS,
        Resource.JOBS: settings.ROWHOUSE_QUOTA_JOBS,
        Resource.USERS: settings.ROWHOUSE_QUOTA_USERS,
    }


def limits_of(schema: str) -> Mapping[Resource, int]:
    """Return the limits of the tenant of this schema; 0: none. One query, in `public`."""
    own = TenantLimits.objects.filter(tenant__schema_name=schema).first()
    return {one: _chosen(own, one, default) for one, default in default_limits().items()}


def _chosen(own: TenantLimits | None, resource: Resource, default: int) -> int:
    said = getattr(own, resource.value) if own is not None else None
    return default if said is None else int(said)


def uses_of(tenant: Tenant) -> list[Use]:
    """Return what a tenant has of all it has a limit of, counted now."""
    with in_tenant(tenant.ref):
        return uses()


@transaction.atomic
def set_quota(*, tenant: Tenant, limits: Mapping[Resource, int | None], by: object = None) -> TenantLimits:
    """Set limits of a tenant and leave the others. None: what the platform's settings say; 0: no limit.

    What the tenant has already stays, also beyond a new limit: it can only not become more.

    :param limits: counts; of space, bytes.
    :raises BadLimit: a limit is negative or beyond every measure.
    """
    for resource, limit in limits.items():
        if limit is not None and not 0 <= limit <= MOST:
            raise BadLimit(
                f"{limit} cannot be a limit of {LABELS[resource]}. Give a number from 0 (no limit) on."
            )
    TenantLimits.objects.get_or_create(tenant=tenant)
    own = TenantLimits.objects.select_for_update().get(tenant=tenant)
    for resource, limit in limits.items():
        setattr(own, resource.value, limit)
    own.save()
    record(
        "tenants.quota.set", actor=by, target=tenant, **{one.value: limit for one, limit in limits.items()}
    )
    return own
