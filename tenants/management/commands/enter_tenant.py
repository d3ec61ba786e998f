from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import reverse

from accounts.operators.models import Operator
from accounts.services import ROLES
from core.command import Result, RowhouseCommand
from core.errors import RowhouseError
from tenants.entering import LINK_SECONDS, USUAL_MINUTES, grant_entry, token_of
from tenants.models import Domain
from tenants.services import get_tenant


class UnknownOperator(RowhouseError):
    """`--as` names no active operator."""

    code = "unknown-operator"
    status = 404


class Command(RowhouseCommand):
    help = "Let an operator into a tenant for a while: prints a link that works once."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--as", dest="operator", required=True, metavar="EMAIL", help="the operator")
        parser.add_argument("--reason", required=True, help="why; the tenant's owners read it")
        parser.add_argument("--role", choices=ROLES, default="viewer")
        parser.add_argument("--minutes", type=int, default=USUAL_MINUTES)

    def run(self, **options: Any) -> Result:
        operator = Operator.objects.filter(email__iexact=options["operator"], is_active=True).first()
        if operator is None:
            raise UnknownOperator(f"There is no active operator {options['operator']!r}.")
        tenant = get_tenant(options["slug"])
        grant = grant_entry(
            tenant=tenant,
            operator=operator,
            reason=options["reason"],
            role=options["role"],
            minutes=options["minutes"],
        )
        domain = Domain.objects.filter(tenant=tenant).order_by("-is_primary", "pk").first()
        scheme = "https" if settings.IS_PRODUCTION else "http"
        page = reverse("admin:tenants_enter", urlconf=settings.ROOT_URLCONF)
        link = f"{scheme}://{domain}{page}?token={token_of(grant)}"
        data = {"tenant": tenant.slug, "entry": grant.pk, "link": link, "expires_at": grant.expires_at}
        until = f"{grant.expires_at:%H:%M} UTC"
        lines = [f"Open this within {LINK_SECONDS} seconds; it lets you in once, until {until}:", link]
        return Result(data, lines)
