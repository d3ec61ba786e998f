"""What makes a list fast: the offer above it, and the page of its indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.models import User
from core.errors import RowhouseError
from datasets import access, indexing, stats
from datasets.liststate import ListState
from datasets.models import RecordIndex
from datasets.spec import ColumnSpec

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.db.models.options import Options


@dataclass(frozen=True, slots=True)
class Offer:
    """What would make this very list faster, and where it is asked for."""

    words: str
    button: str
    fields: tuple[tuple[str, str], ...]


class Speed:
    """The part of a RowsAdmin that knows indexes."""

    if TYPE_CHECKING:
        dataset: Any
        spec: Any
        columns: tuple[ColumnSpec, ...]
        admin_site: AdminSite
        opts: Options[Any]

    def offers(self, request: HttpRequest, state: ListState) -> list[Offer]:
        """Return the offers to who may take them. At most four queries, and none where nothing is asked."""
        if not (state.sort or state.search) or not access.may(request.user, "manage", self.dataset):
            return []
        records, _ = stats.record_counts([self.spec.table])[self.spec.table]
        if records < indexing.OFFER_FROM:
            return []
        made = []
        about = stats.count_label(records, is_exact=False)
        column = self._first_sorted(state)
        if column is not None and column.name not in indexing.led_by(self.spec.table):
            made.append(
                Offer(
                    f"To sort by {column.label} the database reads all {about} records. An index of"
                    f" about {filesizeformat(records * indexing.SORT_BYTES)} spares that;"
                    " imports and changes then have one more to keep.",
                    f"Index {column.label}",
                    (("do", "sort"), ("column", column.name)),
                )
            )
        if state.search and indexing.missing_for_search(self.spec):
            made.append(
                Offer(
                    f"To search the database reads all {about} records.",
                    "How to make search fast",
                    (),
                )
            )
        return made

    def _first_sorted(self, state: ListState) -> ColumnSpec | None:
        if not state.sort:
            return None
        column = next(one for one in self.columns if one.name == state.sort[0][0])
        return None if indexing.why_not_sorted(column) else column

    @property
    def indexes_url(self) -> str:
        return reverse("admin:datasets_row_indexes", args=(self.dataset.pk,))

    def indexes_view(self, request: HttpRequest) -> HttpResponse:
        """Show the indexes people asked for, what they cost, and what could be indexed; make and remove them."""
        user = cast("User", request.user)
        if not access.may(user, "manage", self.dataset):
            raise PermissionDenied("Only who may change the dataset may make or remove its indexes.")
        if request.method == "POST":
            try:
                self._do_with_index(request, user)
            except RowhouseError as refused:
                messages.error(request, refused.message)
            return HttpResponseRedirect(self.indexes_url)
        return TemplateResponse(request, "datasets/indexes.html", self._indexes(request))

    def _do_with_index(self, request: HttpRequest, user: User) -> None:
        action = request.POST.get("do")
        if action == "sort":
            wanted = request.POST.get("column")
            column = next((one for one in self.columns if one.name == wanted), None)
            if column is None:
                raise Http404
            indexing.request_sort_index(dataset=self.dataset, column=column, by=user)
            messages.info(request, f"An index of “{column.label}” is being built; work can go on meanwhile.")
        elif action == "search":
            made = indexing.make_search_fast(dataset=self.dataset, by=user)
            messages.info(request, f"{len(made)} indexes are being built; work can go on meanwhile.")
        elif action == "remove":
            number = request.POST.get("index", "")
            found = RecordIndex.objects.filter(dataset=self.dataset, pk=number if number.isdecimal() else 0)
            index = found.select_related("column", "dataset").first()
            if index is None:
                raise Http404
            indexing.remove_index(index=index, by=user)
            messages.success(request, f"The index of “{index.column.label}” is removed.")
        else:
            raise Http404

    def _indexes(self, request: HttpRequest) -> dict[str, Any]:
        kept = list(RecordIndex.objects.filter(dataset=self.dataset).select_related("column"))
        found = indexing.sizes(kept)
        records, is_exact = stats.record_counts([self.spec.table])[self.spec.table]
        missing = indexing.missing_for_search(self.spec)
        led = indexing.led_by(self.spec.table)
        texts = sum(1 for _, kind in missing if kind == RecordIndex.Kind.SEARCH)
        cost = records * (texts * indexing.SEARCH_BYTES + (len(missing) - texts) * indexing.SORT_BYTES)
        waiting = {one.column_id for one in kept if one.kind == RecordIndex.Kind.SORT}
        return {
            **self.admin_site.each_context(request),
            "title": f"Speed: {self.dataset.title}",
            "opts": self.opts,
            "dataset": self.dataset,
            "list_url": reverse("admin:datasets_row_changelist", args=(self.dataset.pk,)) + "?v=0",
            "indexes": [(one, found[one.pk], one.state == RecordIndex.State.BUILDING) for one in kept],
            "is_building": any(one.state == RecordIndex.State.BUILDING for one in kept),
            "records": stats.count_label(records, is_exact=is_exact),
            "missing": [column.label for column, _ in missing],
            "search_cost": filesizeformat(cost),
            "has_trigrams": indexing.has_trigrams(),
            "sortable": [
                one
                for one in self.columns
                if one.name not in led and one.pk not in waiting and not indexing.why_not_sorted(one)
            ],
        }
