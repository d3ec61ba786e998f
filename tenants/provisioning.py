"""Setting a tenant up: its schema, by the fastest way there is, its owner, and its place among the tenants served."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from accounts.invitations import invite
from accounts.models import User
from accounts.services import create_user, sync_roles
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import connection, in_tenant
from jobs import services as jobs
from tenants import spares, template
from tenants.catalog import NotCopied
from tenants.inviting import link_to, mail_invitation
from tenants.models import Tenant

State = Tenant.State
KIND = "tenants.provision"
# Longer than any way of setting a tenant up takes; a job of its own may well still be trying.
FORGOTTEN = timedelta(minutes=10)

logger = logging.getLogger(__name__)

Way = Literal["spare", "script", "migrations"]


class WrongState(RowhouseError):
    """The tenant is not in the state this needs."""

    code = "wrong-state"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How a tenant came into being. `link` is the owner's invitation, shown once; "" if a password was given."""

    way: Way
    link: str = ""


def provision(*, tenant: Tenant, owner_password: str | None = None) -> Provisioned:
    """Make the tenant's schema and owner and let it in, all in one transaction: it is there whole, or not at all.

    Without a password the owner is invited by a link.

    :raises WrongState: the tenant is set up already, suspended or deleted, or another process is at it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # One process at a time sets a tenant up; the lock goes with this transaction or this process.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [tenant.schema_name])
        if not cursor.fetchone()[0]:
            raise WrongState(f"{tenant.slug!r} is being set up by another process. Wait for it to end.")
        _begin(tenant)
        way = _make_schema(tenant)
        link = _make_owner(tenant, owner_password)
        jobs.admit_tenant(tenant.ref)
        if not tenant.move(old=State.PROVISIONING, new=State.ACTIVE):
            raise WrongState(f"{tenant.slug!r} was moved by another process. Try again.")
        record("tenants.tenant.provisioned", target=tenant, way=way)
        spares.refill()
    return Provisioned(way, link)


def _begin(tenant: Tenant) -> None:
    tenant.refresh_from_db()
    if tenant.state == State.PROVISIONING:
        return
    for old in (State.REQUESTED, State.FAILED):
        if tenant.move(old=old, new=State.PROVISIONING):
            return
    raise WrongState(f"{tenant.slug!r} is {tenant.get_state_display()}; only a requested tenant is set up.")


def _make_schema(tenant: Tenant) -> Way:
    """Take a spare; without one run the template's script; where that cannot be, run the migrations."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [tenant.schema_name])
        is_there = cursor.fetchone()[0]
        if not is_there and spares.take(cursor, tenant.schema_name):
            return "spare"
        if not is_there and _make_by_script(cursor, tenant):
            return "script"
        if not is_there:
            template.create_schema(cursor, tenant.schema_name)
    template.migrate_schema(tenant.ref)
    with in_tenant(tenant.ref):
        sync_roles()
    return "migrations"


def _make_by_script(cursor: object, tenant: Tenant) -> bool:
    try:
        with transaction.atomic():
            template.create_schema(cursor, tenant.schema_name, template.ensure().script)
    except (NotCopied, DatabaseError):
        logger.warning("No script made the schema of %s; its migrations do", tenant.slug, exc_info=True)
        return False
    return True


def _make_owner(tenant: Tenant, password: str | None) -> str:
    """Make the owner, or give him the password; return the link he is invited by if there is no password."""
    with in_tenant(tenant.ref):
        owner = User.objects.filter(email__iexact=tenant.owner_email).first()
        if owner is None:
            owner = create_user(email=tenant.owner_email, password=password, role="owner", by="provisioning")
        elif password is not None:
            owner.set_password(password)
            owner.save()
        if password is not None:
            return ""
        path = invite(user=owner, by="provisioning")
    mail_invitation(tenant)
    return link_to(tenant, path)


@transaction.atomic
def provision_again(*, tenant: Tenant, by: object = None) -> None:
    """Have a worker set up a tenant that was requested or failed.

    :raises WrongState: there is nothing to set up.
    :raises TargetBusy: a worker is at it.
    """
    if tenant.state not in {State.FAILED, State.REQUESTED, State.PROVISIONING}:
        raise WrongState(f"{tenant} is {tenant.get_state_display()}; there is nothing to set up.")
    jobs.submit(KIND, target=tenant.schema_name, payload={"tenant": tenant.pk})
    record("tenants.tenant.requested-again", actor=by, target=tenant)


def fail(*, tenant: Tenant, error: str) -> None:
    """Note that a tenant could not be set up; it can be tried again."""
    if any(
        tenant.move(old=old, new=State.FAILED, error=error) for old in (State.PROVISIONING, State.REQUESTED)
    ):
        record("tenants.tenant.provisioning-failed", target=tenant, error=error[:500])


def pick_up_forgotten() -> int:
    """Have workers set up what nobody is at although it was asked for; return how many tenants those are.

    A command that was killed leaves one behind. Any number of processes may do so at once.
    """
    found = Tenant.objects.filter(
        state__in=[State.REQUESTED, State.PROVISIONING], state_at__lt=Now() - FORGOTTEN
    )
    picked_up = 0
    for tenant in found.order_by("pk"):
        try:
            provision_again(tenant=tenant, by="the platform")
        except jobs.TargetBusy:  # its job waits, or is tried again
            continue
        picked_up += 1
    return picked_up
