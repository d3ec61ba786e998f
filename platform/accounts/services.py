"""What can be done with people: create them, give them a role."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.quotas import Resource, require_room

ROLES = ("owner", "editor", "viewer")


class EmailTaken(RowhouseError):
    """Another user of the tenant has this address."""

    code = "email-taken"


class UnknownRole(RowhouseError):
    """A role that does not exist."""

    code = "unknown-role"
    status = 422


def role_rights() -> dict[str, set[str]]:
    """Return the permissions of each role ("app.codename"), gathered from the apps that own them."""
    rights: dict[str, set[str]] = defaultdict(set)
    for config in apps.get_app_configs():
        for role, names in cast("dict[str, tuple[str, ...]]", getattr(config, "role_rights", {})).items():
            rights[role].update(names)
    return rights


@transaction.atomic
def sync_roles() -> None:
    """Create the tenant's groups owner, editor and viewer with the rights the apps declare; runs any number of times.

    :raises LookupError: an app declares a right that does not exist.
    """
    rights = role_rights()
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        wanted = Q(pk__in=[])
        for name in rights[role]:
            app_label, codename = name.split(".")
            wanted |= Q(content_type__app_label=app_label, codename=codename)
        permissions = list(Permission.objects.filter(wanted).select_related("content_type"))
        found = {f"{one.content_type.app_label}.{one.codename}" for one in permissions}
        if missing := rights[role] - found:
            raise LookupError(f"role {role!r} names rights that do not exist: {sorted(missing)}")
        group.permissions.set(permissions)


@transaction.atomic
def create_user(
    *, email: str, password: str | None, role: str, by: object = None, full_name: str = ""
) -> User:
    """Create a user of the current tenant with one of its roles. Without a password they cannot sign in yet.

    :raises EmailTaken: somebody has the address already.
    :raises UnknownRole: no such role.
    :raises QuotaReached: the tenant has as many active users as it may have.
    """
    if role not in ROLES:
        raise UnknownRole(f"There is no role {role!r}; choose one of {', '.join(ROLES)}.")
    if User.objects.filter(email__iexact=email).exists():
        raise EmailTaken(f"{email} belongs to a user already.")
    require_room(Resource.USERS)
    first, _, last = full_name.partition(" ")
    user = User.objects.create_user(email, password, first_name=first, last_name=last)
    user.groups.add(Group.objects.get(name=role))
    record("accounts.user.created", actor=by, target=user, role=role)
    return user
