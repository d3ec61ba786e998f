from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.services import get_tenant
from tenants.standing import make_writable


class Command(RowhouseCommand):
    help = "Let a read-only tenant be written to again."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        make_writable(tenant=tenant, by="command line")
        return Result(
            {"tenant": tenant.slug, "is_read_only": False}, [f"{tenant.name} can be written to again."]
        )
