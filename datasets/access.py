"""Who may do what with the records of a dataset.

A right is held for every dataset of the tenant, through a group or as a user permission, or for one
dataset, as a django-guardian object permission of the user or of one of his groups. Every page, action,
command and task asks here.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from guardian.models import GroupObjectPermission, UserObjectPermission

from accounts.models import User
from datasets.models import Dataset
from datasets.spec import ColumnSpec

RIGHTS = ("view", "add", "change", "delete", "import", "export")


def codename(right: str) -> str:
    """Return the permission's codename, such as `view_rows`.

    :raises ValueError: there is no such right.
    """
    if right not in RIGHTS:
        raise ValueError(f"no such right: {right!r}")
    return f"{right}_rows"


def rights_of(user: Any, dataset: Dataset) -> frozenset[str]:
    """Return the rights a user has in one dataset. At most two queries, besides the user's own permissions."""
    everywhere = rights_everywhere(user)
    if len(everywhere) == len(RIGHTS) or not _is_active(user):
        return everywhere
    granted = {name for name, _pk in _granted(user, Q(object_pk=str(dataset.pk)))}
    return everywhere | {right for right in RIGHTS if codename(right) in granted}


def rights_everywhere(user: Any) -> frozenset[str]:
    """Return the rights a user has in every dataset of the tenant."""
    if not _is_active(user):
        return frozenset()
    return frozenset(right for right in RIGHTS if user.has_perm(f"datasets.{codename(right)}"))


def may(user: Any, right: str, dataset: Dataset) -> bool:
    """Return whether a user has a right in a dataset, as of now."""
    if right not in RIGHTS:
        raise ValueError(f"no such right: {right!r}")
    return right in rights_of(user, dataset)


def require(user: Any, right: str, dataset: Dataset) -> None:
    """Go on only if a user has a right.

    :raises PermissionDenied: he has not.
    """
    if not may(user, right, dataset):
        raise PermissionDenied(f"You may not {right} records of “{dataset.title}”.")


def datasets_for(user: Any, right: str = "view") -> QuerySet[Dataset]:
    """Return the datasets in which a user has a right."""
    name = codename(right)
    if right in rights_everywhere(user):
        return Dataset.objects.all()
    if not _is_active(user):
        return Dataset.objects.none()
    granted = _granted(user, Q(permission__codename=name))
    return Dataset.objects.filter(pk__in=[int(pk) for _name, pk in granted])


def _is_active(user: Any) -> bool:
    return isinstance(user, User) and user.is_active


def _granted(user: User, condition: Q) -> list[tuple[str, str]]:
    """Return (codename, dataset's primary key) of the user's own grants and his groups'."""
    # Not guardian's get_objects_for_user(), which keeps content types per process and not per tenant.
    content_type = ContentType.objects.get_for_model(Dataset)
    own = Q(content_type=content_type, permission__content_type=content_type) & condition
    names = ("permission__codename", "object_pk")
    through_groups = GroupObjectPermission.objects.filter(own, group__user=user).values_list(*names)
    return [*UserObjectPermission.objects.filter(own, user=user).values_list(*names), *through_groups]


def granted_to(dataset: Dataset) -> dict[User | Group, frozenset[str]]:
    """Return the users and groups with rights granted on this dataset, and which. Two queries."""
    content_type = ContentType.objects.get_for_model(Dataset)
    found: dict[Any, set[str]] = {}
    for model, who in ((UserObjectPermission, "user"), (GroupObjectPermission, "group")):
        grants = model.objects.filter(content_type=content_type, object_pk=str(dataset.pk))
        for grant in grants.select_related(who, "permission"):
            right = grant.permission.codename.removesuffix("_rows")
            if right in RIGHTS:
                found.setdefault(getattr(grant, who), set()).add(right)
    return {who: frozenset(rights) for who, rights in found.items()}


def forget(dataset: Dataset) -> None:
    """Remove every right granted on a dataset: a later object of the same number must not inherit them."""
    content_type = ContentType.objects.get_for_model(Dataset)
    for model in (UserObjectPermission, GroupObjectPermission):
        model.objects.filter(content_type=content_type, object_pk=str(dataset.pk)).delete()


def visible_columns(user: Any, dataset: Dataset) -> tuple[ColumnSpec, ...]:
    """Return the columns a user sees, in the dataset's order. One query."""
    return dataset.spec().columns
