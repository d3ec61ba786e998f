"""Filters of a records list: unfold's, by column type, with values checked before they reach the database."""

from __future__ import annotations

import re
from datetime import UTC
from decimal import Decimal
from math import ceil, floor
from typing import Any

from django import forms
from django.contrib.admin import FieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.postgres.fields import ArrayField
from django.db.models import F, Func, QuerySet, TextField, Value
from django.http import HttpRequest
from django.utils.timezone import make_aware
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesCheckboxFilter,
    FieldTextFilter,
    RangeDateFilter,
    RangeDateTimeFilter,
    RangeNumericFilter,
)
from unfold.utils import parse_datetime_str
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from datasets.columntypes import TYPES, BadValue, Reading
from datasets.columntypes.multi_choice import SEPARATOR
from datasets.lookup import key_value
from datasets.spec import ColumnSpec

# Long enough for every bound, short enough that no exponent or digit flood costs anything.
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII)


class NumberFilter(RangeNumericFilter):
    """From and to. Plain numbers alone: `1e99999999` would be written out by Django."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for end, lookup in (("from", "gte"), ("to", "lte")):
            raw = str(self.used_parameters.get(f"{self.parameter_name}_{end}") or "").strip()
            if not raw:
                continue
            if not _NUMBER.fullmatch(raw):
                raise IncorrectLookupParameters(f"not a number: {raw[:40]!r}")
            queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": _bound(self.field, raw, end)})
        return queryset


def _bound(field: Any, raw: str, end: str) -> Any:
    value = Decimal(raw)
    if hasattr(field, "decimal_places"):
        return value
    return ceil(value) if end == "from" else floor(value)


class DateFilter(RangeDateFilter):
    """From and to, both included."""


class TimestampFilter(RangeDateTimeFilter):
    """From and to; a date and, if it is not the whole day, a time each, in UTC."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for end, lookup, whole_day in (("from", "gte", "00:00:00"), ("to", "lte", "23:59:59")):
            day = self.used_parameters.get(f"{self.parameter_name}_{end}_0")
            if not day:
                continue
            time = self.used_parameters.get(f"{self.parameter_name}_{end}_1") or whole_day
            moment = parse_datetime_str(f"{day} {time}")
            if moment is None:
                raise IncorrectLookupParameters("not a date and a time")
            queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": make_aware(moment, UTC)})
        return queryset


class TimeRangeForm(forms.Form):
    """From and to, as the column writes its times."""

    def __init__(self, name: str, data: dict[str, Any]) -> None:
        super().__init__(data)
        for end, shown in (("from", "From"), ("to", "To")):
            widget = UnfoldAdminTextInputWidget(attrs={"placeholder": f"{shown} 14:00", "aria-label": shown})
            self.fields[f"{name}_{end}"] = forms.CharField(required=False, label="", widget=widget)


