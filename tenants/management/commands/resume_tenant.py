from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.services import get_tenant, resume_tenant


class Command(RowhouseCommand):
    help = "Serve a suspended tenant again."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        resume_tenant(tenant=tenant, by="command line")
        return Result({"tenant": tenant.slug, "state": tenant.state}, [f"{tenant.name} is active again."])
