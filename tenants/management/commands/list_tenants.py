from __future__ import annotations

from typing import Any

from core.command import Result, RowhouseCommand
from tenants.models import Domain, Tenant


class Command(RowhouseCommand):
    help = "List the tenants with state and domains."

    def run(self, **options: Any) -> Result:
        domains: dict[int, list[str]] = {}
        for domain in Domain.objects.order_by("-is_primary", "domain"):
            domains.setdefault(domain.tenant_id, []).append(domain.domain)
        tenants = [
            {
                "tenant": tenant.slug,
                "name": tenant.name,
                "state": tenant.state,
                "schema": tenant.schema_name,
                "domains": domains.get(tenant.pk, []),
            }
            for tenant in Tenant.objects.exclude(state=Tenant.State.DELETED).order_by("slug")
        ]
        lines = [f"{one['tenant']:<20} {one['state']:<12} {', '.join(one['domains'])}" for one in tenants]
        return Result(
            {"tenants": tenants}, lines or ["No tenants yet. `rowhouse provision_tenant` makes the first."]
        )
