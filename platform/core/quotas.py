"""How much a tenant may have, and how much it has: asked here by whoever is about to add to it.

The app that knows the limits says so on its AppConfig: `quota_limits = "tenants.quotas.limits_of"`, a function that
takes a schema's name, is called in `public`, and returns the limit of each resource (0: none). The apps that know
what there is say `quota_used = {"rows": "datasets.quotas.rows"}`: functions that are called inside the tenant and
take the limit, far below which they need not count one by one; what several tell of one resource is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from django.apps import apps
from django.db import connection
from django.template.defaultfilters import filesizeformat
from django.utils.module_loading import import_string

from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public, tenant_or_none

WARN_PERCENT = 80


class Resource(StrEnum):
    """What is counted. `JOBS`: background work that waits or runs."""

    ROWS = "rows"
    BYTES = "bytes"
    DATASETS = "datasets"
    JOBS = "jobs"
    USERS = "users"


LABELS = {
    Resource.ROWS: "records",
    Resource.BYTES: "space",
    Resource.DATASETS: "datasets",
    Resource.JOBS: "jobs waiting or running",
    Resource.USERS: "active users",
}
REMEDIES = {
    Resource.ROWS: "Delete records that nobody needs, or ask the operator for more.",
    Resource.BYTES: "Keep fewer exports, remove records, or ask the operator for more.",
    Resource.DATASETS: "Delete a dataset that nobody needs, or ask the operator for more.",
    Resource.JOBS: "Wait until some of them have ended, or ask the operator for more.",
    Resource.USERS: "Make somebody who left inactive, or ask the operator for more.",
}


class QuotaReached(RowhouseError):
    """The tenant has as much of something as it may have."""

    code = "quota-reached"


@dataclass(frozen=True, slots=True)
class Use:
    """How much there is of a resource, of how much. `limit`: 0 is no limit; bytes for space, else a count."""

    resource: Resource
    used: int
    limit: int

    @property
    def label(self) -> str:
        return LABELS[self.resource]

    @property
    def used_said(self) -> str:
        return amount(self.resource, self.used)

    @property
    def limit_said(self) -> str:
        return amount(self.resource, self.limit)

    @property
    def percent(self) -> int:
        """Return how much of the limit is taken, rounded down; may be more than 100. 0 without a limit."""
        return 100 * self.used // self.limit if self.limit else 0

    @property
    def is_reached(self) -> bool:
        return bool(self.limit) and self.used >= self.limit

    @property
    def is_warned(self) -> bool:
        """Return whether people should be told: from WARN_PERCENT on."""
        return bool(self.limit) and self.percent >= WARN_PERCENT

    @property
    def remedy(self) -> str:
        """Return what people can do when it is nearly taken."""
        return REMEDIES[self.resource]

    @property
    def said(self) -> str:
        """Return it in words: "812 of 1,000 records"."""
        return (
            f"{amount(self.resource, self.used)} of {amount(self.resource, self.limit)}{_noun(self.resource)}"
        )


def amount(resource: Resource, number: int) -> str:
    """Return an amount for people.

    >>> amount(Resource.ROWS, 12345)
    '12,345'
    """
    return filesizeformat(number).replace("\xa0", " ") if resource is Resource.BYTES else f"{number:,}"


def _noun(resource: Resource) -> str:
    return " of space" if resource is Resource.BYTES else f" {LABELS[resource]}"


def limit_of(resource: Resource) -> int:
    """Return how much of it the current tenant may have; 0: no limit."""
    return limits().get(resource, 0)


def limits() -> Mapping[Resource, int]:
    """Return the current tenant's limits; 0 is no limit. One query."""
    schema = current_tenant().schema
    found: dict[Resource, int] = {}
    with in_public():
        for tell in _limit_tellers():
            found |= tell(schema)
    return found


def used(resource: Resource, limit: int = 0) -> int:
    """Return how much of it the current tenant has; far below a limit, about how much."""
    return sum(tell(limit) for tell in _use_tellers(resource))


def uses() -> list[Use]:
    """Return all that the current tenant has a limit of, in the order of `Resource`."""
    found = limits()
    return [Use(one, used(one, found[one]), found[one]) for one in Resource if found.get(one, 0)]


def require_room(resource: Resource, wanted: int = 1) -> None:
    """Go on only if the current tenant may have `wanted` more of a resource. Without a limit: one small query.

    Inside a transaction, whoever else asks for the same resource of the tenant waits until that transaction ends,
    so that two do not both take the last place. Space and background work are not waited for: they may be
    exceeded by what is asked for at the same moment.

    :raises QuotaReached: it would be too much; the message has the figures.
    """
    tenant = tenant_or_none()
    if tenant is None or wanted <= 0 or not (limit := limit_of(resource)):
        return
    if resource not in {Resource.BYTES, Resource.JOBS} and connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [tenant.schema, resource.value]
            )
    has = used(resource, limit)
    if has + wanted > limit:
        use = Use(resource, has, limit)
        is_one = wanted == 1 and resource is not Resource.BYTES
        more = "" if is_one else f"; {amount(resource, wanted)} more were asked for"
        raise QuotaReached(f"{tenant.slug} has {use.said}{more}. {REMEDIES[resource]}")


@cache
def _limit_tellers() -> tuple[Callable[[str], Mapping[Resource, int]], ...]:
    paths = [getattr(config, "quota_limits", "") for config in apps.get_app_configs()]
    return tuple(import_string(path) for path in paths if path)


@cache
def _use_tellers(resource: Resource) -> tuple[Callable[[int], int], ...]:
    told = [getattr(config, "quota_used", {}) for config in apps.get_app_configs()]
    return tuple(import_string(one[resource.value]) for one in told if resource.value in one)
