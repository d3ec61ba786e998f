from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.domains import ClaimEnded, verify_domain
from tenants.models import DomainClaim
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = "Look for the record of a claimed domain; when it is there, the domain leads to the tenant."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("domain", metavar="DOMAIN")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        claims = DomainClaim.objects.select_related("tenant").filter(tenant=tenant)
        claim = claims.filter(domain=options["domain"].strip().rstrip(".").lower()).first()
        if claim is None:
            raise ClaimEnded(
                f"{tenant.slug!r} has no claim of {options['domain']}. `rowhouse add_domain` makes one."
            )
        domain = verify_domain(claim=claim, by="command line")
        data = {"tenant": tenant.slug, "domain": domain.domain}
        return Result(data, [f"{domain} leads to {tenant.name} now."])
