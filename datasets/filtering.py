"""Conditions of a list as queries: values are parameters, columns the fields of the generated model."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.utils import timezone

from datasets.columntypes import type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.multi_choice import SEPARATOR
from datasets.liststate import Condition, ListState, bound_of, days_of, free, value_of
from datasets.spec import ColumnSpec

SEARCH_WORDS = 8
SEARCH_CHARACTERS = 200
NOTHING = Q(pk__in=[])
_TEXTS: ArrayField[Any, Any] = ArrayField(TextField())


def filtered(
    records: QuerySet[Any], state: ListState, columns: tuple[ColumnSpec, ...], *, now: dt.datetime
) -> QuerySet[Any]:
    """Return the records that fit every condition and hold every word in one of `columns`."""
    for condition in state.conditions:
        records = records.filter(asked(condition, now=now))
    return searched(records, state.search, columns)


def asked(condition: Condition, *, now: dt.datetime) -> Q:
    """Return a condition as a query; one that cannot be asked fits no record.

    Days and periods are those of Django's current time zone, at `now`.
    """
    column = condition.column
    if column is None or condition.problem:
        return NOTHING
    name, first = column.name, condition.values[0]
    match condition.operator:
        case "empty":
            return _no_value(column) if first == "yes" else ~_no_value(column)
        case "contains":
            return Q(**{f"{name}__icontains": first})
        case "starts":
            return Q(**{f"{name}__istartswith": first})
        case "when":
            low, high = days_of(first, timezone.localdate(now))
            return _from(column, low) & _to(column, high)
        case "from":
            return _from(column, bound_of(column, first, "from"))
        case "to":
            return _to(column, bound_of(column, first, "to"))
    if condition.operator in ("any", "all"):
        return _has(column, condition.operator, condition.values)
    values = [value_of(column, value) for value in condition.values if value]
    found = Q(**{f"{name}__in": values}) if len(values) > 1 else Q(**{name: values[0]}) if values else NOTHING
    return found | _no_value(column) if "" in condition.values else found


def _has(column: ColumnSpec, operator: str, choices: tuple[str, ...]) -> Q:
    """Return which records have any, or all, of some choices; what can be asked can be indexed by GIN."""
    listed = Func(F(column.name), Value(SEPARATOR), function="string_to_array", output_field=_TEXTS)
    lookup = _TEXTS.get_lookup("contains" if operator == "all" else "overlap")
    assert lookup is not None
    return Q(lookup(listed, list(choices)))


def _no_value(column: ColumnSpec) -> Q:
    missing = Q(**{f"{column.name}__isnull": True})
    # A text without a character looks like no value, and people cannot tell them apart.
    return missing | Q(**{column.name: ""}) if type_of(column).holds_text else missing


def _from(column: ColumnSpec, bound: Any) -> Q:
    return Q(**{f"{column.name}__gte": _moment(bound) if column.value_type == "timestamp" else bound})


def _to(column: ColumnSpec, bound: Any) -> Q:
    if column.value_type == "timestamp" and not isinstance(bound, dt.datetime):
        if bound == dt.date.max:
            return Q(**{f"{column.name}__isnull": False})
        return Q(**{f"{column.name}__lt": _moment(bound + dt.timedelta(1))})
    return Q(**{f"{column.name}__lte": _moment(bound) if column.value_type == "timestamp" else bound})


def _moment(bound: dt.date) -> dt.datetime:
    """Return a day's beginning, or a local time, as a moment."""
    if not isinstance(bound, dt.datetime):
        bound = dt.datetime.combine(bound, dt.time())
    return bound if bound.tzinfo else timezone.make_aware(bound)


def searched(records: QuerySet[Any], search: str, columns: tuple[ColumnSpec, ...]) -> QuerySet[Any]:
    """Return the records that hold every word in one of the columns: texts anywhere, numbers exactly."""
    for word in search[:SEARCH_CHARACTERS].split()[:SEARCH_WORDS]:
        records = records.filter(_holds(word, columns))
    return records


def _holds(word: str, columns: tuple[ColumnSpec, ...]) -> Q:
    found = NOTHING
    for column in columns:
        if type_of(column).sql_type(column) == "text":
            found |= Q(**{f"{column.name}__icontains": word})
        elif column.value_type in ("integer", "decimal", "uuid"):
            found |= _equal(column, word)
    return found


def _equal(column: ColumnSpec, word: str) -> Q:
    kind = type_of(column)
    try:
        return Q(**{column.name: kind.to_python(kind.parse(word, free(column), Reading()))})
    except BadValue:
        return NOTHING


def ordering(sort: tuple[tuple[str, bool], ...]) -> list[Any]:
    """Return an order in which no two records are equal: the newest first where nothing is asked."""
    orders: list[Any] = [F(name).desc() if is_downwards else F(name).asc() for name, is_downwards in sort]
    is_downwards = sort[0][1] if sort else True
    return [*orders, F("pk").desc() if is_downwards else F("pk").asc()]
