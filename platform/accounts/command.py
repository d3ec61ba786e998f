"""Commands that work inside one tenant."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django_tenants.utils import get_tenant_model

from accounts.models import User
from core.command import Result, RowhouseCommand
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant


class TenantNotWorkable(RowhouseError):
    """`--tenant` names none, or one that is not active."""

    code = "unknown-tenant"
    status = 404


class UnknownUser(RowhouseError):
    """`--as` names nobody of the tenant."""

    code = "unknown-user"
    status = 404


class TenantCommand(RowhouseCommand):
    """A command with `--tenant SLUG` whose work runs inside that tenant.

    `also_suspended`: an operator needs it for a suspended tenant too, and its people would notice nothing of it.
    """

    also_suspended: ClassVar[bool] = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant to work in")
        super().add_arguments(parser)

    def run(self, **options: Any) -> Result:
        with in_tenant(active_tenant(options.pop("tenant"), also_suspended=self.also_suspended)):
            return self.run_in_tenant(**options)

    @abstractmethod
    def run_in_tenant(self, **options: Any) -> Result:
        """Do the work inside the tenant."""

    def person(self, email: str | None) -> User:
        """Return the user a command acts as: the one named, or the tenant's first owner.

        :raises UnknownUser: there is none.
        """
        users = User.objects.filter(is_active=True, entry_ends_at=None)
        user = (
            users.filter(email__iexact=email).first()
            if email
            else users.filter(groups__name="owner").order_by("pk").first()
        )
        if user is None:
            raise UnknownUser(
                f"No active user {email!r} here." if email else "This tenant has no active owner."
            )
        return user


def active_tenant(slug: str, *, also_suspended: bool = False) -> TenantRef:
    """Return the tenant of this slug, which is active, or suspended where that will do.

    The model is asked for by its setting: apps that work inside a tenant do not know `tenants`.

    :raises TenantNotWorkable: there is none, or it is not active.
    """
    tenant = get_tenant_model().objects.filter(slug=slug).exclude(state="DELETED").first()
    if tenant is None:
        raise TenantNotWorkable(f"There is no tenant {slug!r}. `rowhouse list_tenants` shows them.")
    if tenant.state not in ({"ACTIVE", "SUSPENDED"} if also_suspended else {"ACTIVE"}):
        raise TenantNotWorkable(
            f"{slug!r} is {tenant.get_state_display()}; only an active tenant can be worked in."
        )
    ref: TenantRef = tenant.ref
    return ref
