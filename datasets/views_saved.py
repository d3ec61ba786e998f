"""Saved views of a dataset's records: save, change, delete, show first. One transaction and one event each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from datasets import access
from datasets.listing_models import MAX_VIEW_NAME, DefaultView, SavedView
from datasets.liststate import ListState, UnknownParameter, read_state
from datasets.models import Dataset
from datasets.rules import clean_label, label_problem
from datasets.spec import ColumnSpec

MAX_VIEWS = 200  # of one person in one dataset


class InvalidView(RowhouseError):
    """A view cannot have this name, or there are too many."""

    code = "invalid-view"


class ViewChanged(RowhouseError):
    """Somebody else changed or deleted the view meanwhile."""

    code = "view-changed"


def visible_views(user: Any, dataset: Dataset) -> list[Any]:
    """Return a person's own views and the shared ones, each with `is_default` for this person. One query."""
    own_default = DefaultView.objects.filter(user_id=user.pk, view=OuterRef("pk"))
    views = SavedView.objects.filter(Q(owner_id=user.pk) | Q(is_shared=True), dataset=dataset)
    return list(views.annotate(is_default=Exists(own_default)).select_related("owner").order_by("name", "pk"))


def state_of(view: SavedView, columns: Sequence[ColumnSpec]) -> ListState:
    """Return what a view shows to somebody who sees these columns; what names others is left out and told."""
    grouped: dict[str, list[str]] = {}
    for name, value in view.pairs:
        grouped.setdefault(name, []).append(value)
    try:
        return read_state(grouped.items(), columns).without_unknown()
    except UnknownParameter:  # of a later release
        return ListState(ignored=tuple(grouped))


def may_change(view: SavedView, user: Any) -> bool:
    """Return whether a person may change a view: his own; a shared one, if he may change the dataset."""
    if view.owner_id == user.pk:
        return True
    return view.is_shared and access.may(user, "manage", view.dataset)


@transaction.atomic
def save_view(*, dataset: Dataset, name: str, state: ListState, is_shared: bool, by: User) -> SavedView:
    """Save a list under a name.

    :raises PermissionDenied: `by` may not see the records.
    :raises InvalidView: the name is empty, too long or taken by another of one's own views.
    """
    access.require(by, "view", dataset)
    if SavedView.objects.filter(dataset=dataset, owner=by).count() >= MAX_VIEWS:
        raise InvalidView(f"You have {MAX_VIEWS} views here. Delete one that you no longer use.")
    view = SavedView(dataset=dataset, owner=by, name=_checked_name(name), is_shared=is_shared)
    view.pairs = [list(pair) for pair in state.without_unknown().pairs()]
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        raise _taken(view.name) from error
    record("datasets.view.saved", actor=by, target=view, dataset=dataset.pk, is_shared=is_shared)
    return view


@transaction.atomic
def change_view(
    *,
    view: SavedView,
    version: int,
    by: User,
    name: str | None = None,
    is_shared: bool | None = None,
    state: ListState | None = None,
) -> None:
    """Change what is given of a view that still has this version.

    :raises PermissionDenied: it is somebody else's.
    :raises InvalidView: the name cannot be taken.
    :raises ViewChanged: it was changed or deleted meanwhile.
    """
    _require_change(view, by)
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if is_shared is not None:
        changes["is_shared"] = is_shared
    if state is not None:
        changes["pairs"] = [list(pair) for pair in state.without_unknown().pairs()]
    try:
        with transaction.atomic():
            moved = SavedView.objects.filter(pk=view.pk, version=version).update(
                version=F("version") + 1, **changes
            )
    except IntegrityError as error:
        raise _taken(changes["name"]) from error
    if not moved:
        raise _changed(view)
    if is_shared is False:  # to the others it is gone
        DefaultView.objects.filter(view=view).exclude(user=view.owner).delete()
    record("datasets.view.changed", actor=by, target=view, dataset=view.dataset_id, changed=sorted(changes))


@transaction.atomic
def delete_view(*, view: SavedView, version: int, by: User) -> None:
    """Delete a view that still has this version; whoever saw it first sees all records again.

    :raises PermissionDenied: it is somebody else's.
    :raises ViewChanged: it was changed or deleted meanwhile.
    """
    _require_change(view, by)
    deleted, _ = SavedView.objects.filter(pk=view.pk, version=version).delete()
    if not deleted:
        raise _changed(view)
    record("datasets.view.deleted", actor=by, target=view, dataset=view.dataset_id)


@transaction.atomic
def set_default_view(*, dataset: Dataset, view: SavedView | None, by: User) -> None:
    """Let a person see this view first in the dataset, or all records.

    :raises PermissionDenied: `by` may not see the records, or not the view.
    """
    access.require(by, "view", dataset)
    if view is None:
        DefaultView.objects.filter(user=by, dataset=dataset).delete()
    else:
        if view.dataset_id != dataset.pk or not (view.is_shared or view.owner_id == by.pk):
            raise PermissionDenied("You cannot see this view.")
        DefaultView.objects.update_or_create(user=by, dataset=dataset, defaults={"view": view})
    record("datasets.view.made_default", actor=by, target=dataset, view=view.pk if view else None)


def _require_change(view: SavedView, by: User) -> None:
    if not may_change(view, by):
        raise PermissionDenied(
            "Only who saved this view, or may change the dataset, can change it. Save it under a name of your own."
        )


def _checked_name(name: str) -> str:
    cleaned = clean_label(name)
    if problem := label_problem(cleaned, limit=MAX_VIEW_NAME):
        raise InvalidView(problem.replace("A label", "The name of a view"))
    return cleaned


def _taken(name: str) -> InvalidView:
    return InvalidView(f"You have a view “{name}” already. Choose another name.")


def _changed(view: SavedView) -> ViewChanged:
    return ViewChanged(f"“{view.name}” was changed or deleted meanwhile; nothing was saved. Look again.")
