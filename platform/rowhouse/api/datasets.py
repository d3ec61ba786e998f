"""Datasets, their records and the versions of these, to read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens.models import Scope
from core.clock import now
from core.errors import BadFields, RowhouseError
from datasets import access, stats
from datasets.access import Seen, seen_by
from datasets.admin.records import limited_time
from datasets.columntypes import type_of
from datasets.columntypes.multi_choice import parts_of
from datasets.ddl import DatasetGone, hold_form
from datasets.definition import to_table_schema
from datasets.filtering import filtered, ordering
from datasets.keyset import Order, page_beside, place_of, read_place
from datasets.liststate import PAGE_SIZES, ListState, operators_of, read_state
from datasets.liststate import UnknownParameter as UnknownInList
from datasets.lookup import key_value
from datasets.models import Dataset
from datasets.rows import MODELS
from datasets.spec import ColumnSpec
from datasets.versions import Version, versions_of
from rowhouse.api import told
from rowhouse.api.authentication import Caller
from rowhouse.api.base import ApiView, PageAsked, UnknownParameter, asked, next_url, number_or_404, page

VERSIONS = 50
KINDS = {"+": "created", "~": "changed", "-": "deleted"}


class BadFilter(BadFields):
    """A list was asked for what cannot be asked of its columns."""

    code = "bad-filter"


class BadPlace(RowhouseError):
    """`after` is no place in this order."""

    code = "bad-place"
    status = 422


class NoKeyHere(RowhouseError):
    """A record was asked for by its key, and the dataset has none that this person sees."""

    code = "no-key"
    status = 422


class DatasetsAsked(serializers.Serializer[Any]):
    """Which datasets, by their slugs upwards."""

    after = serializers.CharField(
        required=False, max_length=63, help_text="Only what comes behind this slug."
    )
    n = serializers.IntegerField(default=50, min_value=1, max_value=200)
    q = serializers.CharField(required=False, max_length=200, help_text="Words of the title, or of the slug.")


@extend_schema(tags=["Datasets"])
class Datasets(ApiView):
    """The datasets that are for the token."""

    @extend_schema(operation_id="list_datasets", parameters=[DatasetsAsked], responses=told.DatasetPage)
    def get(self, request: Request) -> Response:
        """List datasets by their slugs."""
        wanted = asked(request, DatasetsAsked)
        found = self.caller(request).datasets()
        for word in wanted.get("q", "").split()[:8]:
            found = found.filter(Q(title__icontains=word) | Q(slug__icontains=word))
        if after := wanted.get("after"):
            found = found.filter(slug__gt=after)
        rows = list(found.order_by("slug")[: wanted["n"] + 1])
        counts = stats.record_counts([f"ds_{one.pk}" for one in rows])
        return page(
            request,
            rows,
            wanted["n"],
            lambda one: _dataset(one, counts[f"ds_{one.pk}"]),
            lambda one: one.slug,
        )


@extend_schema(tags=["Datasets"])
class OneDataset(ApiView):
    """A dataset's definition, as far as the token's person sees it."""

    @extend_schema(operation_id="get_dataset", responses=told.DefinitionTold)
    def get(self, request: Request, slug: str) -> Response:
        """Show a dataset with its columns."""
        caller = self.caller(request)
        dataset = dataset_or_404(caller.datasets(), slug)
        seen = seen_by(caller.user, dataset)
        held = access.rights_of(caller.user, dataset)
        count = stats.record_counts([f"ds_{dataset.pk}"])[f"ds_{dataset.pk}"]
        return Response(
            {
                **_dataset(dataset, count),
                "rights": [one for one in access.RIGHTS if one in held],
                "columns": [_column(one, seen) for one in seen.spec.columns],
                "table_schema": to_table_schema(seen.spec),
            }
        )


def dataset_or_404(found: QuerySet[Dataset], slug: str) -> Dataset:
    """Return the dataset of this slug among some.

    :raises Http404: it is not among them.
    """
    dataset = found.filter(slug=slug).first()
    if dataset is None:
        raise Http404
    return dataset


def _dataset(dataset: Dataset, count: tuple[int, bool]) -> dict[str, Any]:
    records, is_exact = count
    return {
        "dataset": dataset.slug,
        "title": dataset.title,
        "definition_version": dataset.definition_version,
        "records": records,
        "is_exact": is_exact,
    }


def _column(column: ColumnSpec, seen: Seen) -> dict[str, Any]:
    return {
        "name": column.name,
        "label": column.label,
        "type": column.type,
        "is_required": column.is_required,
        "is_key": column.name in seen.spec.key,
        "may_set": column.name in seen.editable,
        "filters": [f"{column.name}__{one}" for one in operators_of(column)],
    }


# ---- records


@dataclass(frozen=True, slots=True)
class Held:
    """A dataset whose definition stays as it is while it is read."""

    dataset: Dataset
    seen: Seen

    @property
    def model(self) -> Any:
        """The class of its records, which knows no hidden column."""
        return MODELS.get(self.seen.spec)


@contextmanager
def held(caller: Caller, slug: str) -> Iterator[Held]:
    """Read a dataset's records within the block: in one transaction, within the time that a page may take.

    :raises Http404: there is no such dataset for this token to read.
    :raises TooSlow: a query took too long.
    """
    found = dataset_or_404(caller.datasets(Scope.READ), slug)
    with transaction.atomic():
        try:
            hold_form(found.pk)
        except DatasetGone as gone:
            raise Http404 from gone
        dataset = Dataset.objects.get(pk=found.pk)  # as it is held
        with limited_time():
            yield Held(dataset, seen_by(caller.user, dataset))


FILTERS = OpenApiParameter(
    "filters",
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    description="Conditions as a list's address has them: `c7__from=5`, `c9__is=open`. The columns say which.",
    style="form",
    explode=True,
)
LISTED = [
    FILTERS,
    OpenApiParameter("q", str, description="Words that texts hold, or whole numbers."),
    OpenApiParameter(
        "sort", str, description="`c7.-c9`: by c7, then by c9 downwards. Without: the newest first."
    ),
    OpenApiParameter("cols", str, description="`c7.c9`: these columns alone."),
    OpenApiParameter("n", int, enum=list(PAGE_SIZES), description="How many on a page; 50."),
    OpenApiParameter("after", str, description="Where the last page ended; `next` has it."),
]


@extend_schema(tags=["Records"])
class Records(ApiView):
    """The records of a dataset."""

    scopes = (Scope.READ,)

    @extend_schema(operation_id="list_records", parameters=LISTED, responses=told.RecordPage)
    def get(self, request: Request, slug: str) -> Response:
        """List records with the conditions, the order and the columns of the list's own address."""
        with held(self.caller(request), slug) as at:
            state = _state(request, at.seen.spec.columns)
            by_name = {column.name: column for column in at.seen.spec.columns}
            columns = [by_name[name] for name in state.columns] or list(at.seen.spec.columns)
            order = Order(tuple((by_name[name], is_downwards) for name, is_downwards in state.sort))
            records = filtered(at.model.objects.all(), state, at.seen.spec.columns, now=now())
            read = dict.fromkeys(["id", *(one.name for one in columns), *(name for name, _ in state.sort)])
            records = records.order_by(*ordering(state.sort)).only(*read)
            found = _page(request, records, order, state.page_size)
            shown = found[: state.page_size]
            further = next_url(request, place_of(shown[-1], order)) if len(found) > len(shown) else None
            return Response({"results": [record_told(one, columns) for one in shown], "next": further})


