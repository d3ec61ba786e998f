"""The pages that say who may do what with one dataset, and change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from accounts.models import User
from core.words import count
from datasets import access, granting, services
from datasets.effective import active_people, rights_for_all
from datasets.models import Column, ColumnAccess, ColumnLimit, Dataset
from datasets.presets import PRESETS, preset_of

TITLES = {
    "view": "View",
    "add": "Add",
    "change": "Change",
    "delete": "Delete",
    "import": "Import",
    "export": "Export",
    "manage": "Manage",
}
MOST_PEOPLE = 100  # on a page; a search finds the others
Who = User | Group


@dataclass(frozen=True, slots=True)
class Box:
    """One tick box: `name` in the form, whether it is ticked, whether this user may change it."""

    name: str
    title: str
    is_ticked: bool
    is_open: bool
    through_role: bool


@dataclass(frozen=True, slots=True)
class PresetButton:
    """One click: the preset, whether it is what is granted now, whether this user may grant it."""

    name: str
    value: str
    is_now: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One user or group: what is granted, by its name and as the form sends it back, and what can be."""

    who: Who
    name: str
    preset: str
    seen: str
    boxes: tuple[Box, ...]
    buttons: tuple[PresetButton, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """One right to grant or to take."""

    right: str
    who: Who
    is_granted: bool


def rights_view(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Show what is granted to users and groups on one dataset, and save it."""
    dataset = managed(request, dataset_id)
    own = access.rights_of(request.user, dataset)
    if request.method == "POST":
        return _saved(request, dataset, site)
    granted = access.granted_to(dataset)
    asked = request.GET.get("q", "").strip()
    only_granted = request.GET.get("show") == "granted"
    sections = []
    for heading, found in (("Groups", groups(asked)), ("People", people(asked))):
        shown = [who for who in found if who in granted] if only_granted else list(found[: MOST_PEOPLE + 1])
        lines = [_line(who, granted.get(who, frozenset()), own) for who in shown[:MOST_PEOPLE]]
        sections.append((heading, lines, len(shown) > MOST_PEOPLE))
    context = {"titles": TITLES.values(), "sections": sections, "q": asked, "only_granted": only_granted}
    return page(request, dataset, site, "rights", f"Permissions: {dataset.title}", context)


def managed(request: HttpRequest, dataset_id: int) -> Dataset:
    """Return a dataset that the user manages.

    :raises Http404: there is none, or it is not his to see.
    :raises PermissionDenied: he sees it and does not manage it.
    """
    dataset = get_object_or_404(Dataset.objects.all(), pk=dataset_id)
    held = access.rights_of(request.user, dataset)
    if not held and not request.user.has_perm("datasets.view_dataset"):
        raise Http404
    if "manage" not in held:
        raise PermissionDenied("Only who manages the dataset may see and grant its permissions.")
    return dataset


def page(
    request: HttpRequest, dataset: Dataset, site: AdminSite, name: str, title: str, context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    """Return one of the pages about the rights on a dataset."""
    context = {
        **site.each_context(request),
        "title": title,
        "opts": Dataset._meta,
        "dataset": dataset,
        "part": name,
        **context,
    }
    return render(request, f"datasets/{name}.html", context, status=status)


def people(asked: str) -> Any:
    """Return the active users whose name or address has these words."""
    found = active_people()
    for word in asked[:200].split()[:8]:
        found = found.filter(
            Q(email__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word)
        )
    return found


def groups(asked: str) -> Any:
    """Return the groups whose name has these words."""
    found = Group.objects.order_by("name")
    for word in asked[:200].split()[:8]:
        found = found.filter(name__icontains=word)
    return found


def _line(who: Who, ticked: frozenset[str], own: frozenset[str]) -> Line:
    everywhere = rights_for_all(who) if isinstance(who, User) else of_group(who)
    boxes = tuple(
        Box(box_name(who, right), f"{title} for {who}", right in ticked, right in own, right in everywhere)
        for right, title in TITLES.items()
    )
    buttons = tuple(
        PresetButton(name or "none", f"{_key(who)}:{name}", ticked == rights, (rights ^ ticked) <= own)
        for name, rights in (*PRESETS.items(), ("", frozenset()))
    )
    seen = ",".join(right for right in access.RIGHTS if right in ticked)
    return Line(who, f"{_key(who)}-seen", preset_of(ticked), seen, boxes, buttons)


def of_group(group: Group) -> frozenset[str]:
    """Return the rights a group has in every dataset."""
    names = set(
        group.permissions.filter(content_type__app_label="datasets").values_list("codename", flat=True)
    )
    held = {right for name in names if (right := access.right_of(name))}
    return frozenset(held | {"manage"} if "change_dataset" in names else held)


def _key(who: Who) -> str:
    return f"{'user' if isinstance(who, User) else 'group'}-{who.pk}"


def box_name(who: Who, right: str) -> str:
    """Return what a tick box is called in the form."""
    return f"{_key(who)}-{right}"


def _saved(request: HttpRequest, dataset: Dataset, site: AdminSite) -> HttpResponse:
    before = access.rights_of(request.user, dataset)
    with transaction.atomic():
        changed = _apply(request, dataset)
        user = User.objects.get(pk=_by(request).pk)
        lost = [right for right in access.RIGHTS if right in before - access.rights_of(user, dataset)]
        if lost and not request.POST.get("confirmed"):
            transaction.set_rollback(True)
    if lost and not request.POST.get("confirmed"):
        sent = [(name, value) for name in request.POST for value in request.POST.getlist(name)]
        context = {
            "lost": [TITLES[right].lower() for right in lost],
            "sent": [pair for pair in sent if pair[0] != "csrfmiddlewaretoken"],
        }
        return page(request, dataset, site, "rights_warning", "You would lose rights", context, status=409)
    messages.success(
        request, f"{count(changed, 'permission')} changed." if changed else "Nothing was changed."
    )
    if "manage" in lost:
        return HttpResponseRedirect(reverse("admin:datasets_dataset_changelist"))
    query = request.GET.urlencode()
    url = reverse("admin:datasets_dataset_rights", args=(dataset.pk,))
    return HttpResponseRedirect(f"{url}?{query}" if query else url)


def _apply(request: HttpRequest, dataset: Dataset) -> int:
    granted = access.granted_to(dataset)
    everybody = {_key(who): who for who in [*Group.objects.all(), *people("")]}
    if chosen := request.POST.get("preset"):
        key, _, name = chosen.partition(":")
        if key not in everybody:
            raise Http404
        who = everybody[key]
        changes = granted.get(who, frozenset()) ^ PRESETS.get(name, frozenset())
        granting.grant_preset(preset=name, to=who, dataset=dataset, by=_by(request))
        return len(changes)
    own = access.rights_of(request.user, dataset)
    wishes = [wish for key, who in everybody.items() for wish in _wishes(request, key, who, own)]
    changed = 0
    for wish in _own_last(wishes, request.user):
        if wish.is_granted == (wish.right in granted.get(wish.who, frozenset())):
            continue  # somebody else did it meanwhile
        if wish.is_granted:
            services.grant_right(right=wish.right, to=wish.who, dataset=dataset, by=_by(request))
        else:
            services.revoke_right(right=wish.right, of=wish.who, dataset=dataset, by=_by(request))
        changed += 1
    return changed


def _wishes(request: HttpRequest, key: str, who: Who, own: frozenset[str]) -> Iterable[Wish]:
    """Yield what differs from what the page showed: what others changed meanwhile is no decision of this form."""
    if (seen := request.POST.get(f"{key}-seen")) is None:
        return
    shown = {right for right in seen.split(",") if right in access.RIGHTS}
    for right in access.RIGHTS:
        wanted = box_name(who, right) in request.POST
        # A box that is shut to this user is never sent, ticked or not.
        if wanted != (right in shown) and (wanted or right in own):
            yield Wish(right, who, wanted)


def _own_last(wishes: Iterable[Wish], user: Any) -> list[Wish]:
    """Return the wishes with those last that take something from the user himself: he needs it for the others."""
    own = {user, *user.groups.all()}
    return sorted(wishes, key=lambda wish: (wish.who in own and not wish.is_granted, wish.right == "manage"))


def _by(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the site lets nobody else in
    return request.user


# ---- columns


def columns_view(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Show how far one group, or one user, is let to each column, and save it."""
    dataset = managed(request, dataset_id)
    asked = request.POST.get("who") or request.GET.get("who", "")
    who = _who(asked)
    if asked and who is None:
        raise Http404
    visible = {column.pk for column in access.visible_columns(request.user, dataset)}
    columns = [column for column in dataset.columns.in_use() if column.pk in visible]
    if request.method == "POST" and who is not None:
        return _columns_saved(request, dataset, who, columns)
    found = request.GET.get("q", "").strip()
    limits = ColumnLimit.objects.filter(column__in=columns).select_related("group", "user")
    limited = sorted(
        {(_key(limit.group or limit.user), str(limit.group or limit.user)) for limit in limits},  # type: ignore[arg-type]
        key=lambda pair: pair[1],
    )
    context = {
        "who": who,
        "asked": asked,
        "q": found,
        "groups": [(_key(one), one) for one in groups("")],
        "people": [(_key(one), one) for one in people(found)[:MOST_PEOPLE]] if found else [],
        "limited": limited,
        "is_unlimited": isinstance(who, User) and access.is_unlimited(who),
        "lines": _column_lines(request, dataset, who, columns) if who is not None else [],
    }
    return page(request, dataset, site, "rights_columns", f"Columns: {dataset.title}", context)


def _who(key: str) -> Who | None:
    kind, _, number = key.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    if kind == "group":
        return Group.objects.filter(pk=int(number)).first()
    return User.objects.filter(pk=int(number), is_active=True).first() if kind == "user" else None


def _column_lines(
    request: HttpRequest, dataset: Dataset, who: Who, columns: list[Column]
) -> list[dict[str, Any]]:
    limits = _limits_of(who, columns)
    own = access.limits_of(request.user, dataset)
    words = {"": "as the groups say" if isinstance(who, User) else "full", **dict(ColumnAccess.choices)}
    lines = []
    for column in columns:
        now = limits.get(column.pk, "")
        choices = [
            (value, word, value == now)
            for value, word in words.items()
            if not (value == ColumnAccess.FULL and isinstance(who, Group))
            and not (value == ColumnAccess.HIDDEN and column.pk in dataset.key)
        ]
        lines.append(
            {
                "column": column, "name": f"column-{column.pk}", "now": now, "choices": choices,
                "is_key": column.pk in dataset.key, "is_open": column.pk not in own,
            }
        )  # fmt: skip
    return lines


def _limits_of(who: Who, columns: list[Column]) -> dict[int, str]:
    whose = Q(user=who) if isinstance(who, User) else Q(group=who)
    return dict(ColumnLimit.objects.filter(whose, column__in=columns).values_list("column_id", "access"))


@transaction.atomic
def _columns_saved(request: HttpRequest, dataset: Dataset, who: Who, columns: list[Column]) -> HttpResponse:
    limits, changed = _limits_of(who, columns), 0
    for column in columns:
        wanted = request.POST.get(f"column-{column.pk}")
        seen = request.POST.get(f"column-{column.pk}-seen")
        if wanted is None or wanted == seen or wanted == limits.get(column.pk, ""):
            continue
        if wanted not in ("", *ColumnAccess.values):
            raise Http404
        how = ColumnAccess(wanted) if wanted else None
        granting.limit_column(column=column, to=who, how=how, by=_by(request))
        changed += 1
    messages.success(
        request, f"{count(changed, 'column')} changed for {who}." if changed else "Nothing was changed."
    )
    url = reverse("admin:datasets_dataset_rights_columns", args=(dataset.pk,))
    return HttpResponseRedirect(f"{url}?who={_key(who)}")
