from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.domains import claim_domain, instructions
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = "Claim a domain for a tenant, and say how its owner shows it to be theirs."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("domain", metavar="DOMAIN")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        claim = claim_domain(tenant=tenant, domain=options["domain"], by="command line")
        needed = instructions(claim)
        data = {
            "tenant": tenant.slug,
            "domain": claim.domain,
            "record": {"type": "TXT", "name": needed.name, "value": needed.value},
            "expires_at": claim.expires_at,
        }
        lines = [
            f"Add this TXT record until {claim.expires_at:%Y-%m-%d %H:%M} UTC, then verify the domain:",
            f"{needed.name} = {needed.value}",
        ]
        return Result(data, lines)