def _state(request: Request, columns: tuple[ColumnSpec, ...]) -> ListState:
    """Return what the address asks for.

    :raises UnknownParameter: no list knows one of its parameters.
    :raises BadFilter: it asks for a column that is not there, or for what cannot be asked.
    """
    parameters = [(name, values) for name, values in request.query_params.lists() if name != "after"]
    try:
        state = read_state(parameters, columns)
    except UnknownInList as error:
        raise UnknownParameter(
            f"No list knows “{error}”. A dataset's columns say what can be asked."
        ) from None
    faults = {one.parameter: one.problem for one in state.conditions if one.problem}
    faults |= dict.fromkeys(state.ignored, "This dataset has no such column for you.")
    size = request.query_params.get("n")
    if size is not None and size not in {str(one) for one in PAGE_SIZES}:
        faults["n"] = f"A page has {', '.join(str(one) for one in PAGE_SIZES)} records."
    if faults:
        raise BadFilter(faults)
    return state


def _page(request: Request, records: QuerySet[Any], order: Order, size: int) -> list[Any]:
    """Return a page and one more record where there is a next page.

    :raises BadPlace: `after` is none of this order.
    """
    token = request.query_params.get("after")
    if token is None:
        return list(records[: size + 1])
    place = read_place(token, order, records)
    if place is None:
        raise BadPlace("This is no place in this list. Begin again without `after`.")
    return page_beside(records, order, place, size + 1, is_back=False)


