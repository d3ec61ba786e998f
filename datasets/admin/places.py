"""What the pages of a dataset's definition begin and end with."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.models import User
from datasets import access
from datasets.models import Dataset


def changeable(request: HttpRequest, pk: int) -> Dataset:
    """Return a dataset whose definition the person may change.

    :raises Http404: there is none of this number, or the person may not even see it.
    :raises PermissionDenied: the person may see it, no more.
    """
    dataset = viewable(request, pk)
    if not access.may_define(request.user, dataset):
        raise PermissionDenied(f"You may not change the definition of {dataset.title}.")
    return dataset


def viewable(request: HttpRequest, pk: int) -> Dataset:
    """Return a dataset whose definition the person may see.

    :raises Http404: there is none of this number, or it is not theirs to see.
    """
    datasets = Dataset.objects.all()
    if not any(
        request.user.has_perm(f"datasets.{action}_dataset") for action in ("view", "change", "delete")
    ):
        datasets = access.datasets_for(request.user) | access.datasets_for(request.user, "manage")
    return get_object_or_404(datasets, pk=pk)


def require_adding(request: HttpRequest) -> None:
    """Go on only if the person may make datasets.

    :raises PermissionDenied: he may not.
    """
    if not request.user.has_perm("datasets.add_dataset"):
        raise PermissionDenied("You may not make datasets. Ask an owner.")


def person(request: HttpRequest) -> User:
    """Return who asks; the site lets nobody in who is not signed in."""
    assert isinstance(request.user, User)
    return request.user


def page(
    request: HttpRequest,
    site: AdminSite,
    template: str,
    title: str,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    """Return a page of the site."""
    request.current_app = site.name  # as Django's own admin does
    context = {**site.each_context(request), "title": title, **context}
    return render(request, f"datasets/{template}.html", context, status=status)
