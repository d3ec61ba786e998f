"""Deleting many records at once: counted and shown first, and taken back by an undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from datasets import changesets, references
from datasets.admin.addresses import change_address
from datasets.admin.selection import query_of

if TYPE_CHECKING:
    from datasets.admin.records import RowsAdmin


def delete_selected(
    modeladmin: RowsAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Work out the deletion, and go to its page, which shows how many records and a sample of them."""
    if held := _held(modeladmin, queryset):
        messages.error(
            request,
            f"Nothing was deleted: some are referred to by {held}. Delete or change those first.",
        )
        return None
    changes = changesets.plan_delete(
        dataset=modeladmin.dataset, records=queryset, by=request.user, query=query_of(request)
    )
    if not changes.picked_records:
        changesets.cancel_changes(changes=changes, by=request.user)
        messages.warning(request, "These records are gone meanwhile; nothing was deleted.")
        return None
    return redirect(change_address(changes))


delete_selected.short_description = "Delete selected records"  # type: ignore[attr-defined]
delete_selected.allowed_permissions = ("delete",)  # type: ignore[attr-defined]


def _held(modeladmin: RowsAdmin, queryset: QuerySet[Any]) -> str:
    """Return in words who refers to some of the records, "" if nobody does."""
    if not references.referrers_of(modeladmin.dataset):
        return ""
    chosen, parameters = queryset.order_by().values("pk").query.sql_with_params()
    held = references.held(modeladmin.dataset, f"t.id IN ({chosen})", parameters)
    return references.words_of(held, modeladmin.visible) if held else ""
