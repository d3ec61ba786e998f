"""A column as a field of the generated model."""

from __future__ import annotations

from typing import Any

from django.db import models

from datasets.columntypes import type_of
from datasets.columntypes.decimal import size_of
from datasets.spec import ColumnSpec


def model_field(column: ColumnSpec) -> models.Field[Any, Any]:
    """Return the model field that reads and writes a column's Python values.

    :raises KeyError: the type has no field here.
    """
    field: models.Field[Any, Any] = _FIELDS[column.value_type](column, _common(column))
    return field


def _common(column: ColumnSpec) -> dict[str, Any]:
    default = column.options.default
    return {
        **({} if default is None else {"default": type_of(column).to_python(default)}),
        "verbose_name": column.label,
        "null": not column.is_required,
        "blank": not column.is_required,
    }


def _text(column: ColumnSpec, common: dict[str, Any]) -> models.Field[Any, Any]:
    # A TextField, because UPPER(c::text), what a CharField is searched by, would miss an index on upper(c).
    return models.TextField(**common)


def _choice(column: ColumnSpec, common: dict[str, Any]) -> models.Field[Any, Any]:
    return models.TextField(choices=[(choice, choice) for choice in column.options.choices], **common)


class JsonTextField(models.TextField):  # type: ignore[type-arg]
    """A `jsonb` column, read and written as its text: exact numbers, and `null` besides no value."""

    def db_type(self, connection: Any) -> str:
        return "jsonb"


def _decimal(column: ColumnSpec, common: dict[str, Any]) -> models.Field[Any, Any]:
    precision, scale = size_of(column)
    return models.DecimalField(max_digits=precision, decimal_places=scale, **common)


_FIELDS: dict[str, Any] = {
    "text": _text,
    "long_text": _text,
    "choice": _choice,
    "decimal": _decimal,
    "integer": lambda _column, common: models.BigIntegerField(**common),
    "boolean": lambda _column, common: models.BooleanField(**common),
    "date": lambda _column, common: models.DateField(**common),
    "time": lambda _column, common: models.TimeField(**common),
    "timestamp": lambda _column, common: models.DateTimeField(**common),
    "multi_choice": _text,
    "email": _text,
    "url": _text,
    "phone": _text,
    "uuid": lambda _column, common: models.UUIDField(**common),
    "json": lambda _column, common: JsonTextField(**common),
}
