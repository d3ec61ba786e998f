"""The records of one dataset in the admin.

A RowsAdmin is built for one request and one dataset and never registered: registered ones would show each
tenant's datasets to all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.admin import AdminSite, ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils.html import format_html
from psycopg2.errors import QueryCanceled
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from audit.actor import actor
from core.errors import RowhouseError
from datasets import access
from datasets.admin.bulk import edit_selected
from datasets.admin.filters import filter_of, parameters_of
from datasets.admin.grid import CellsPage
from datasets.admin.history import GuardedHistoryAdmin
from datasets.admin.links import record_links
from datasets.admin.record_page import RecordPage
from datasets.admin.removal import delete_selected
from datasets.columntypes import TYPES, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.display import readable, shorten
from datasets.forms import CellField, RecordForm
from datasets.models import Dataset
from datasets.paginator import EstimatedPaginator
from datasets.rows import MODELS, RowBase
from datasets.spec import ColumnSpec

LIST_COLUMNS = 20
UNBROKEN = ("integer", "decimal", "date", "timestamp")
SEARCH_WORDS = 8
SEARCH_CHARACTERS = 200
DEFAULT_TIMEOUT_SECONDS = 15.0
ROW_OPS = {
    "changelist": ("", "changelist_view"),
    "add": ("add/", "add_view"),
    "cells": ("cells/", "cells_view"),
    "revert": ("<int:object_id>/revert/", "revert_view"),
    "simple_history": ("<int:object_id>/history/<int:version_id>/", "history_form_view"),
    "history": ("<int:object_id>/history/", "history_view"),
    "delete": ("<int:object_id>/delete/", "delete_view"),
    "change": ("<int:object_id>/change/", "change_view"),
}


class TooSlow(RowhouseError):
    """A list could not be read within the time a page may take."""

    code = "too-slow"
    status = 503


class RecordConflict(RowhouseError):
    """A record could not be saved, because another one was saved meanwhile."""

    code = "record-conflict"


class RecordsChangeList(ChangeList):
    """A list whose count stands below it, with what it means; unfold would repeat the bare number above."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


class RowsAdmin(CellsPage, RecordPage, GuardedHistoryAdmin, ModelAdmin):
    """List, add, change, delete and history of one dataset's records, for one request."""

    form = RecordForm
    actions = (edit_selected, delete_selected)
    list_filter_submit = True
    list_per_page = 50
    # A list never shows all: what it believes to be few may have become a million.
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = EstimatedPaginator
    ordering = ("-pk",)
    list_before_template = "datasets/records_head.html"
    list_after_template = "datasets/grid.html"
    search_help_text = "Words found in any text column, or whole numbers."
    warn_unsaved_form = True
    change_form_before_template = "datasets/record_seen.html"

    class Media:
        css: ClassVar = {"all": ["datasets/records.css"]}
        js: ClassVar = [Script("datasets/grid.js", defer=True)]

    def __init__(self, dataset: Dataset, site: AdminSite, user: Any = None) -> None:
        self.dataset = dataset
        self.spec = dataset.spec()
        self.rights = access.rights_of(user, dataset)
        self.reverting: int | None = None
        super().__init__(MODELS.get(self.spec), site)

    # ---- rights: of this dataset, as they are in this request

    def has_module_permission(self, request: HttpRequest) -> bool:
        return "view" in self.rights

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "view" in self.rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return "add" in self.rights

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "change" in self.rights

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "delete" in self.rights

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        links = record_links(request, self.dataset, self.rights)
        context = {
            "title": self.dataset.title,
            "links": links,
            "may_import": any(link.is_primary for link in links),
            "dataset": self.dataset,
            "may_add": "add" in self.rights,
            **(extra_context or {}),
        }
        with limited_time():
            response: HttpResponse = super().changelist_view(request, context)
            if hasattr(response, "render"):
                response.render()  # its queries run here, under the limit
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordsChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [_cell(column) for column in self.listed_columns()]

    def listed_columns(self) -> list[ColumnSpec]:
        """Return the columns a list shows: the key's first, and no more than a page can hold."""
        columns = self.spec.columns
        ordered = sorted(columns, key=lambda column: column.name not in self.spec.key)
        return ordered[:LIST_COLUMNS]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [filter_of(column) for column in self.listed_columns()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # Only what a filter on the page can ask for: stock allows every lookup of every field, regex too.
        allowed = frozenset[str]().union(*(parameters_of(column) for column in self.listed_columns()))
        if "\x00" in value or len(value) > SEARCH_CHARACTERS:
            raise IncorrectLookupParameters("a filter value that no column holds")
        return lookup in allowed

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [column.name for column in self.spec.columns if column.type not in ("boolean", "date")]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in search_term[:SEARCH_CHARACTERS].split()[:SEARCH_WORDS]:
            queryset = queryset.filter(self._search(word))
        return queryset, False

    def _search(self, word: str) -> Q:
        found = Q(pk__in=[])
        for column in self.spec.columns:
            if getattr(TYPES[column.type], "holds_text", False) or column.type == "choice":
                found |= Q(**{f"{column.name}__icontains": word})
            elif column.type in ("integer", "decimal"):
                found |= _equal(column, word)
        return found

    # ---- the form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        column = self._column(db_field.name)
        return CellField(column) if column else None

    def _column(self, name: str) -> ColumnSpec | None:
        return next((column for column in self.spec.columns if column.name == name), None)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is not None and not self.has_change_permission(request, obj):
            return [column.name for column in self.spec.columns]
        return ()

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"subtitle": self.dataset.title, "dataset": self.dataset, **(extra_context or {})}
        if object_id is not None and self.reverting is None:
            context["seen_version"] = self.seen_version(request, object_id)
        return super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: RowBase, form: Any, change: bool) -> None:
        fields = None
        if change and self.reverting is None:
            fields = [name for name in form.changed_data if self._column(name)]
            fields = self.columns_to_save(request, obj, fields)
            if not fields:
                return
        is_revert = self.reverting is not None and self._is_version(obj, self.reverting)
        reason = f"reverted to version {self.reverting}" if is_revert else "edited in the admin"
        try:
            with actor(request.user.pk, reason):
                # Only what was changed: what somebody else changes meanwhile stays.
                obj.save(update_fields=fields)
        except IntegrityError as error:
            raise RecordConflict(
                "Another record with this key was saved a moment ago. Go back and look again."
            ) from error
        except DatabaseError as error:
            if isinstance(error, OperationalError) or error.__cause__ is not None:
                raise
            raise RecordConflict("This record was deleted a moment ago; it was not saved.") from error

    def _is_version(self, record: RowBase, version_id: int) -> bool:
        """Return whether a record now says what a version of it said: the form may have been changed."""
        version = self.model.history.filter(id=record.pk, history_id=version_id).first()
        return version is not None and all(
            getattr(record, column.name) == getattr(version, column.name) for column in self.spec.columns
        )

    # ---- deleting

    def delete_model(self, request: HttpRequest, obj: RowBase) -> None:
        with actor(request.user.pk, "deleted in the admin"):
            obj.delete()

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        # Nothing relates to a record, so nothing is collected: stock would load every one.
        shown = [str(obj) for obj in objs[:10]]
        return shown, {"records": len(objs)}, set(), []

    # ---- history

    def require_in_scope(self, request: HttpRequest, object_id: str) -> None:
        # A deleted record has a history too: its versions are the dataset's, as it was itself.
        if super().get_object(request, object_id) is not None:
            return
        if not self.model.history.filter(id=int(object_id)).exists():
            raise Http404

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.reverting = int(version_id)
        is_gone = self.get_object(request, object_id) is None
        if request.method == "POST" and is_gone and not self.has_add_permission(request):
            raise PermissionDenied("You may not bring back a deleted record.")
        with transaction.atomic():
            return super().history_form_view(request, object_id, version_id, extra_context)


