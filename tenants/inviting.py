"""Inviting a tenant's owner: by a link, shown once to who asked for it, and by mail where there is a server."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from accounts.invitations import KEPT_DAYS, invite
from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import in_tenant
from core.words import count
from jobs import services as jobs
from tenants.models import Domain, Tenant

KIND = "tenants.invite"

logger = logging.getLogger(__name__)


class NotInvited(RowhouseError):
    """The owner cannot be invited: the tenant is not served, or has nobody of this address."""

    code = "not-invited"


class NotMailed(RowhouseError):
    """The mail server did not take an invitation."""

    code = "not-mailed"
    status = 502


@transaction.atomic
def invite_owner(*, tenant: Tenant, by: object = None) -> str:
    """Return a new link by which the owner sets a password. Those from before hold until it is used, or theirs end.

    :raises NotInvited: the tenant is not served, or its owner is gone or was made inactive.
    """
    if tenant.state != Tenant.State.ACTIVE:
        raise NotInvited(
            f"{tenant} is {tenant.get_state_display()}; only the owner of an active tenant is invited."
        )
    with in_tenant(tenant.ref):
        owner = User.objects.filter(email__iexact=tenant.owner_email, is_active=True).first()
        if owner is None:
            raise NotInvited(
                f"{tenant} has no active user {tenant.owner_email}. Another owner there can make one."
            )
        path = invite(user=owner, by=by)
    record("tenants.owner.invited", actor=by, target=tenant)
    return link_to(tenant, path)


def link_to(tenant: Tenant, path: str) -> str:
    """Return the address of a page at the tenant's first domain."""
    domain = Domain.objects.filter(tenant=tenant).order_by("-is_primary", "pk").first()
    scheme = "https" if settings.IS_PRODUCTION else "http"
    return f"{scheme}://{domain.domain}{path}" if domain else path


def mail_invitation(tenant: Tenant) -> None:
    """Have a worker mail the owner an invitation, once the transaction holds; nothing without a mail server."""
    if not settings.MAILERS:
        return
    try:
        jobs.submit(KIND, target=tenant.schema_name, payload={"tenant": tenant.pk})
    except jobs.TargetBusy:
        pass  # one is on its way


def send_invitation(*, tenant: Tenant) -> None:
    """Mail the owner an invitation. Sent twice it is two links, of which the first that is used ends the other.

    :raises NotInvited: the tenant is not served, or its owner is gone.
    :raises NotMailed: the server did not take it.
    """
    link = invite_owner(tenant=tenant, by="the platform")
    text = (
        f"{tenant.name} is set up for you. Choose your password here:\n\n{link}\n\n"
        f"The link works once, within {count(KEPT_DAYS, 'day')}. If you did not expect this mail, leave it be."
    )
    message = EmailMessage(
        f"Your invitation to {tenant.name}", text, settings.DEFAULT_FROM_EMAIL, [tenant.owner_email]
    )
    try:
        message.send(using="default")
    except (OSError, SMTPException) as error:
        raise NotMailed(f"The mail server did not take it ({type(error).__name__}).") from error
