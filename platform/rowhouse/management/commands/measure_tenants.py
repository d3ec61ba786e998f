from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from rowhouse.measuring import measure_tenant
from tenants.models import Tenant
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = "Measure tenants now, for the operators' list."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="left out: every tenant in use")

    def run(self, **options: Any) -> Result:
        states = [Tenant.State.ACTIVE, Tenant.State.SUSPENDED]
        found = [get_tenant(slug) for slug in options["slugs"]]
        found = found or list(Tenant.objects.filter(state__in=states).order_by("slug"))
        measured = [(tenant, measure_tenant(tenant)) for tenant in found]
        data = [
            {
                "tenant": tenant.slug,
                "database_bytes": one.database_bytes,
                "file_bytes": one.file_bytes,
                "rows": one.rows,
                "datasets": one.datasets,
                "users": one.users,
                "last_export_at": one.last_export_at,
            }
            for tenant, one in measured
        ]
        lines = [
            f"{tenant.slug}: {one.rows:,} records, {one.database_bytes + one.file_bytes:,} bytes"
            for tenant, one in measured
        ]
        return Result({"tenants": data}, lines or ["No tenant is in use yet."])
