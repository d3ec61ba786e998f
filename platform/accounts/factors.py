"""Second factors of a tenant's people: of whom one is asked, who has one, and taking one from somebody who lost it.

The factors are allauth's: codes of an app (TOTP), passkeys, and recovery codes for when the others are lost. A role
asks for one by its rule. Who is asked for one and has none can sign in, add one, and do nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.adapters import FACTOR
from accounts.models import FactorRule, User
from accounts.services import ROLES, UnknownRole
from accounts.sessions import end_sessions
from audit.services import record
from core import sealing
from core.errors import RowhouseError

# What counts as one; recovery codes alone do not.
TYPES = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
SECRETS = ("secret", "seed")  # what of a factor's data is sealed


class FactorsNotReset(RowhouseError):
    """Somebody asked to take his own second factor from himself, or that of somebody with more rights."""

    code = "factors-not-reset"
    status = 403


def with_factors() -> QuerySet[User]:
    """Return all users, each with `must_enrol`: a second factor is asked of a role of theirs, and they have none."""
    asked = Group.objects.filter(user=OuterRef("pk"), name__in=FactorRule.objects.values("role"))
    held = Authenticator.objects.filter(user=OuterRef("pk"), type__in=TYPES)
    # An operator who is inside has shown one on the operator site.
    must_enrol = Q(Exists(asked)) & ~Q(Exists(held)) & Q(entry_ends_at=None)
    return User.objects.annotate(must_enrol=must_enrol)


def has_factor(user: User) -> bool:
    """Return whether somebody is asked for a second factor when signing in."""
    return bool(Authenticator.objects.filter(user=user, type__in=TYPES).exists())


def must_enrol(user: User) -> bool:
    """Return whether somebody must add a second factor before anything else."""
    return any(getattr(one, "must_enrol", False) for one in with_factors().filter(pk=user.pk))


def asking_roles() -> set[str]:
    """Return the roles whose people must have a second factor."""
    return set(FactorRule.objects.values_list("role", flat=True))


@transaction.atomic
def ask_of_roles(*, roles: Collection[str], by: object) -> None:
    """Let these roles, and no others, ask their people for a second factor. It holds from the next request on.

    :raises UnknownRole: one of them is none.
    """
    if unknown := set(roles) - set(ROLES):
        raise UnknownRole(f"There is no role {sorted(unknown)[0]!r}; choose of {', '.join(ROLES)}.")
    before = asking_roles()
    for rule in FactorRule.objects.exclude(role__in=roles):
        rule.delete()
    for role in sorted(set(roles) - before):
        FactorRule.objects.get_or_create(role=role)
    if before != set(roles):
        record("accounts.factors.required", actor=by, before=sorted(before), after=sorted(roles))


@transaction.atomic
def reset_factors(*, user: User, by: object) -> None:
    """Take all second factors from somebody who lost them, and end all of his sessions.

    The password alone lets him in then; where his role asks for a second factor, only to add a new one.

    :param by: another person of the tenant who may do all that he may, or the name of an operator or of a command.
    :raises FactorsNotReset: it is he himself, or somebody with fewer rights.
    """
    if isinstance(by, User):
        if by.pk == user.pk:
            raise FactorsNotReset(
                "Nobody takes his own second factor from himself: who has taken your session could do it. "
                "Ask another owner, or an operator."
            )
        if not by.has_perm("accounts.change_user") or not by.has_perms(user.get_all_permissions()):
            raise FactorsNotReset(f"{user} may do more than you may. Ask an owner.")
    factors = Authenticator.objects.select_for_update().filter(user=user)
    removed = sorted(str(one.type) for one in factors)
    Authenticator.objects.filter(user=user).delete()
    record("accounts.factors.reset", actor=by, target=user, factors=removed)
    end_sessions(user=user, by=by)


@transaction.atomic
def reseal() -> tuple[int, int, list[str]]:
    """Seal the secrets of the current tenant's factors under the first of the platform's keys.

    :returns: how many were sealed anew, how many were already, and whose opens under no key.
    """
    resealed, current, lost = 0, 0, []
    for one in Authenticator.objects.select_for_update().select_related("user").order_by("pk"):
        for name in SECRETS:
            sealed = one.data.get(name)
            if sealed is None:
                continue
            if sealing.is_current(sealed, purpose=FACTOR, anywhere=True):
                current += 1
                continue
            try:
                text = sealing.unseal(sealed, purpose=FACTOR, anywhere=True)
            except sealing.NotOpened:
                lost.append(f"second factor of {one.user}")
                continue
            one.data[name] = sealing.seal(text, purpose=FACTOR, anywhere=True)
            one.save(update_fields=["data"])
            resealed += 1
    return resealed, current, lost
