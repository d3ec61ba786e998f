"""The views of a list of records: the bar above it, and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    QueryDict,
)
from django.urls import reverse

from accounts.models import User
from core.errors import RowhouseError
from datasets import views_saved
from datasets.liststate import ListState
from datasets.views_saved import state_of

if TYPE_CHECKING:
    pass

ALL = "0"


@dataclass(frozen=True, slots=True)
class Tab:
    """One view in the bar. `is_changed`: what the list shows is not what is saved."""

    pk: int
    name: str
    url: str
    version: int
    is_current: bool
    is_default: bool
    is_shared: bool
    is_changed: bool
    may_change: bool
    owner: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of views above a list."""

    tabs: list[Tab]
    all_url: str
    is_all: bool
    post_url: str
    query: str

    @property
    def current(self) -> Tab | None:
        return next((tab for tab in self.tabs if tab.is_current), None)

    @property
    def has_default(self) -> bool:
        return any(tab.is_default for tab in self.tabs)


def address_of(view: Any, state: ListState) -> str:
    """Return the query string that shows a view; everything it holds stands in it."""
    left_out = [("_left", "1")] if state.ignored else []
    return "?" + urlencode([*state.pairs(), ("v", str(view.pk)), *left_out])


class SavedViews:
    """The part of a RowsAdmin that knows views."""

    if TYPE_CHECKING:
        dataset: Any
        columns: Any

        def state_of(self, query: QueryDict) -> ListState: ...

    def views(self, request: HttpRequest) -> list[Any]:
        """Return the views this person sees. One query in a request."""
        if not hasattr(self, "_views"):
            self._views = views_saved.visible_views(request.user, self.dataset)
        return self._views

    def view_detour(self, request: HttpRequest) -> HttpResponse | None:
        """Return the redirect to a view's whole address: of the one named, or one's default."""
        if request.method != "GET" or set(request.GET) - {"v"}:
            return None
        wanted = request.GET.get("v", "")
        if wanted == ALL:
            return None
        for view in self.views(request):
            if str(view.pk) == wanted or (not wanted and view.is_default):
                return HttpResponseRedirect(address_of(view, state_of(view, self.columns)))
        return None

    def bar(self, request: HttpRequest, state: ListState) -> Bar:
        """Return what the bar of views shows beside this list."""
        wanted = request.GET.get("v", "")
        tabs = [
            self._tab(view, request, state, is_current=str(view.pk) == wanted) for view in self.views(request)
        ]
        return Bar(
            tabs=tabs,
            all_url=f"?v={ALL}" if any(tab.is_default for tab in tabs) else "?",
            is_all=not any(tab.is_current for tab in tabs) and not state.pairs(),
            post_url=reverse("admin:datasets_row_views", args=(self.dataset.pk,)),
            query=urlencode(state.pairs()),
        )

    def _tab(self, view: Any, request: HttpRequest, state: ListState, *, is_current: bool) -> Tab:
        saved = state_of(view, self.columns)
        return Tab(
            pk=view.pk,
            name=view.name,
            url=address_of(view, saved),
            version=view.version,
            is_current=is_current,
            is_default=view.is_default,
            is_shared=view.is_shared,
            is_changed=is_current and saved.pairs() != state.pairs(),
            may_change=views_saved.may_change(view, request.user),
            owner="" if view.owner_id == request.user.pk else str(view.owner or "somebody who left"),
        )

    def views_view(self, request: HttpRequest) -> HttpResponse:
        """Save the list that was sent along as a new view, or do something with one."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        user, here = cast("User", request.user), request.POST
        state = self.state_of(QueryDict(here.get("query", "")))
        back = "?" + urlencode([*state.pairs(), ("v", here.get("view") or ALL)])
        try:
            back = self._do(request, user, state) or back
        except RowhouseError as refused:
            messages.error(request, refused.message)
        return HttpResponseRedirect(reverse("admin:datasets_row_changelist", args=(self.dataset.pk,)) + back)

    def _do(self, request: HttpRequest, user: User, state: ListState) -> str | None:
        here = request.POST
        action, is_shared, name = here.get("do"), here.get("shared") == "1", here.get("name", "")
        if action == "add":
            made = views_saved.save_view(
                dataset=self.dataset, name=name, state=state, is_shared=is_shared, by=user
            )
            if here.get("default") == "1":
                views_saved.set_default_view(dataset=self.dataset, view=made, by=user)
            messages.success(request, f"The view “{made.name}” is saved.")
            return address_of(made, state.without_unknown())
        view = next((one for one in self.views(request) if str(one.pk) == here.get("view")), None)
        if view is None:
            raise Http404
        version = here.get("version", "")
        seen = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
        if action == "save":
            views_saved.change_view(view=view, version=seen, by=user, state=state)
            messages.success(request, f"“{view.name}” now shows this.")
        elif action == "rename":
            views_saved.change_view(view=view, version=seen, by=user, name=name, is_shared=is_shared)
            messages.success(request, "The view is changed.")
        elif action == "delete":
            views_saved.delete_view(view=view, version=seen, by=user)
            messages.success(request, f"The view “{view.name}” is deleted; the records are as they were.")
            return f"?v={ALL}"
        elif action == "default":
            views_saved.set_default_view(dataset=self.dataset, view=view, by=user)
            messages.success(request, f"You will see “{view.name}” first.")
        elif action == "no-default":
            views_saved.set_default_view(dataset=self.dataset, view=None, by=user)
            messages.success(request, "You will see all records first.")
        else:
            raise Http404
        return None