KEY = OpenApiParameter(
    "key", {"type": "array", "items": {"type": "string"}}, required=True, explode=True,
    description="The key's values, in the key's order.",
)  # fmt: skip


@extend_schema(tags=["Records"])
class RecordByKey(ApiView):
    """A record by its key."""

    scopes = (Scope.READ,)

    @extend_schema(operation_id="get_record_by_key", parameters=[KEY], responses=told.RecordTold)
    def get(self, request: Request, slug: str) -> Response:
        """Show the record that has this key."""
        if unknown := [name for name in request.query_params if name != "key"]:
            raise UnknownParameter(f"There is no parameter “{unknown[0][:100]}” here. Give `key`.")
        given = request.query_params.getlist("key")
        with held(self.caller(request), slug) as at:
            key = at.seen.spec.key_columns
            if not key:
                raise NoKeyHere("This dataset has no key that you see. Find its records by a filter.")
            if len(given) != len(key):
                labels = ", ".join(column.label for column in key)
                raise NoKeyHere(f"The key is {labels}: give `key` {len(key)} times, in this order.")
            values = [key_value(column, raw) for column, raw in zip(key, given, strict=True)]
            if None in values:
                raise Http404
            wanted = {column.name: value for column, value in zip(key, values, strict=True)}
            return Response(_record_or_404(at, Q(**wanted)))


@extend_schema(tags=["Records"])
class OneRecord(ApiView):
    """A record by its number."""

    scopes = (Scope.READ,)

    @extend_schema(operation_id="get_record", responses=told.RecordTold)
    def get(self, request: Request, slug: str, pk: int) -> Response:
        """Show a record."""
        with held(self.caller(request), slug) as at:
            return Response(_record_or_404(at, Q(pk=number_or_404(pk))))


def _record_or_404(at: Held, condition: Q) -> dict[str, Any]:
    record = at.model.objects.filter(condition).first()
    if record is None:
        raise Http404
    return record_told(record, at.seen.spec.columns)


def record_told(record: Any, columns: Sequence[ColumnSpec]) -> dict[str, Any]:
    """Return a record as the API tells it."""
    return {"id": record.pk, "values": {one.label: _value(getattr(record, one.name), one) for one in columns}}


def _value(value: Any, column: ColumnSpec) -> Any:
    """Return a value as JSON Lines of an export have it, but for decimals, which are texts here."""
    if value is None or column.value_type in ("integer", "boolean"):
        return value
    text = type_of(column).to_text(value)
    if column.value_type == "json":
        return json.loads(text, parse_float=_number)
    return parts_of(text) if column.value_type == "multi_choice" else text


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text  # JSON has no infinity


# ---- versions


@extend_schema(tags=["Records"])
class Versions(ApiView):
    """What a record was."""

    scopes = (Scope.READ,)

    @extend_schema(operation_id="list_versions", parameters=[PageAsked], responses=told.VersionPage)
    def get(self, request: Request, slug: str, pk: int) -> Response:
        """List the versions of a record, also of a deleted one, the newest first, with what each changed."""
        wanted = asked(request, PageAsked)
        with held(self.caller(request), slug) as at:
            if not at.seen.spec.columns or not at.model.history.filter(id=number_or_404(pk)).exists():
                raise Http404
            found = versions_of(at.seen.spec, pk, before=wanted.get("after"), size=wanted["n"] + 1)
            return page(request, found, wanted["n"], _version, lambda one: one.pk)


def _version(version: Version) -> Mapping[str, Any]:
    return {
        "version": version.pk,
        "kind": KINDS[version.kind],
        "at": version.at,
        "by": version.who.email if version.who else None,
        "reason": version.reason,
        "changes": [
            {"name": one.column, "label": one.label, "old": one.old, "new": one.new} for one in version.cells
        ],
    }
