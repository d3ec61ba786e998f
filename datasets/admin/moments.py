"""Pages of the past: the records as of a moment, and what differs between two.

The records as of a moment are the same list as the records of today, over other rows: filters, search, order, columns
and paging are the same code. Nothing can be changed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import path, reverse
from django.urls.resolvers import URLPattern

from core.clock import now
from core.errors import RowhouseError
from datasets import asof, differing
from datasets.admin.addresses import record_address, records_address
from datasets.admin.links import differences_export_url, view_export_url
from datasets.admin.listing import KEPT, RecordsChangeList
from datasets.admin.records import RowsAdmin, limited_time, rows_view
from datasets.differing import Between
from datasets.filtering import filtered
from datasets.liststate import ListState
from datasets.models import Dataset
from datasets.paginator import EstimatedPaginator
from datasets.spec import ColumnSpec

AT, COUNT = "at", "count"
PAGE = 50
MOST_DIGITS = 18  # of a bigint


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that was asked for, and what there is to say of it. `problem`: why nothing is shown."""

    text: str = ""
    at: datetime | None = None
    since: datetime | None = None
    problem: str = ""

    @property
    def words(self) -> str:
        return asof.in_words(self.at) if self.at else ""

    @property
    def typed(self) -> str:
        """What the form shows: the moment to the second, or what was typed."""
        return f"{self.at:%Y-%m-%dT%H:%M:%S}" if self.at else self.text[: asof.MOST_CHARACTERS]

    @property
    def first(self) -> datetime | None:
        return asof.whole_second(self.since) if self.since else None


def read_one(dataset: Dataset, text: str) -> Moment:
    """Return the moment that a page was asked for, with the reason if nothing can be shown of it."""
    if not text.strip():
        return Moment(since=asof.known_since(dataset))
    try:
        at = asof.read_moment(text)
        return Moment(text, at, asof.require_known(dataset, at))
    except RowhouseError as refused:
        return Moment(text, None, asof.known_since(dataset), refused.message)


class UncountedPaginator(EstimatedPaginator):
    """Pages of a list whose records nobody counts unless he is asked to: next and previous go by place."""

    template_name = "datasets/as_of_pages.html"

    @property
    def count(self) -> int:
        return 0

    @property
    def count_label(self) -> str:
        return ""


class AsOfChangeList(RecordsChangeList):
    """The list as of a moment: its records lead to their history, and it is counted when somebody asks for it."""

    model_admin: AsOfAdmin
    counted: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.params.pop(COUNT, None)  # of this page alone
        self.filter_params.pop(COUNT, None)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_count = self.full_result_count = len(self.result_list)
        if COUNT in request.GET:
            self.counted = self.model_admin.records(self.state, all_of_them=True).count()

    def url_for_result(self, result: Any) -> str:
        until = asof.whole_second(self.model_admin.at)
        query = urlencode({"until": f"{until:%Y-%m-%dT%H:%M:%S}"})
        return f"{record_address(self.model_admin.dataset, result.pk)}?{query}"

    @property
    def count_url(self) -> str:
        return self.get_query_string({COUNT: "1"})

    @property
    def export_url(self) -> str:
        admin = self.model_admin
        query = urlencode([*self.state.pairs(), (AT, admin.at.isoformat())])
        return view_export_url(admin.dataset, admin.rights, query)


