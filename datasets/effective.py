"""Who may do what, and why: each right of each person in each dataset with where it comes from.

The same answer as `datasets.access.rights_of` gives one by one, for whole pages of people and datasets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Prefetch
from guardian.models import GroupObjectPermission, UserObjectPermission

from accounts.models import User
from datasets import access
from datasets.models import ColumnAccess, ColumnLimit, Dataset

# The kinds of places a right comes from.
KINDS = ("superuser", "role", "permission", "grant")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a right comes from: `kind` is one of KINDS, `words` say it to a person."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A column that is kept from a person."""

    label: str
    how: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one person may do with one dataset. `rights` has every right, in order, with no source if not held."""

    dataset: Dataset
    user: User
    rights: tuple[tuple[str, tuple[Source, ...]], ...]
    kept: tuple[Kept, ...]

    @property
    def held(self) -> frozenset[str]:
        return frozenset(right for right, sources in self.rights if sources)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(source.kind for _, sources in self.rights for source in sources)


def effective_rights(datasets: Sequence[Dataset]) -> Iterator[Row]:
    """Yield a row for each dataset and each active user, in their order. Few queries, whatever their number."""
    people = list(active_people())
    everywhere = {user.pk: _everywhere(user) for user in people}
    groups = {user.pk: {group.pk: group.name for group in user.groups.all()} for user in people}
    of_users, of_groups = _grants(datasets)
    limits = _limits(datasets)
    for dataset in datasets:
        for user in people:
            rights = {right: list(sources) for right, sources in everywhere[user.pk].items()}
            for right in of_users[dataset.pk, user.pk]:
                rights[right].append(Source("grant", "granted on this dataset"))
            for group, name in groups[user.pk].items():
                for right in of_groups[dataset.pk, group]:
                    rights[right].append(Source("grant", f"granted on this dataset to {name}"))
            kept = () if _sees_all(user, everywhere) else _kept(limits[dataset.pk], user.pk, groups[user.pk])
            yield Row(dataset, user, tuple((one, tuple(found)) for one, found in rights.items()), kept)


def active_people() -> Any:
    """Return the active users with what `rights_for_all` reads of them, in the order of their addresses."""
    ours = Permission.objects.filter(content_type__app_label="datasets")
    return (
        User.objects.filter(is_active=True)
        .order_by("email")
        .prefetch_related(
            Prefetch("groups__permissions", ours, "of_datasets"), Prefetch("user_permissions", ours, "own")
        )
    )


def _everywhere(user: Any) -> dict[str, list[Source]]:
    found: dict[str, list[Source]] = {right: [] for right in access.RIGHTS}
    if user.is_superuser:
        return {right: [Source("superuser", "superuser")] for right in access.RIGHTS}
    for group in user.groups.all():
        for right in _rights_in(permission.codename for permission in group.of_datasets):
            found[right].append(Source("role", f"every dataset, as {group.name}"))
    for right in _rights_in(permission.codename for permission in user.own):
        found[right].append(Source("permission", "every dataset, by a permission of his own"))
    return found


def rights_for_all(user: Any) -> frozenset[str]:
    """Return the rights that one of `active_people` has in every dataset. No query."""
    return frozenset(right for right, sources in _everywhere(user).items() if sources)


def _rights_in(codenames: Iterable[str]) -> frozenset[str]:
    names = set(codenames)
    held = {right for name in names if (right := access.right_of(name))}
    return frozenset(held | {"manage"} if "change_dataset" in names else held)


def _sees_all(user: Any, everywhere: dict[int, dict[str, list[Source]]]) -> bool:
    names = {one.codename for one in user.own} | {
        one.codename for group in user.groups.all() for one in group.of_datasets
    }
    return user.is_superuser or "change_dataset" in names


def _grants(datasets: Sequence[Dataset]) -> tuple[Any, Any]:
    content_type = ContentType.objects.get_for_model(Dataset)
    wanted = [str(dataset.pk) for dataset in datasets]
    found: list[dict[tuple[int, int], list[str]]] = []
    for model, who in ((UserObjectPermission, "user_id"), (GroupObjectPermission, "group_id")):
        grants = model.objects.filter(content_type=content_type, object_pk__in=wanted)
        kept: dict[tuple[int, int], list[str]] = defaultdict(list)
        # Under the dataset and the user or group.
        for pk, whose, name in grants.values_list("object_pk", who, "permission__codename"):
            if right := access.right_of(name):
                kept[int(pk), whose].append(right)
        found.append(kept)
    return found[0], found[1]


def _limits(datasets: Sequence[Dataset]) -> dict[int, list[ColumnLimit]]:
    found: dict[int, list[ColumnLimit]] = defaultdict(list)
    limits = ColumnLimit.objects.filter(column__dataset__in=datasets, column__is_retired=False)
    for limit in limits.select_related("column", "group").order_by("column__position", "column"):
        found[limit.column.dataset_id].append(limit)
    return found


def _kept(limits: Iterable[ColumnLimit], user: int, groups: dict[int, str]) -> tuple[Kept, ...]:
    by_column: dict[int, list[ColumnLimit]] = defaultdict(list)
    for limit in limits:
        if limit.user_id == user or limit.group_id in groups:
            by_column[limit.column_id].append(limit)
    kept = []
    for found in by_column.values():
        own = [limit for limit in found if limit.user_id is not None]
        strictest = own or [limit for limit in found if limit.access == ColumnAccess.HIDDEN] or found
        if strictest[0].access != ColumnAccess.FULL:
            names = ", ".join(sorted(str(limit.group) for limit in strictest if limit.group_id))
            kept.append(
                Kept(strictest[0].column.label, strictest[0].access, f"as {names}" if names else "himself")
            )
    return tuple(kept)
