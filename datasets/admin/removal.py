"""Deleting many records at once: by condition and in one statement, whatever their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from audit.actor import actor
from audit.services import record
from datasets import ddl, references

if TYPE_CHECKING:
    from datasets.admin.records import RowsAdmin

SAMPLE = 5


def delete_selected(
    modeladmin: RowsAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Show how many records and a sample of them; on confirmation delete what was shown."""
    if held := _held(modeladmin, queryset):
        messages.error(
            request,
            f"Nothing was deleted: some are referred to by {held}. Delete or change those first.",
        )
        return None
    count = queryset.order_by().count()
    if request.POST.get("confirmed"):
        if request.POST.get("count") == str(count):
            _delete(modeladmin, request, queryset)
            return None
        messages.warning(request, f"Meanwhile {count:,} records match; nothing was deleted. Look again.")
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": "Delete records",
        "opts": modeladmin.opts,
        "dataset": modeladmin.dataset,
        "count": count,
        "sample": list(queryset[:SAMPLE]),
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
    }
    return TemplateResponse(request, "datasets/delete_records.html", context)


delete_selected.short_description = "Delete selected records"  # type: ignore[attr-defined]
delete_selected.allowed_permissions = ("delete",)  # type: ignore[attr-defined]


def _held(modeladmin: RowsAdmin, queryset: QuerySet[Any]) -> str:
    """Return in words who refers to some of the records, "" if nobody does."""
    if not references.referrers_of(modeladmin.dataset):
        return ""
    chosen, parameters = queryset.order_by().values("pk").query.sql_with_params()
    held = references.held(modeladmin.dataset, f"t.id IN ({chosen})", parameters)
    return references.words_of(held, modeladmin.visible) if held else ""


def _delete(modeladmin: RowsAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    dataset = modeladmin.dataset
    with references.refusals(), actor(request.user.pk, "deleted in the admin"):
        # The same lock as a merge takes: two statements over many records in two orders could deadlock.
        with ddl.short_wait():
            ddl.lock_dataset(dataset.pk)
        deleted = queryset.order_by()._raw_delete(queryset.db)
        record("datasets.records.deleted", actor=request.user, target=dataset, count=deleted)
    messages.success(request, f"{deleted:,} records deleted.")
