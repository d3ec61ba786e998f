"""Links by which somebody sets a password, once: signed for one tenant and one purpose, and stored nowhere.

A link holds what the password was: it stops working when one is set, by it or otherwise, or when the person signs in,
and never worked on another tenant's host.
"""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import User
from core.tenancy import current_tenant


def token_of(user: User, *, salt: str) -> str:
    """Return what a link's address ends with."""
    return signing.dumps({"user": user.pk, "state": _state(user, salt)}, salt=_salt(salt))


def whose(token: str, *, salt: str, seconds: int) -> User | None:
    """Return whose link it is, if it was made at most so many seconds ago, here, and was not used since."""
    try:
        said = signing.loads(token, salt=_salt(salt), max_age=seconds)
    except signing.BadSignature:
        return None
    user = User.objects.filter(pk=said["user"], is_active=True).first()
    return user if user is not None and _is_as_said(user, said["state"], salt) else None


def whose_for_update(token: str, *, salt: str, seconds: int) -> User | None:
    """Return whose link it is, held until the transaction ends: of two who use one at once, the second gets None."""
    user = whose(token, salt=salt, seconds=seconds)
    if user is None:
        return None
    User.objects.select_for_update().filter(pk=user.pk).first()
    return whose(token, salt=salt, seconds=seconds)  # as it is now that nobody else can change it


def _salt(salt: str) -> str:
    return f"{salt}.{current_tenant().schema}"


def _is_as_said(user: User, state: str, salt: str) -> bool:
    """Return whether the user is as the link says, whichever of the platform's keys it was made under."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(state, _state(user, salt, key)) for key in keys)


def _state(user: User, salt: str, key: str | None = None) -> str:
    said = f"{user.pk}.{user.password}.{user.last_login or ''}.{user.email}"
    return salted_hmac(salt, said, secret=key, algorithm="sha256").hexdigest()[:32]