class AsOfAdmin(RowsAdmin):
    """The list of a dataset's records as of a moment, for one request. It changes nothing."""

    actions = ()  # type: ignore[assignment] # there is nothing to be done
    paginator = UncountedPaginator
    list_before_template = "datasets/as_of_head.html"
    list_after_template = None  # type: ignore[assignment] # no cells to edit
    kept = (*(name for name in KEPT if name != "v"), AT)
    at: datetime
    added: tuple[ColumnSpec, ...] = ()

    class Media:
        css: ClassVar = {"all": ("datasets/list.css", "datasets/records.css")}
        js: ClassVar[tuple[Any, ...]] = ("datasets/list.js",)

    # ---- nothing is changed

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # ---- the records as of the moment

    def begin(self, at: datetime) -> None:
        """Make this the list of a moment that history tells of."""
        self.at = at
        self.spec, self.added = asof.spec_of_then(self.dataset, self.spec, at)
        self.columns = self.spec.columns
        self.model = asof.MODELS_OF_THEN.get(self.spec)
        self.opts = self.model._meta

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # To sort takes all records of then anyway, and gathers them faster than one by one.
        return asof.records_as_of(self.spec, self.at, all_of_them=bool(self.state(request).sort))

    def records(self, state: ListState, *, all_of_them: bool) -> QuerySet[Any]:
        """Return the records that a list shows, in no order."""
        found = asof.records_as_of(self.spec, self.at, all_of_them=all_of_them)
        return filtered(found, state, self.columns, now=now())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return AsOfChangeList

    def state_of(self, query: Any) -> ListState:
        rest = query.copy()
        rest.pop(COUNT, None)
        return super().state_of(rest)

    def view_detour(self, request: HttpRequest) -> HttpResponse | None:
        return None  # views are of the records as they are

    def bar(self, request: HttpRequest, state: ListState) -> Any:
        return None

    def offers(self, request: HttpRequest, state: ListState) -> Any:
        return []

    # ---- the pages

    def as_of_view(self, request: HttpRequest) -> HttpResponse:
        """Show the records as of the moment in the address, or ask for one."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        moment = read_one(self.dataset, request.GET.get(AT, ""))
        if moment.at is None:
            return self._ask(
                request, "datasets/as_of_ask.html", {"moment": moment}, is_refused=bool(moment.problem)
            )
        self.begin(moment.at)
        context = {
            "title": f"{self.dataset.title} as of {moment.words}",
            "links": [],
            "moment": moment,
            "moment_hidden": [(name, value) for name, value in self.state(request).pairs()],
            "added": [column.label for column in self.added],
            "is_being_written": asof.is_being_written(self.spec),
            "urls": self._urls(moment.at),
        }
        return self.changelist_view(request, context)

    def differences_view(self, request: HttpRequest) -> HttpResponse:
        """Show what differs between the two moments in the address, or ask for them."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        since = read_one(self.dataset, request.GET.get("from", ""))
        until = read_one(self.dataset, request.GET.get("to", ""))
        problem = since.problem or until.problem
        context: dict[str, Any] = {"since": since, "until": until, "problem": problem}
        if since.at and until.at and since.at >= until.at:
            problem = context["problem"] = "The first moment has to lie before the second. Exchange them."
        elif since.at and until.at:
            context |= self._differences(request, Between(self._spec_at(until.at), since.at, until.at))
        return self._ask(request, "datasets/differences.html", context, is_refused=bool(problem))

    def _spec_at(self, at: datetime) -> Any:
        return asof.spec_of_then(self.dataset, self.spec, at)[0]

    def _differences(self, request: HttpRequest, between: Between) -> dict[str, Any]:
        kinds = [kind for kind in differing.KINDS if kind in request.GET.getlist("kind")]
        names = {column.name for column in between.spec.columns}
        columns = [name for name in request.GET.getlist("column") if name in names]
        text = request.GET.get("after", "")
        after = int(text) if text.isascii() and text.isdigit() and len(text) < MOST_DIGITS else 0
        with limited_time():
            totals = between.totals()
            found = between.page(kinds=kinds, columns=columns, after=after, size=PAGE + 1)
        shown = found[:PAGE]
        asked = [
            ("from", between.since.isoformat()),
            ("to", between.until.isoformat()),
            *(("kind", kind) for kind in kinds),
            *(("column", name) for name in columns),
        ]
        return {
            "totals": totals,
            "kinds": [(kind, totals.kinds[kind], kind in kinds) for kind in differing.KINDS],
            "columns": [
                (column, totals.columns[column.name], column.name in columns)
                for column in between.spec.columns
                if totals.columns[column.name] or column.name in columns
            ],
            "records": [(one, record_address(self.dataset, one.record_id)) for one in shown],
            "is_narrowed": bool(kinds or columns),
            "is_later_page": bool(after),
            "all_url": "?" + urlencode(asked[:2]),
            "first_url": "?" + urlencode(asked),
            "next_url": "?" + urlencode([*asked, ("after", shown[-1].record_id)])
            if len(found) > PAGE
            else "",
            "export_url": differences_export_url(self.dataset, self.rights, urlencode(asked)),
            "is_being_written": asof.is_being_written(self.spec),
            "as_of": [
                (asof.in_words(at), self._url("as_of", at=at.isoformat()))
                for at in (between.since, between.until)
            ],
        }

    def _ask(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, is_refused: bool
    ) -> HttpResponse:
        request.current_app = self.admin_site.name  # as Django's own admin does
        until = now()
        return render(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "title": self.dataset.title,
                "opts": self.opts,
                "dataset": self.dataset,
                "latest": until,
                "urls": self._urls(),
                **context,
            },
            status=422 if is_refused else 200,
        )

    def _urls(self, at: datetime | None = None) -> dict[str, str]:
        since = {"from": f"{at:%Y-%m-%dT%H:%M:%S.%f+00:00}"} if at else {}
        return {
            "records": records_address(self.dataset),
            "as_of": self._url("as_of"),
            "differences": self._url("differences", **since),
        }

    def _url(self, page: str, **query: str) -> str:
        address = reverse(f"admin:datasets_row_{page}", args=[self.dataset.pk])
        return f"{address}?{urlencode(query)}" if query else address


PAGES: Sequence[tuple[str, str, str]] = (
    ("as-of/", "as_of_view", "as_of"),
    ("differences/", "differences_view", "differences"),
)


def moment_urls(site: AdminSite) -> list[URLPattern]:
    """Return the pages of the past of any dataset, below `<dataset_id>/rows/`."""
    return [
        path(route, rows_view(site, method, AsOfAdmin), name=f"datasets_row_{name}")
        for route, method, name in PAGES
    ]