def _cell(column: ColumnSpec) -> Callable[[RowBase], Any]:
    """Return the list's column: a callable with the attributes the admin reads."""

    def show(record: RowBase) -> Any:
        value = getattr(record, column.name)
        if value is None or column.type == "boolean":
            return value
        text = shorten(readable(type_of(column).to_text(value), column))
        if column.type in UNBROKEN:
            return format_html('<span class="whitespace-nowrap">{}</span>', text)
        return text

    show.__name__ = column.name
    show.short_description = column.label  # type: ignore[attr-defined]
    show.admin_order_field = column.name  # type: ignore[attr-defined]
    show.boolean = column.type == "boolean"  # type: ignore[attr-defined]
    return show


def _equal(column: ColumnSpec, word: str) -> Q:
    kind = type_of(column)
    try:
        value = kind.to_python(kind.parse(word, column, Reading()))
    except BadValue:
        return Q(pk__in=[])
    return Q(**{column.name: value})


@contextmanager
def limited_time() -> Iterator[None]:
    """Run the block's queries in one transaction that may take ROWS_TIMEOUT_SECONDS for each of them.

    :raises TooSlow: one of them took longer.
    """
    milliseconds = int(getattr(settings, "ROWS_TIMEOUT_SECONDS", DEFAULT_TIMEOUT_SECONDS) * 1000)
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
            yield
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = DEFAULT")
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow(
                "This list took too long to read. Narrow it with a filter on another column, "
                "or search for fewer words."
            ) from error
        raise


def row_urls(site: AdminSite) -> list[URLPattern]:
    """Return the pages of the records of any dataset, below `<dataset_id>/rows/`."""
    pages = [
        path(route, _view(site, method), name=f"datasets_row_{operation}")
        for operation, (route, method) in ROW_OPS.items()
    ]
    # Stock `<path:object_id>/` would take anything else for a dataset's identifier.
    return [*pages, path("<path:rest>", site.admin_view(_no_page))]


def _no_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    raise Http404


def _view(site: AdminSite, method: str) -> Any:
    def run(request: HttpRequest, dataset_id: int, **kwargs: Any) -> HttpResponse:
        # A dataset this user may not see does not exist for him.
        dataset = get_object_or_404(access.datasets_for(request.user), pk=dataset_id)
        admin = RowsAdmin(dataset, site, request.user)
        arguments = {name: str(value) for name, value in kwargs.items()}
        response: HttpResponse = getattr(admin, method)(request, **arguments)
        return response

    run.__name__ = f"rows_{method}"
    return site.admin_view(run)
