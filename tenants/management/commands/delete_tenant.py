from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import NotAllowed, Result, RowhouseCommand
from tenants.services import delete_tenant, get_tenant


class Command(RowhouseCommand):
    help = "Drop a suspended tenant's schema and data for ever. Its names stay taken."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument(
            "--confirm", metavar="SLUG", help="the slug once more: nothing brings the data back"
        )

    def run(self, **options: Any) -> Result:
        if options["confirm"] != options["slug"]:
            raise NotAllowed(
                f"This drops all data of the tenant. Add `--confirm {options['slug']}` if that is meant."
            )
        tenant = get_tenant(options["slug"])
        delete_tenant(tenant=tenant, by="command line")
        return Result({"tenant": tenant.slug, "state": tenant.state}, [f"{tenant.name} is deleted."])
