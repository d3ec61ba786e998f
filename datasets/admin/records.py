"""The records of one dataset in the admin.

A RowsAdmin is built for one request and one dataset and never registered: registered ones would show each
tenant's datasets to all the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.admin import AdminSite, ShowFacets
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import SimpleTemplateResponse
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from psycopg2.errors import QueryCanceled
from unfold.admin import ModelAdmin

from audit.actor import actor
from core.errors import RowhouseError
from core.quotas import Resource, require_room
from datasets import access, ddl, references
from datasets.admin.bulk import edit_selected
from datasets.admin.grid import CellsPage
from datasets.admin.history import GuardedHistoryAdmin
from datasets.admin.links import record_links
from datasets.admin.listing import Listing
from datasets.admin.record_page import RecordPage
from datasets.admin.references import Visible, by_key_view, keys_view, referring
from datasets.admin.removal import delete_selected
from datasets.forms import CellField, KeysWidget, RecordForm
from datasets.models import Dataset
from datasets.paginator import EstimatedPaginator
from datasets.rows import MODELS, RowBase
from datasets.spec import ColumnSpec

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
    "keys": ("keys/", "keys_view"),
    "by_key": ("by-key/", "by_key_view"),
    "views": ("views/", "views_view"),
    "indexes": ("indexes/", "indexes_view"),
}


class TooSlow(RowhouseError):
    """A list could not be read within the time a page may take."""

    code = "too-slow"
    status = 503


class RecordConflict(RowhouseError):
    """A record could not be saved, because another one was saved meanwhile."""

    code = "record-conflict"


class RowsAdmin(Listing, CellsPage, RecordPage, GuardedHistoryAdmin, ModelAdmin):
    """List, add, change, delete and history of one dataset's records, for one request."""

    form = RecordForm
    actions = (edit_selected, delete_selected)
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = EstimatedPaginator
    ordering = ("-pk",)
    list_before_template = "datasets/records_head.html"
    list_after_template = "datasets/grid.html"
    search_help_text = "Words found in any text column, or whole numbers."
    warn_unsaved_form = True
    conditional_fields: ClassVar[dict[str, str]] = {}  # Unfold's templates ask for each field's
    change_form_before_template = "datasets/record_seen.html"
    change_form_outer_after_template = "datasets/referring.html"
    delete_confirmation_template = "datasets/delete_confirmation.html"

    class Media:
        css: ClassVar = {"all": ("datasets/list.css", "datasets/records.css")}
        js: ClassVar[tuple[Any, ...]] = ("datasets/list.js", Script("datasets/grid.js", defer=True))

    def __init__(self, dataset: Dataset, site: AdminSite, user: Any = None) -> None:
        self.dataset = dataset
        # What is hidden from the user is in none of the classes, forms, lists and queries made of this.
        self.seen = access.seen_by(user, dataset)
        self.spec, self.editable = self.seen.spec, self.seen.editable
        self.columns = self.spec.columns
        self.rights = access.rights_of(user, dataset)
        self.reverting: int | None = None
        self.visible = Visible(user)
        super().__init__(MODELS.get(self.spec), site)

    # ---- rights: of this dataset, as they are in this request

    def has_module_permission(self, request: HttpRequest) -> bool:
        return "view" in self.rights

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "view" in self.rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return "add" in self.rights and self.seen.may_fill_a_record

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "change" in self.rights

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "delete" in self.rights

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (elsewhere := self.detour(request)) is not None:
            return elsewhere
        links = record_links(request, self.dataset, self.rights)
        context = {
            "title": self.dataset.title,
            "links": links,
            "may_import": any(link.is_primary for link in links),
            "dataset": self.dataset,
            "may_add": self.has_add_permission(request),
            **(extra_context or {}),
        }
        with limited_time():
            response: HttpResponse = super().changelist_view(request, context)
            if hasattr(response, "render"):
                response.render()  # its queries run here, under the limit
        return response

    # ---- the form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        column = self._column(db_field.name)
        return CellField(column, self._keys_widget(column)) if column else None

    def _keys_widget(self, column: ColumnSpec) -> KeysWidget | None:
        target = column.options.target
        if target is None or target.dataset not in self.visible:
            return None
        url = reverse("admin:datasets_row_keys", args=(target.dataset,))
        return KeysWidget(self.visible[target.dataset].spec(), url)

    def keys_view(self, request: HttpRequest) -> HttpResponse:
        """Answer what the widget of a reference to this dataset asks, in the form select2 reads."""
        with limited_time():
            return keys_view(request, self.spec)

    def by_key_view(self, request: HttpRequest) -> HttpResponse:
        """Lead to the record that a reference names by its key."""
        return by_key_view(request, self.spec)

    def _column(self, name: str) -> ColumnSpec | None:
        return next((column for column in self.spec.columns if column.name == name), None)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is not None and not self.has_change_permission(request, obj):
            return [column.name for column in self.spec.columns]
        return [column.name for column in self.spec.columns if column.name not in self.editable]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        names = [column.name for column in self.spec.columns]
        # Of a new record there is nothing to read.
        return names if obj is not None else [name for name in names if name in self.editable]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        record = self.get_object(request, object_id) if object_id else None
        context = {
            "subtitle": self.dataset.title,
            "dataset": self.dataset,
            "referring": referring(self.dataset, record, self.visible) if record else [],
            **(extra_context or {}),
        }
        if object_id is not None and self.reverting is None:
            context["seen_version"] = self.seen_version(request, object_id)
        return super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: RowBase, form: Any, change: bool) -> None:
        fields = None
        if not change:
            require_room(Resource.ROWS)
        if change and self.reverting is None:
            fields = [name for name in form.changed_data if name in self.editable]
            fields = self.columns_to_save(request, obj, fields)
            if not fields:
                return
        elif self.reverting is not None and self.seen.has_limits:
            # Of a former version only what this user may set: the form holds the other columns as they were then.
            fields = [column.name for column in self.spec.columns if column.name in self.editable]
        is_revert = self.reverting is not None and self._is_version(obj, self.reverting)
        reason = f"reverted to version {self.reverting}" if is_revert else "edited in the admin"
        try:
            with references.refusals(), actor(request.user.pk, reason):
                # Only what was changed: what somebody else changes meanwhile stays.
                obj.save(update_fields=fields)
        except IntegrityError as error:
            if rule := ddl.broken_rule(self.spec, error):
                raise RecordConflict(
                    f"{rule} The record was changed a moment ago. Go back and look again."
                ) from error
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
        with references.refusals(), actor(request.user.pk, "deleted in the admin"):
            obj.delete()

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        # No model relates to a record, so nothing is collected: stock would load every one.
        shown = [str(obj) for obj in objs[:10]]
        held = references.held(self.dataset, "t.id = ANY(%s)", [[obj.pk for obj in objs]])
        referring = [f"It is referred to by {references.words_of(held, self.visible)}"] if held else []
        return shown, {"records": len(objs)}, set(), referring

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
        if (
            request.method == "POST"
            and is_gone
            and (not self.has_add_permission(request) or self.seen.has_limits)
        ):
            raise PermissionDenied("You may not bring back a deleted record: that sets all of its columns.")
        with transaction.atomic():
            return super().history_form_view(request, object_id, version_id, extra_context)


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
        path(route, rows_view(site, method), name=f"datasets_row_{operation}")
        for operation, (route, method) in ROW_OPS.items()
    ]
    # Stock `<path:object_id>/` would take anything else for a dataset's identifier.
    return [*pages, path("<path:rest>", site.admin_view(_no_page))]


def _no_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    raise Http404


def rows_view(site: AdminSite, method: str, of: type[RowsAdmin] = RowsAdmin) -> Any:
    """Return the view that makes an admin for the request and its dataset, and lets a method of it answer."""

    def run(request: HttpRequest, dataset_id: int, **kwargs: Any) -> HttpResponse:
        arguments = {name: str(value) for name, value in kwargs.items()}
        # In one transaction, which holds the definition it reads: a change waits until the page is made.
        with transaction.atomic():
            try:
                ddl.hold_form(dataset_id)
            except ddl.DatasetGone as gone:
                raise Http404 from gone
            # A dataset this user may not see does not exist for him.
            dataset = get_object_or_404(access.datasets_for(request.user), pk=dataset_id)
            admin = of(dataset, site, request.user)
            response: HttpResponse = getattr(admin, method)(request, **arguments)
            if isinstance(response, SimpleTemplateResponse):
                response.render()
        return response

    run.__name__ = f"rows_{method}"
    return site.admin_view(run)
