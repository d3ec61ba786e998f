"""References in the pages of records: what may be chosen, where a key leads, and who refers to a record."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from core.words import count
from datasets import access, lookup, references
from datasets.models import Dataset
from datasets.rows import RowBase
from datasets.spec import DatasetSpec

MOST = 10_000


class Visible:
    """The datasets whose records a person may view, by primary key; asked for when first needed. One query or two."""

    def __init__(self, user: Any) -> None:
        self._user = user

    @cached_property
    def _datasets(self) -> dict[int, Dataset]:
        return access.datasets_for(self._user).in_bulk()

    def __contains__(self, pk: object) -> bool:
        return pk in self._datasets

    def __getitem__(self, pk: int) -> Dataset:
        return self._datasets[pk]


@dataclass(frozen=True, slots=True)
class Referring:
    """Records of a dataset that refer to the one on the page: how many, and the list of them."""

    title: str
    label: str
    words: str
    url: str


def keys_view(request: HttpRequest, spec: DatasetSpec) -> HttpResponse:
    """Return the records that the text typed so far may mean, a page at a time."""
    if len(spec.key) != 1:
        raise Http404
    page = request.GET.get("page") or "1"
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 0
    found, has_more = lookup.find_keys(spec, request.GET.get("term", ""), number)
    results = [{"id": key, "text": text} for key, text in found]
    return JsonResponse({"results": results, "pagination": {"more": has_more}})


def by_key_view(request: HttpRequest, spec: DatasetSpec) -> HttpResponse:
    """Lead to the record with a key.

    :raises Http404: there is none, or the dataset has no such key.
    """
    record = lookup.record_of(spec, request.GET.get("key", "")) if len(spec.key) == 1 else None
    if record is None:
        raise Http404
    return HttpResponseRedirect(reverse("admin:datasets_row_change", args=(spec.pk, record.pk)))


def referring(dataset: Dataset, record: RowBase, visible: Container[int]) -> list[Referring]:
    """Return who refers to a record, of the datasets a person may view. One query, and one for each reference."""
    found = []
    for one in references.referrers_of(dataset):
        if one.dataset.pk not in visible:
            continue
        if number := references.referring_records(one, getattr(record, one.key), most=MOST + 1):
            query = urlencode({f"{one.name}__is": record.text_of(one.key)})
            found.append(
                Referring(
                    title=one.dataset.title,
                    label=one.column.label,
                    words=count(number, "record") if number <= MOST else f"more than {MOST:,} records",
                    url=f"{reverse('admin:datasets_row_changelist', args=(one.dataset.pk,))}?{query}",
                )
            )
    return found
