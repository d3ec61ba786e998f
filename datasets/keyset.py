"""Paging by where the last page ended, instead of by how many records came before.

However deep, a page costs what the first one costs where an index has the order; and records that are added or
deleted meanwhile neither repeat nor hide one. The place is a text in the address: the values of the sort columns
and the primary key of the record at the edge.

PostgreSQL puts no value behind all others, in front of them downwards; so do we.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, F, Func, Q, QuerySet, Value

from datasets.columntypes import type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.filtering import ordering
from datasets.liststate import free
from datasets.spec import ColumnSpec

MAX_TOKEN = 2_000
MAX_PK = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Order:
    """The columns of a sort, each with whether downwards; the primary key comes last, as the first goes."""

    sort: tuple[tuple[ColumnSpec, bool], ...]

    @property
    def is_downwards(self) -> bool:
        return self.sort[0][1] if self.sort else True

    def reversed(self) -> Order:
        return Order(tuple((column, not is_downwards) for column, is_downwards in self.sort))

    def fields(self, *, is_back: bool) -> list[Any]:
        """Return what `order_by` takes."""
        made = ordering(tuple((column.name, is_downwards) for column, is_downwards in self.sort))
        if not self.sort and is_back:
            return [F("pk").asc()]
        return made


def place_of(record: Any, order: Order) -> str:
    """Return where a record stands in an order, for the address."""
    texts = [_text(getattr(record, column.name), column) for column, _ in order.sort]
    place = json.dumps([record.pk, *texts], ensure_ascii=False, separators=(",", ":"))
    if len(place) > MAX_TOKEN // 2:  # a long text: the record itself is asked where it stands
        place = json.dumps([record.pk])
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _text(value: Any, column: ColumnSpec) -> str | None:
    return None if value is None else type_of(column).to_text(value)


def read_place(token: str, order: Order, records: QuerySet[Any]) -> list[Any] | None:
    """Return the values of a place: of the sort columns, then the primary key; None if it is none of this order.

    One query, only where the address has no room for the values.
    """
    try:
        parts = json.loads(urlsafe_b64decode(token[:MAX_TOKEN] + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(parts, list) or not parts or type(parts[0]) is not int or not 0 <= parts[0] <= MAX_PK:
        return None
    pk, *texts = parts
    names = [column.name for column, _ in order.sort]
    if names and not texts:
        found = records.filter(pk=pk).values_list(*names).first()
        return None if found is None else [*found, pk]
    if len(texts) != len(names):
        return None
    try:
        return [*(_value(text, column) for text, (column, _) in zip(texts, order.sort, strict=True)), pk]
    except (BadValue, UnicodeError):
        return None


def _value(text: object, column: ColumnSpec) -> Any:
    if text is None:
        return None
    if not isinstance(text, str) or not (text or type_of(column).holds_text):
        raise BadValue("no value of this column")
    asked = free(column)
    return type_of(asked).to_python(type_of(asked).parse(text, asked, Reading()) if text else text)


def page_beside(
    records: QuerySet[Any], order: Order, place: list[Any], size: int, *, is_back: bool
) -> list[Any]:
    """Return at most `size` records after a place, or before it; in the list's order. At most two queries."""
    going = order.reversed() if is_back else order
    is_downwards = going.is_downwards if order.sort else not is_back
    ordered = records.order_by(*going.fields(is_back=is_back))
    found: list[Any] = []
    for condition in _stretches(going, place, is_downwards=is_downwards):
        if len(found) < size:
            found += ordered.filter(condition)[: size - len(found)]
    return found[::-1] if is_back else found


class _Beside(Func):
    """Whether a row of columns stands behind a row of values; PostgreSQL answers it from an index."""

    def __init__(self, *expressions: Any, sign: str) -> None:
        super().__init__(*expressions, output_field=BooleanField())
        self.sign = sign

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        compiled = [compiler.compile(expression) for expression in self.source_expressions]
        half = len(compiled) // 2
        columns, values = (", ".join(sql for sql, _ in part) for part in (compiled[:half], compiled[half:]))
        return f"({columns}) {self.sign} ({values})", [one for _, given in compiled for one in given]


def _stretches(order: Order, place: list[Any], *, is_downwards: bool) -> list[Any]:
    """Return the conditions of what comes behind a place, one after the other."""
    *values, pk = place
    columns = [column for column, _ in order.sort]
    behind_pk = Q(pk__lt=pk) if is_downwards else Q(pk__gt=pk)
    if not columns:
        return [behind_pk]
    is_one_way = len({down for _, down in order.sort}) == 1
    if is_one_way and None not in values:
        names = [*(column.name for column in columns), "id"]
        if all(column.is_required for column in columns):
            return [_named_row(names, place, is_downwards=is_downwards)]
        if len(columns) == 1:
            row = _named_row(names, place, is_downwards=is_downwards)
            # Downwards what has no value came first; upwards it follows.
            return [row] if is_downwards else [row, Q(**{f"{columns[0].name}__isnull": True})]
    if len(columns) == 1:
        missing = Q(**{f"{columns[0].name}__isnull": True})
        return [missing & behind_pk, ~missing] if is_downwards else [missing & behind_pk]
    return [_any_way(order, values, behind_pk)]


def _named_row(names: list[str], values: list[Any], *, is_downwards: bool) -> _Beside:
    return _Beside(*map(F, names), *map(Value, values), sign="<" if is_downwards else ">")


def _any_way(order: Order, values: list[Any], behind_pk: Q) -> Q:
    """Return what comes behind in any mixture of directions: the first column that differs decides."""
    found, equal = Q(pk__in=[]), Q()
    for (column, is_downwards), value in zip(order.sort, values, strict=True):
        found |= equal & _behind(column, value, is_downwards=is_downwards)
        equal &= Q(**{f"{column.name}__isnull": True}) if value is None else Q(**{column.name: value})
    return found | (equal & behind_pk)


def _behind(column: ColumnSpec, value: Any, *, is_downwards: bool) -> Q:
    missing = Q(**{f"{column.name}__isnull": True})
    if value is None:
        return ~missing if is_downwards else Q(pk__in=[])
    if is_downwards:
        return Q(**{f"{column.name}__lt": value})
    beyond = Q(**{f"{column.name}__gt": value})
    return beyond if column.is_required else beyond | missing
