"""The page that says who may do what with one dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from accounts.models import User
from datasets import access, services
from datasets.models import Dataset

TITLES = {
    "view": "View",
    "add": "Add",
    "change": "Change",
    "delete": "Delete",
    "import": "Import",
    "export": "Export",
}


@dataclass(frozen=True, slots=True)
class Box:
    """One tick box: `name` in the form, whether it is ticked, whether this user may change it."""

    name: str
    title: str
    is_ticked: bool
    is_open: bool
    through_role: bool


def rights_view(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Show the matrix of users and groups by rights, and save it."""
    dataset = get_object_or_404(Dataset.objects.all(), pk=dataset_id)
    if not request.user.has_perm("datasets.change_dataset"):
        raise PermissionDenied("Only who may change the dataset may see and grant its permissions.")
    own = access.rights_of(request.user, dataset)
    if request.method == "POST":
        changed = _save(request, dataset, own)
        messages.success(request, f"{changed} permissions changed." if changed else "Nothing was changed.")
        return HttpResponseRedirect(reverse("admin:datasets_dataset_rights", args=(dataset.pk,)))
    granted = access.granted_to(dataset)
    context = {
        **site.each_context(request),
        "title": f"Permissions: {dataset.title}",
        "opts": Dataset._meta,
        "dataset": dataset,
        "titles": TITLES.values(),
        "sections": [
            ("Groups", [(group, _boxes(group, granted, own)) for group in Group.objects.order_by("name")]),
            ("People", [(user, _boxes(user, granted, own)) for user in _people()]),
        ],
    }
    return render(request, "datasets/rights.html", context)


def _people() -> Any:
    return User.objects.filter(is_active=True).order_by("email")


def _boxes(who: User | Group, granted: Any, own: frozenset[str]) -> list[Box]:
    ticked = granted.get(who, frozenset())
    everywhere = access.rights_everywhere(who) if isinstance(who, User) else _of_group(who)
    return [
        Box(_name(who, right), f"{title} for {who}", right in ticked, right in own, right in everywhere)
        for right, title in TITLES.items()
    ]


def _of_group(group: Group) -> frozenset[str]:
    names = group.permissions.filter(content_type__app_label="datasets").values_list("codename", flat=True)
    held = set(names)
    return frozenset(right for right in access.RIGHTS if access.codename(right) in held)


def _name(who: User | Group, right: str) -> str:
    return f"{'user' if isinstance(who, User) else 'group'}-{who.pk}-{right}"


@transaction.atomic
def _save(request: HttpRequest, dataset: Dataset, own: frozenset[str]) -> int:
    granted = access.granted_to(dataset)
    changed = 0
    for who in [*Group.objects.all(), *_people()]:
        before = granted.get(who, frozenset())
        # A box that was not on the page (somebody else added the person meanwhile) is no decision.
        if f"{_name(who, 'all')}" not in request.POST:
            continue
        for right in access.RIGHTS:
            wanted = _name(who, right) in request.POST
            if wanted == (right in before):
                continue
            if right not in own and not wanted:
                continue  # its box was not open, and so not sent
            if wanted:
                services.grant_right(right=right, to=who, dataset=dataset, by=request.user)  # type: ignore[arg-type]
            else:
                services.revoke_right(right=right, of=who, dataset=dataset, by=request.user)  # type: ignore[arg-type]
            changed += 1
    return changed
