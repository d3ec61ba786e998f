"""Which records a person means: the picked ones, or all that the list's filter finds."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from accounts.sites import tenant_site
from datasets.models import Dataset


def filtered_records(request: HttpRequest, dataset: Dataset, query: str | None = None) -> QuerySet[Any]:
    """Return the records that a dataset's list shows on all its pages: its filters, its search, and no more.

    :param query: the address of the list, behind its question mark; else the request's own.
    :raises IncorrectLookupParameters: the address asks for what no filter of the list offers.
    """
    from datasets.admin.records import RowsAdmin  # the list's actions come here too  # noqa: PLC0415

    asked = copy(request)
    if query is not None:
        asked.GET = QueryDict(query)  # a copy of the request, with another address
    shown = RowsAdmin(dataset, tenant_site, request.user).get_changelist_instance(asked)
    queryset: QuerySet[Any] = shown.queryset
    return queryset


def query_of(request: HttpRequest) -> str | None:
    """Return the address of the filter an action is for, or None where it is for picked records."""
    return request.GET.urlencode() if request.POST.get("select_across") == "1" else None


def picked(request: HttpRequest) -> dict[str, Any]:
    """Return what a page in between has to send again, so that the action is about the same records."""
    return {
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
    }
