"""Invitations: a link by which a person sets the first password, once, within a week, in one tenant.

Nothing is stored. The link is signed for the tenant's schema and holds what the password was: it stops working when
one is set, by it or otherwise, and never worked on another tenant's host.
"""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import current_tenant

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
    return signing.dumps({"user": user.pk, "state": _state(user)}, salt=_salt())


def invited(token: str) -> User:
    """Return who is invited by this.

    :raises InvitationInvalid: nobody is, here and now.
    """
    try:
        said = signing.loads(token, salt=_salt(), max_age=KEPT_DAYS * 86_400)
    except signing.BadSignature:
        said = None
    user = User.objects.filter(pk=said["user"], is_active=True).first() if said else None
    if said is None or user is None or not _is_as_invited(user, said["state"]):
        raise InvitationInvalid(
            "This invitation does not work: it was used, is too old, or is cut off. Ask for a new one."
        )
    return user


@transaction.atomic
def accept(*, token: str, password: str) -> User:
    """Give the invited person a password. Of two who use one link at once, the second is told it was used.

    :raises InvitationInvalid: the link does not work, or does not work any more.
    """
    User.objects.select_for_update().filter(pk=invited(token).pk).first()
    user = invited(token)  # as it is now that nobody else can change it
    user.set_password(password)
    user.save(update_fields=["password"])
    record("accounts.user.accepted", actor=user, target=user)
    return user


def _salt() -> str:
    return f"{SALT}.{current_tenant().schema}"


def _is_as_invited(user: User, state: str) -> bool:
    """Return whether the user is as the link says, whichever of the platform's keys it was made under."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(state, _state(user, key)) for key in keys)


def _state(user: User, key: str | None = None) -> str:
    said = f"{user.pk}.{user.password}.{user.last_login or ''}.{user.email}"
    return salted_hmac(SALT, said, secret=key, algorithm="sha256").hexdigest()[:32]
