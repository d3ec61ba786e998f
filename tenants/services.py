"""What can be done with tenants, in the order of their life."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.utils.text import capfirst

from accounts.models import User
from accounts.services import create_user, sync_roles
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from jobs import services as jobs
from tenants.migrating import migrate
from tenants.models import Domain, Tenant
from tenants.names import is_domain, is_slug, new_schema_name
from tenants.routing import forget_routes

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


class WrongState(RowhouseError):
    """The tenant is not in the state this needs."""

    code = "wrong-state"


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


def provision_tenant(*, tenant: Tenant, owner_password: str | None = None) -> str:
    """Make the tenant's schema, tables, roles and owner, then let it in. Every step may run again.

    Returns the owner's first password, which is shown once: the given one, or a new one.

    :raises WrongState: the tenant is set up already, suspended or deleted.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # One process at a time sets a tenant up; the lock goes with this transaction or this process.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [tenant.schema_name])
        if not cursor.fetchone()[0]:
            raise WrongState(f"{tenant.slug!r} is being set up by another process. Wait for it to end.")
        _begin(tenant)
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {connection.ops.quote_name(tenant.schema_name)}")
        migrate_schema(tenant.ref)
        password = _people(tenant, owner_password)
        jobs.admit_tenant(tenant.ref)
        if not tenant.move(old=State.PROVISIONING, new=State.ACTIVE):
            raise WrongState(f"{tenant.slug!r} was moved by another process. Try again.")
        forget_routes()
        record("tenants.tenant.provisioned", target=tenant)
    return password


def _begin(tenant: Tenant) -> None:
    tenant.refresh_from_db()
    if tenant.state == State.PROVISIONING:
        return
    for old in (State.REQUESTED, State.FAILED):
        if tenant.move(old=old, new=State.PROVISIONING):
            return
    raise WrongState(f"{tenant.slug!r} is {tenant.get_state_display()}; only a requested tenant is set up.")


def migrate_schema(tenant: TenantRef) -> None:
    """Bring a tenant's tables up to this code."""
    with in_tenant(tenant):
        migrate()


def _people(tenant: Tenant, password: str | None) -> str:
    password = password or secrets.token_urlsafe(12)
    with in_tenant(tenant.ref):
        sync_roles()
        owner = User.objects.filter(email__iexact=tenant.owner_email).first()
        if owner is None:
            create_user(email=tenant.owner_email, password=password, role="owner", by="provisioning")
        else:
            owner.set_password(password)
            owner.save()
    return password


@transaction.atomic
def provision_again(*, tenant: Tenant, by: object = None) -> None:
    """Have a worker set up a tenant that was requested or failed.

    :raises WrongState: there is nothing to set up.
    """
    if tenant.state not in {State.FAILED, State.REQUESTED}:
        raise WrongState(f"{tenant} is {tenant.get_state_display()}; there is nothing to set up.")
    jobs.submit("tenants.provision", target=tenant.schema_name, payload={"tenant": tenant.pk})
    record("tenants.tenant.requested-again", actor=by, target=tenant)


def fail_provisioning(*, tenant: Tenant, error: str) -> None:
    """Note that a tenant could not be set up; it can be tried again."""
    tenant.move(old=State.PROVISIONING, new=State.FAILED, error=error) or tenant.move(
        old=State.REQUESTED, new=State.FAILED, error=error
    )


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


@transaction.atomic
def delete_tenant(*, tenant: Tenant, by: object = None) -> None:
    """Drop a suspended tenant's schema with all its data, then its jobs. Its row stays and keeps its names.

    A slice of its work that runs now is waited for. Its files in storage stay until they are removed by hand.

    :raises WrongState: it is neither suspended nor failed.
    """
    if not (
        tenant.move(old=State.SUSPENDED, new=State.DELETED)
        or tenant.move(old=State.FAILED, new=State.DELETED)
    ):
        raise WrongState(
            f"{tenant.slug!r} is {tenant.get_state_display()}."
            f" Suspend it first: `rowhouse suspend_tenant {tenant.slug}`."
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # a table with checks still to be made cannot be dropped
        cursor.execute(f"DROP SCHEMA IF EXISTS {connection.ops.quote_name(tenant.schema_name)} CASCADE")
    jobs.forget_tenant(tenant.schema_name)  # after the schema: a running slice takes its locks in this order
    forget_routes()
    record("tenants.tenant.deleted", actor=by, target=tenant)