class TimeFilter(FieldListFilter):
    """From and to, both included; written as in a cell."""

    template = "unfold/filters/filters_date_range.html"

    def expected_parameters(self) -> list[str]:  # type: ignore[override]
        return [f"{self.field_path}_from", f"{self.field_path}_to"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kind = TYPES["time"]
        for end, lookup in (("from", "gte"), ("to", "lte")):
            raw = _last(self.used_parameters.get(f"{self.field_path}_{end}"))
            if not raw.strip():
                continue
            try:
                moment = kind.to_python(kind.parse(raw, ColumnSpec(0, "", "time"), Reading()))
            except BadValue as error:
                raise IncorrectLookupParameters(error.rule) from error
            queryset = queryset.filter(**{f"{self.field_path}__{lookup}": moment})
        return queryset

    def choices(self, changelist: Any) -> Any:
        data = {name: _last(self.used_parameters.get(name)) for name in self.expected_parameters()}
        yield {"form": TimeRangeForm(self.field_path, data)}


class SeveralChoicesForm(forms.Form):
    """The choices to look for, and whether a record needs one or all of them."""

    def __init__(self, name: str, label: str, choices: list[tuple[str, str]], data: dict[str, Any]) -> None:
        super().__init__(data)
        self.fields[f"{name}__has"] = forms.MultipleChoiceField(
            required=False, label=label, choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget
        )
        self.fields[f"{name}__match"] = forms.ChoiceField(
            required=False,
            label="",
            choices=[("any", "any of the ticked"), ("all", "all of the ticked")],
            widget=UnfoldAdminSelectWidget(attrs={"aria-label": f"{label}: any or all"}),
        )


class MultiChoiceFilter(FieldListFilter):
    """Any or all of the ticked choices."""

    template = "unfold/filters/filters_field.html"

    def expected_parameters(self) -> list[str]:  # type: ignore[override]
        return [f"{self.field_path}__has", f"{self.field_path}__match"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self._wanted()
        if not wanted:
            return queryset
        texts = ArrayField(TextField())
        named = Func(F(self.field_path), Value(SEPARATOR), function="string_to_array", output_field=texts)
        lookup = "contains" if self._match() == "all" else "overlap"
        found: QuerySet[Any] = queryset.alias(named=named).filter(**{f"named__{lookup}": wanted})
        return found

    def _wanted(self) -> list[str]:
        given: Any = self.used_parameters.get(f"{self.field_path}__has") or []
        return [given] if isinstance(given, str) else list(given)

    def _match(self) -> str:
        return _last(self.used_parameters.get(f"{self.field_path}__match")) or "any"

    def choices(self, changelist: Any) -> Any:
        column = next(one for one in changelist.model.spec.columns if one.name == self.field_path)
        yield {
            "form": SeveralChoicesForm(
                self.field_path,
                f" By {self.title} ",
                [(choice, choice) for choice in column.options.choices],
                {f"{self.field_path}__has": self._wanted(), f"{self.field_path}__match": self._match()},
            )
        }


def _last(given: Any) -> str:
    """Return the text of a URL parameter, which may stand there several times."""
    return str((given[-1] if given else "") if isinstance(given, list) else given or "")


class TextFilter(FieldTextFilter):
    """Contains, in any case."""


class ReferenceFilter(FieldTextFilter):
    """The records that refer to one key, written as people write it."""

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, *more: Any, **named: Any
    ) -> None:
        self.column: ColumnSpec = next(one for one in model.spec.columns if one.name == field.name)
        super().__init__(field, request, params, model, *more, **named)
        self.lookup_kwarg = f"{self.field_path}__exact"
        self.lookup_val = self.used_parameters.get(self.lookup_kwarg)

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.field_path}__exact"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        written = self.used_parameters.get(f"{self.field_path}__exact")
        raw = written[-1] if isinstance(written, list) else written
        if not raw:
            return queryset
        value = key_value(self.column, str(raw))
        return queryset.none() if value is None else queryset.filter(**{self.column.name: value})


class ChoiceFilter(ChoicesCheckboxFilter):
    """Any of the ticked choices."""


class BooleanFilter(BooleanRadioFilter):
    """Yes, no, or all."""


_FILTERS: dict[str, type] = {
    "integer": NumberFilter,
    "decimal": NumberFilter,
    "date": DateFilter,
    "time": TimeFilter,
    "timestamp": TimestampFilter,
    "boolean": BooleanFilter,
    "choice": ChoiceFilter,
    "multi_choice": MultiChoiceFilter,
    "reference": ReferenceFilter,
}
_PARAMETERS: dict[type, tuple[str, ...]] = {
    NumberFilter: ("_from", "_to"),
    DateFilter: ("_from", "_to"),
    TimeFilter: ("_from", "_to"),
    TimestampFilter: ("_from_0", "_from_1", "_to_0", "_to_1"),
    TextFilter: ("__icontains",),
    ReferenceFilter: ("__exact",),
    ChoiceFilter: ("__exact", "__isnull"),
    MultiChoiceFilter: ("__has", "__match"),
    BooleanFilter: ("__exact", "__isnull"),
}


def filter_of(column: ColumnSpec) -> tuple[str, type]:
    """Return a column's entry in `list_filter`."""
    return column.name, _FILTERS.get(column.type, TextFilter)


def parameters_of(column: ColumnSpec) -> frozenset[str]:
    """Return the URL parameters a column's filter knows; all others are refused."""
    return frozenset(column.name + suffix for suffix in _PARAMETERS[filter_of(column)[1]])
