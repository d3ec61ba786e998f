"""Commands that work inside one tenant."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from django.core.management.base import CommandParser

from accounts.models import User
from core.command import Result, RowhouseCommand
from core.errors import RowhouseError
from core.tenancy import in_tenant
from tenants.models import Tenant
from tenants.services import WrongState, get_tenant


class UnknownUser(RowhouseError):
    """`--as` names nobody of the tenant."""

    code = "unknown-user"
    status = 404


class TenantCommand(RowhouseCommand):
    """A command with `--tenant SLUG` whose work runs inside that tenant."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant to work in")
        super().add_arguments(parser)

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options.pop("tenant"))
        if tenant.state != Tenant.State.ACTIVE:
            raise WrongState(f"{tenant.slug!r} is {tenant.get_state_display()}; only an active tenant can be worked in.")
        with in_tenant(tenant.ref):
            return self.run_in_tenant(**options)

    @abstractmethod
    def run_in_tenant(self, **options: Any) -> Result:
        """Do the work inside the tenant."""

    def person(self, email: str | None) -> User:
        """Return the user a command acts as: the one named, or the tenant's first owner.

        :raises UnknownUser: there is none.
        """
        users = User.objects.filter(is_active=True)
        user = (
            users.filter(email__iexact=email).first()
            if email
            else users.filter(groups__name="owner").order_by("pk").first()
        )
        if user is None:
            raise UnknownUser(f"No active user {email!r} here." if email else "This tenant has no active owner.")
        return user
