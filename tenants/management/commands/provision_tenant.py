from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.models import Domain
from tenants.services import fail_provisioning, provision_tenant, request_tenant


class Command(RowhouseCommand):
    help = "Set up a tenant: its schema, tables, roles, first domain and owner."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--name", default="", help="what people call it")
        parser.add_argument("--admin", required=True, metavar="EMAIL", help="the owner's address")
        parser.add_argument(
            "--password", help="the owner's; without it the owner is invited by a link, which is shown once"
        )
        parser.add_argument("--domain", default="", help="its first domain; by default <slug>.<base domain>")

    def run(self, **options: Any) -> Result:
        tenant = request_tenant(
            slug=options["slug"],
            name=options["name"],
            owner_email=options["admin"],
            domain=options["domain"],
            by="command line",
            provision_now=True,
        )
        try:
            made = provision_tenant(tenant=tenant, owner_password=options["password"])
        except Exception as error:
            fail_provisioning(tenant=tenant, error=str(error))
            raise
        domain = Domain.objects.get(tenant=tenant, is_primary=True).domain
        return Result(
            {
                "tenant": tenant.slug,
                "schema": tenant.schema_name,
                "state": tenant.state,
                "domain": domain,
                "admin": tenant.owner_email,
                "way": made.way,
                "invitation": made.link,
            },
            [
                f"{tenant.name} is active at {domain}.",
                f"{tenant.owner_email} chooses a password at {made.link} (shown this once)."
                if made.link
                else f"Sign in as {tenant.owner_email} with the password given.",
            ],
        )
