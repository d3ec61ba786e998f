"""Deleting many records at once: counted and shown first, and taken back by an undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from datasets import changesets
from datasets.admin.addresses import change_address
from datasets.admin.selection import query_of

if TYPE_CHECKING:
    from datasets.admin.records import RowsAdmin


def delete_selected(
    modeladmin: RowsAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Work out the deletion, and go to its page, which shows how many records and a sample of them."""
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
