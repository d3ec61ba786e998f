from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.services import get_tenant
from tenants.standing import make_read_only


class Command(RowhouseCommand):
    help = "Let a tenant's people only look and download."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--reason", default="", help="why, as its people read it")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        make_read_only(tenant=tenant, reason=options["reason"], by="command line")
        return Result({"tenant": tenant.slug, "is_read_only": True}, [f"{tenant.name} is read-only."])
