"""Who may do what with a dataset, its records and its columns.

A right is held for every dataset of the tenant, through a group or as a user permission, or for one
dataset, as a django-guardian object permission of the user or of one of his groups. Every page, action,
command and task asks here.

Columns may be hidden from a group or a user, or read-only to them. Of several groups the strictest decides,
and what is said of the user himself decides before all of his groups. Whoever may change every dataset of the
tenant, and a superuser, is never limited: somebody must be able to lift a limit. Work on behalf of nobody
(`None`) is the platform's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from guardian.models import GroupObjectPermission, UserObjectPermission

from accounts.models import User
from datasets.checks import read_columns
from datasets.models import ColumnAccess, ColumnLimit, Dataset
from datasets.spec import ColumnSpec, DatasetSpec

# Of these the first six are about records; who manages a dataset defines and changes it, and grants on it.
RIGHTS = ("view", "add", "change", "delete", "import", "export", "manage")
_CODENAMES = {right: f"{right}_rows" for right in RIGHTS} | {"manage": "manage_dataset"}
_OF_CODENAMES = {name: right for right, name in _CODENAMES.items()}
# Whoever may change every dataset of the tenant manages each.
CHANGES_ALL = "datasets.change_dataset"
_STRICTNESS = {ColumnAccess.FULL: 0, ColumnAccess.READ_ONLY: 1, ColumnAccess.HIDDEN: 2}


def codename(right: str) -> str:
    """Return the permission's codename, such as `view_rows`.

    :raises ValueError: there is no such right.
    """
    if right not in RIGHTS:
        raise ValueError(f"no such right: {right!r}")
    return _CODENAMES[right]


def right_of(name: str) -> str | None:
    """Return the right that a permission's codename stands for, or None."""
    return _OF_CODENAMES.get(name)


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
    held = {right for right in RIGHTS if user.has_perm(f"datasets.{codename(right)}")}
    return frozenset(held | {"manage"} if user.has_perm(CHANGES_ALL) else held)


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
        records = "" if right == "manage" else "records of "
        raise PermissionDenied(f"You may not {right} {records}“{dataset.title}”.")


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
            if right := right_of(grant.permission.codename):
                found.setdefault(getattr(grant, who), set()).add(right)
    return {who: frozenset(rights) for who, rights in found.items()}


# ---- columns


def is_unlimited(user: Any) -> bool:
    """Return whether no column can be kept from a user: he may change every dataset, or it is the platform."""
    return user is None or (_is_active(user) and bool(user.has_perm(CHANGES_ALL)))


def limits_of(user: Any, dataset: Dataset) -> dict[int, ColumnAccess]:
    """Return the columns, retired ones too, that are kept from a user, by primary key. At most one query."""
    return _decided(user, Q(column__dataset=dataset)).get(dataset.pk, {})


def _decided(user: Any, condition: Q) -> dict[int, dict[int, ColumnAccess]]:
    """Return by dataset and column how far a user is let, where that is not all the way."""
    if is_unlimited(user) or not _is_active(user):
        return {}
    limits = ColumnLimit.objects.filter(condition, Q(user=user) | Q(group__user=user))
    names = ("column__dataset_id", "column_id", "user_id", "access")
    found: list[tuple[int, int, int | None, str]] = list(limits.values_list(*names).distinct())
    own: dict[tuple[int, int], ColumnAccess] = {}
    groups: dict[tuple[int, int], ColumnAccess] = {}
    for dataset, column, of_user, stored in found:
        access, at = ColumnAccess(stored), (dataset, column)
        if of_user is not None:
            own[at] = access
        elif at not in groups or _STRICTNESS[access] > _STRICTNESS[groups[at]]:
            groups[at] = access
    decided: dict[int, dict[int, ColumnAccess]] = {}
    for (dataset, column), access in (groups | own).items():
        if access != ColumnAccess.FULL:
            decided.setdefault(dataset, {})[column] = access
    return decided


@dataclass(frozen=True, slots=True)
class Seen:
    """A dataset as one user sees it. `whole` has every column in use, `spec` those he may see.

    `editable` are the physical names of the columns he may set, if he may write at all.
    """

    whole: DatasetSpec
    spec: DatasetSpec
    editable: frozenset[str]

    @property
    def has_limits(self) -> bool:
        """Whether a column in use is kept from him, hidden or read-only."""
        return len(self.editable) < len(self.whole.columns)

    @property
    def may_fill_a_record(self) -> bool:
        """Whether he may set every value that a new record must have."""
        return all(not column.is_required or column.name in self.editable for column in self.whole.columns)


