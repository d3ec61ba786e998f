"""What can be done with tenants, in the order of their life."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.text import capfirst

from audit.services import record
from core.errors import RowhouseError
from core.tenancy import in_tenant
from jobs import services as jobs
from tenants.inviting import NotInvited, invite_owner
from tenants.models import Domain, Tenant
from tenants.names import is_domain, is_slug, new_schema_name
from tenants.provisioning import Provisioned, WrongState, provision, provision_again
from tenants.provisioning import fail as fail_provisioning
from tenants.routing import forget_routes
from tenants.template import migrate_schema

__all__ = [
    "BadTenant",
    "NotInvited",
    "Provisioned",
    "TenantExists",
    "UnknownTenant",
    "WrongState",
    "fail_provisioning",
    "get_tenant",
    "invite_owner",
    "migrate_schema",
    "provision_again",
    "provision_tenant",
    "request_tenant",
    "resume_tenant",
    "suspend_tenant",
]

State = Tenant.State


class BadTenant(RowhouseError):
    """A tenant cannot be called or reached like this."""

    code = "bad-tenant"
    status = 422


class TenantExists(RowhouseError):
    """The slug or the domain belongs to a tenant already, or once did."""

    code = "tenant-exists"


class UnknownTenant(RowhouseError):
    """There is no tenant of this slug."""

    code = "unknown-tenant"
    status = 404


def get_tenant(slug: str) -> Tenant:
    """Return a tenant that was not deleted.

    :raises UnknownTenant: there is none of this slug.
    """
    tenant = Tenant.objects.exclude(state=State.DELETED).filter(slug=slug).first()
    if tenant is None:
        raise UnknownTenant(f"There is no tenant {slug!r}. `rowhouse list_tenants` shows them.")
    return tenant


def request_tenant(
    *,
    slug: str,
    name: str,
    owner_email: str,
    domain: str = "",
    by: object = None,
    provision_now: bool = False,
) -> Tenant:
    """Write down a tenant to be set up; a worker sets it up unless `provision_now` is asked for.

    :raises BadTenant: a name cannot be used.
    :raises TenantExists: a name is taken, perhaps by a tenant that was deleted.
    """
    domain = (domain or f"{slug}.{settings.ROWHOUSE_BASE_DOMAIN}").lower()
    _check_names(slug=slug, domain=domain, owner_email=owner_email)
    try:
        with transaction.atomic():
            tenant = Tenant.objects.create(
                schema_name=new_schema_name(), slug=slug, name=name or capfirst(slug), owner_email=owner_email
            )
            Domain.objects.create(tenant=tenant, domain=domain, is_primary=True)
            record("tenants.tenant.requested", actor=by, target=tenant, domain=domain)
            if not provision_now:
                jobs.submit("tenants.provision", target=tenant.schema_name, payload={"tenant": tenant.pk})
    except IntegrityError:
        raise TenantExists(
            f"The slug {slug!r} or the domain {domain!r} is taken. Names of deleted tenants stay taken."
        ) from None
    return tenant


def _check_names(*, slug: str, domain: str, owner_email: str) -> None:
    if not is_slug(slug):
        raise BadTenant(
            f"{slug!r} cannot be a slug: up to 40 lower-case letters, digits and hyphens, beginning with a letter, "
            "and none of the reserved words such as www or admin."
        )
    if not is_domain(domain):
        raise BadTenant(f"{domain!r} cannot be a domain: lower-case ASCII letters, digits, hyphens and dots.")
    try:
        validate_email(owner_email)
    except ValidationError:
        raise BadTenant(f"{owner_email!r} is not an e-mail address.") from None


def provision_tenant(*, tenant: Tenant, owner_password: str | None = None) -> Provisioned:
    """Make the tenant's schema with all that is in it, and its owner, then let it in (`provisioning`).

    Without a password the owner is invited: the link is in what is returned, and is mailed if there is a server.

    :raises WrongState: the tenant is set up already, suspended or deleted, or another process is at it.
    """
    made = provision(tenant=tenant, owner_password=owner_password)
    forget_routes()
    return made


@transaction.atomic
def suspend_tenant(*, tenant: Tenant, by: object = None) -> None:
    """Stop serving a tenant, working for it and exporting it; its data stays. Everybody is signed out.

    Imports that go on end with nothing applied; other work waits. Links to files that a bucket has signed are good
    for the rest of their minute; other processes refuse requests within `ROWHOUSE_ROUTING_SECONDS`.

    :raises WrongState: it is not active.
    """
    if not tenant.move(old=State.ACTIVE, new=State.SUSPENDED):
        raise WrongState(
            f"{tenant.slug!r} is {tenant.get_state_display()}; only an active tenant is suspended."
        )
    jobs.suspend_tenant(tenant.schema_name)
    with in_tenant(tenant.ref):
        Session.objects.all().delete()
    forget_routes()
    record("tenants.tenant.suspended", actor=by, target=tenant)


@transaction.atomic
def resume_tenant(*, tenant: Tenant, by: object = None) -> None:
    """Serve a suspended tenant again; its jobs that were paused go on where they stood.

    :raises WrongState: it is not suspended.
    """
    if not tenant.move(old=State.SUSPENDED, new=State.ACTIVE):
        raise WrongState(
            f"{tenant.slug!r} is {tenant.get_state_display()}; only a suspended tenant is resumed."
        )
    jobs.resume_tenant(tenant.schema_name)
    forget_routes()
    record("tenants.tenant.resumed", actor=by, target=tenant)
