from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.services import get_tenant, suspend_tenant


class Command(RowhouseCommand):
    help = "Stop serving a tenant; its data stays."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        suspend_tenant(tenant=tenant, by="command line")
        return Result({"tenant": tenant.slug, "state": tenant.state}, [f"{tenant.name} is suspended."])
