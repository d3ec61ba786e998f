"""What can be done with rights on one dataset besides granting them one by one: presets, and limits of columns."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from datasets import access
from datasets.models import Column, ColumnAccess, ColumnLimit, Dataset
from datasets.presets import PRESETS
from datasets.services import grant_right, revoke_right

_HOW_FAR = {ColumnAccess.HIDDEN: 0, ColumnAccess.READ_ONLY: 1, ColumnAccess.FULL: 2}


class UnknownPreset(RowhouseError):
    """There is no preset of this name."""

    code = "unknown-preset"
    status = 422


class KeyNotHidden(RowhouseError):
    """A column of the key was to be hidden: lists, titles and imports name records by it."""

    code = "key-not-hidden"
    status = 422


@transaction.atomic
def grant_preset(*, preset: str, to: User | Group, dataset: Dataset, by: User | None = None) -> None:
    """Make a preset's rights exactly those granted to a user or a group on one dataset; "" takes all of them.

    :raises UnknownPreset: there is none of this name.
    :raises PermissionDenied: `by` may not manage the dataset, or lacks a right that is granted or taken.
    """
    if preset and preset not in PRESETS:
        raise UnknownPreset(f"There is no preset “{preset}”; choose one of {', '.join(PRESETS)}.")
    held = access.granted_to(dataset).get(to, frozenset())
    wanted = PRESETS.get(preset, frozenset())
    for right in access.RIGHTS:
        if right in wanted - held:
            grant_right(right=right, to=to, dataset=dataset, by=by)
        elif right in held - wanted:
            revoke_right(right=right, of=to, dataset=dataset, by=by)


@transaction.atomic
def limit_column(
    *, column: Column, to: User | Group, how: ColumnAccess | None, by: User | None = None
) -> None:
    """Say how far a user or a group is let to a column; None takes back what was said.

    `FULL` is for users alone: it lifts what their groups say.

    :raises PermissionDenied: `by` may not manage the dataset, or is not let so far to the column himself.
    :raises KeyNotHidden: the column is one of the key.
    """
    dataset = Dataset.objects.select_for_update(no_key=True).get(pk=column.dataset_id)
    if how == ColumnAccess.FULL and isinstance(to, Group):
        how = None
    whose: dict[str, Any] = {"user": to} if isinstance(to, User) else {"group": to}
    limit = ColumnLimit.objects.filter(column=column, **whose).first()
    before = ColumnAccess(limit.access) if limit else None
    if before == how:
        return
    _check_limiter(by, column, dataset, before or ColumnAccess.FULL, how or ColumnAccess.FULL)
    if how == ColumnAccess.HIDDEN and column.pk in dataset.key:
        raise KeyNotHidden(
            f"“{column.label}” belongs to the key, which names the records; it can be read-only, not hidden."
        )
    if how is None:
        ColumnLimit.objects.filter(column=column, **whose).delete()
    else:
        ColumnLimit.objects.update_or_create(column=column, **whose, defaults={"access": how})
    record(
        "datasets.column.limited", actor=by, target=dataset, column=column.pk, label=column.label,
        before=str(before or ""), after=str(how or ""), whom=next(iter(whose)), whom_id=to.pk, whom_label=str(to),
    )  # fmt: skip


def _check_limiter(
    by: User | None, column: Column, dataset: Dataset, before: ColumnAccess, after: ColumnAccess
) -> None:
    if by is None:
        return
    access.require(by, "manage", dataset)
    own = access.limits_of(by, dataset).get(column.pk, ColumnAccess.FULL)
    if own == ColumnAccess.HIDDEN:
        raise PermissionDenied("This dataset has no such column for you.")
    if _HOW_FAR[own] < max(_HOW_FAR[before], _HOW_FAR[after]):
        raise PermissionDenied(
            f"“{column.label}” is {own} for you; you cannot let others any further, or less far."
        )
