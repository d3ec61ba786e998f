"""What can be done with tokens: make one, find whose it is, note its use, revoke it."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import cast

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from knox.crypto import hash_token
from knox.settings import CONSTANTS

from accounts.models import User
from accounts.tokens.models import ApiToken, Scope, TokenAddress
from audit.services import record
from core.clock import now
from core.errors import BadFields, RowhouseError

PREFIX = "rwh_"  # scanners of source code know a secret of ours by it
LENGTH = len(PREFIX) + 64
MOST_DAYS = 365
MOST_ACTIVE = 50
USE_NOTED_EVERY = timedelta(minutes=1)


class BadToken(BadFields):
    """A token was asked for that cannot be."""

    code = "bad-token"


class TooManyTokens(RowhouseError):
    """A person has as many tokens as he may."""

    code = "too-many-tokens"


class NoTokenForOperators(RowhouseError):
    """An operator who is inside for a while asked for a token."""

    code = "no-token-for-operators"
    status = 403


class TokenEnded(RowhouseError):
    """A token that is revoked or has expired was to be revoked."""

    code = "token-ended"


class TokenRefused(RowhouseError):
    """Nobody may come in with this token, or not any more."""

    code = "invalid-token"
    status = 401


class TokenExpired(TokenRefused):
    """Its time is over."""

    code = "token-expired"


class TokenRevoked(TokenRefused):
    """Somebody revoked it."""

    code = "token-revoked"


class PersonInactive(TokenRefused):
    """Whose it is may not come in any more."""

    code = "person-inactive"


@transaction.atomic
def create_token(
    *,
    user: User,
    name: str,
    scopes: Collection[str],
    days: int | None = None,
    datasets: Collection[int] | None = None,
) -> tuple[ApiToken, str]:
    """Make a token of a person's own; return it with the secret, which nobody can tell again.

    :param days: how long it is good, 1 to MOST_DAYS; None: ROWHOUSE_API_ACCESS_DAYS.
    :param datasets: primary keys of the datasets it is for; None: every one its person may reach.
    :raises BadToken: there is no name, no scope, an unknown one, no dataset, or the days are not within the limits.
    :raises TooManyTokens: the person has MOST_ACTIVE that are good.
    :raises NoTokenForOperators: the person is an operator, let in for a while.
    """
    if user.is_operator_entry:
        raise NoTokenForOperators("Operators are let in for an hour, and a token would stay. Make none here.")
    days = settings.ROWHOUSE_API_ACCESS_DAYS if days is None else days
    name = " ".join(name.split())
    if faults := _faults(name, scopes, days, datasets):
        raise BadToken(faults)
    User.objects.select_for_update().get(pk=user.pk)  # of two at once the second counts the first
    if ApiToken.objects.filter(user=user, revoked_at=None, expiry__gt=now()).count() >= MOST_ACTIVE:
        raise TooManyTokens(f"You have {MOST_ACTIVE} tokens that are good. Revoke one, then make another.")
    token, secret = ApiToken.objects.create(
        user=user,
        expiry=timedelta(days=days),
        prefix=PREFIX,
        name=name,
        scopes=[one for one in Scope.values if one in scopes],
        datasets=None if datasets is None else sorted(set(datasets)),
    )
    record(
        "accounts.token.created", actor=user, target=token, scopes=token.scopes, datasets=token.datasets,
        expires_at=token.expiry.isoformat(),
    )  # fmt: skip
    return cast("ApiToken", token), str(secret)


def _faults(
    name: str, scopes: Collection[str], days: int, datasets: Collection[int] | None
) -> dict[str, str]:
    faults = {}
    if not name or len(name) > 100 or not name.isprintable():
        faults["name"] = "Say in at most 100 characters what it is for."
    if not scopes or not set(scopes) <= set(Scope.values):
        faults["scopes"] = "Choose what it may do."
    if not 1 <= days <= MOST_DAYS:
        faults["days"] = f"A token is good for 1 to {MOST_DAYS} days."
    if datasets is not None and not datasets:
        faults["datasets"] = "Choose a dataset, or let it be for all."
    return faults


def tokens_for(user: User) -> QuerySet[ApiToken]:
    """Return the tokens a person may look at: his own, an owner everybody's."""
    tokens: QuerySet[ApiToken] = ApiToken.objects.select_related("user", "revoked_by")
    return tokens.all() if user.has_perm("tokens.view_apitoken") else tokens.filter(user=user)


def may_revoke(user: User, token: ApiToken) -> bool:
    """Return whether a person may end a token: his own, an owner everybody's."""
    return token.user_id == user.pk or user.has_perm("tokens.revoke_apitoken")


@transaction.atomic
def revoke_token(*, token: ApiToken, by: User) -> None:
    """End a token: its next request is refused.

    :raises PermissionDenied: it is somebody else's.
    :raises TokenEnded: it is revoked already.
    """
    if not may_revoke(by, token):
        raise PermissionDenied("You may revoke your own tokens only. Ask an owner.")
    if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now(), revoked_by=by):
        raise TokenEnded(f"“{token}” is revoked already.")
    record("accounts.token.revoked", actor=by, target=token, of=str(token.user))


def token_of(secret: str) -> ApiToken:
    """Return the token that a secret is, with its person. One query.

    :raises TokenRefused: it is none of this tenant, is revoked, has expired, or its person may not come in.
    """
    found = _found(secret)
    if found is None:
        raise TokenRefused("This token is not known here. Make one on your page of API tokens.")
    state = found.state_at(now())
    if state == "revoked":
        raise TokenRevoked("This token was revoked. Make another one on your page of API tokens.")
    if state == "expired":
        raise TokenExpired("This token has expired. Make another one on your page of API tokens.")
    if not found.user.is_active or found.user.is_operator_entry:
        raise PersonInactive("Whose token this is may not come in any more. Ask an owner.")
    return found


def _found(secret: str) -> ApiToken | None:
    if len(secret) != LENGTH or not secret.startswith(PREFIX) or not secret.isascii():
        return None
    digest = hash_token(secret)
    alike = ApiToken.objects.select_related("user").filter(token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH])
    return next((one for one in alike if hmac.compare_digest(digest, one.digest)), None)


def note_use(token: ApiToken, address: str | None, at: datetime) -> None:
    """Note that a token was used: the time and address at most once a minute, a new address at once and for ever."""
    address = _address(address)
    if address is not None and address != token.last_address:
        with transaction.atomic():
            _, is_new = TokenAddress.objects.get_or_create(
                token=token, address=address, defaults={"first_at": at}
            )
            if is_new:
                record("accounts.token.used_from_new_address", actor=token.user, target=token)
    if token.last_used_at is not None and at - token.last_used_at < USE_NOTED_EVERY:
        return
    due = Q(last_used_at=None) | Q(last_used_at__lte=at - USE_NOTED_EVERY)
    ApiToken.objects.filter(due, pk=token.pk).update(last_used_at=at, last_address=address)


def _address(text: str | None) -> str | None:
    """Return an address as the database writes it, or None: a socket of the machine's own has none."""
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None