def seen_by(user: Any, dataset: Dataset) -> Seen:
    """Return the dataset as a user sees it. At most two queries, besides the user's own permissions.

    Everything built of its `spec` (model class, form, list, search, history) does not know a hidden column at
    all. A key with a hidden column is left out as a whole: its other columns alone name no record.
    """
    whole = dataset.spec()
    if user is not None and not _is_active(user):
        return Seen(whole, replace(whole, columns=(), key=(), checks=()), frozenset())
    kept = limits_of(user, dataset)
    editable = frozenset(column.name for column in whole.columns if column.pk not in kept)
    columns = tuple(one for one in whole.columns if kept.get(one.pk) != ColumnAccess.HIDDEN)
    names = {column.name for column in columns}
    key = whole.key if names.issuperset(whole.key) else ()
    checks = tuple(one for one in whole.checks if names.issuperset(c.name for c in read_columns(one, whole)))
    return Seen(whole, replace(whole, columns=columns, key=key, checks=checks), editable)


def visible_columns(user: Any, dataset: Dataset) -> tuple[ColumnSpec, ...]:
    """Return the columns in use that a user may see, in the dataset's order."""
    return seen_by(user, dataset).spec.columns


def editable_columns(user: Any, dataset: Dataset) -> tuple[ColumnSpec, ...]:
    """Return the columns in use that a user with the right to write may set. The rights are asked elsewhere."""
    seen = seen_by(user, dataset)
    return tuple(column for column in seen.whole.columns if column.name in seen.editable)


def uneditable_columns(user: Any, dataset: Dataset, names: Iterable[str]) -> list[ColumnSpec]:
    """Return those of the columns, given by physical name, that a user may not set."""
    wanted, seen = set(names), seen_by(user, dataset)
    return [one for one in seen.whole.columns if one.name in wanted - seen.editable]


def require_columns(user: Any, dataset: Dataset, names: Iterable[str]) -> None:
    """Go on only if a user may set these columns, given by physical name.

    :raises PermissionDenied: he may not set one of them; the sentence names those he may see.
    """
    if kept := uneditable_columns(user, dataset, names):
        raise PermissionDenied(f"{kept_sentence(user, dataset, kept)} Leave it as it is.")


def kept_sentence(user: Any, dataset: Dataset, kept: Iterable[ColumnSpec]) -> str:
    """Return the sentence that says which columns a user may not set, and names no hidden one."""
    seen = {column.name for column in visible_columns(user, dataset)}
    names = [f"“{column.label}”" for column in kept if column.name in seen]
    return f"You may not set {', '.join(names) or 'a column of this dataset'}."


def has_hidden(user: Any, dataset: Dataset) -> bool:
    """Return whether a column, retired ones included, is hidden from a user."""
    return ColumnAccess.HIDDEN in limits_of(user, dataset).values()


def sees_all_columns(user: Any) -> bool:
    """Return whether no column of any dataset is hidden from a user."""
    kept = _decided(user, Q(column__dataset__isnull=False))
    return not any(ColumnAccess.HIDDEN in columns.values() for columns in kept.values())


def whole_datasets_for(user: Any, right: str) -> QuerySet[Dataset]:
    """Return the datasets in which a user has a right and of which no column is hidden from him.

    What is no record but a file or a plan holds all columns, also those that are retired by now.
    """
    kept = _decided(user, Q(column__dataset__isnull=False))
    partly = [pk for pk, columns in kept.items() if ColumnAccess.HIDDEN in columns.values()]
    return datasets_for(user, right).exclude(pk__in=partly)


def may_define(user: Any, dataset: Dataset) -> bool:
    """Return whether a user may change a dataset's columns, rules and key: he manages it and sees all of it.

    None is an operator at the command line.
    """
    return user is None or (may(user, "manage", dataset) and not has_hidden(user, dataset))


def forget(dataset: Dataset) -> None:
    """Remove every right granted on a dataset: a later object of the same number must not inherit them."""
    content_type = ContentType.objects.get_for_model(Dataset)
    for model in (UserObjectPermission, GroupObjectPermission):
        model.objects.filter(content_type=content_type, object_pk=str(dataset.pk)).delete()
