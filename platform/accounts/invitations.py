"""Invitations: a link by which a person sets the first password, once, within a week, in one tenant.

Nothing is stored (`accounts.password_links`).
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts import password_links
from accounts.models import User
from audit.services import record
from core.errors import RowhouseError

KEPT_DAYS = 7
SALT = "accounts.invitations"


class InvitationInvalid(RowhouseError):
    """An invitation is of another tenant, was altered, was used, or is too old."""

    code = "invitation-invalid"
    status = 404


def invite(*, user: User, by: object = None) -> str:
    """Return the path of the page, on the current tenant's hosts, where the user sets a password."""
    record("accounts.user.invited", actor=by, target=user)
    return reverse("accounts_invitation", args=[token_of(user)], urlconf=settings.ROOT_URLCONF)


def token_of(user: User) -> str:
    """Return what an invitation's address ends with."""
    return password_links.token_of(user, salt=SALT)


def invited(token: str) -> User:
    """Return who is invited by this.

    :raises InvitationInvalid: nobody is, here and now.
    """
    return _or_refused(password_links.whose(token, salt=SALT, seconds=KEPT_DAYS * 86_400))


@transaction.atomic
def accept(*, token: str, password: str) -> User:
    """Give the invited person a password. Of two who use one link at once, the second is told it was used.

    :raises InvitationInvalid: the link does not work, or does not work any more.
    """
    user = _or_refused(password_links.whose_for_update(token, salt=SALT, seconds=KEPT_DAYS * 86_400))
    user.set_password(password)
    user.save(update_fields=["password"])
    record("accounts.user.accepted", actor=user, target=user)
    return user


def _or_refused(user: User | None) -> User:
    if user is None:
        raise InvitationInvalid(
            "This invitation does not work: it was used, is too old, or is cut off. Ask for a new one."
        )
    return user
