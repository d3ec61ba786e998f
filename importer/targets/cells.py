"""What a row would change in its record, cell by cell, as the serializer writes both values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from importer.targets.judging import Row

# Four times what a page shows of a value: floods of combining marks are cut there.
KEPT = 1_201
ABSENT = object()


def changed_cells(row: Row, names: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Return column to [old, new] of a judged row without issues; of a row that creates, what it fills.

    :param names: the serializer's field of each column.
    """
    if row.serializer is None or row.op == "=":
        return {}
    return {
        column: [old, new] for column, old, new in _cells(row, names) if old is not None or new is not None
    }


def _cells(row: Row, names: Mapping[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    assert row.serializer is not None
    fields: Any = row.serializer
    for column, name in names.items():
        field = fields.fields[name]
        new = _walk(row.serializer.validated_data, field.source_attrs)
        if new is ABSENT:
            continue
        if row.instance is None:
            yield column, None, _text(field, new)
        elif (old := _of_record(field, row.instance)) != new:
            yield column, _text(field, old), _text(field, new)


def _walk(data: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return ABSENT
        data = data[name]
    return data


def _of_record(field: Any, instance: Any) -> Any:
    try:
        return field.get_attribute(instance)
    except (AttributeError, KeyError):  # the serializer writes it in a way of its own
        return None


def _text(field: Any, value: Any) -> str | None:
    if value is None:
        return None
    try:
        shown = field.to_representation(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        shown = value
    text = shown if isinstance(shown, str) else json.dumps(shown, default=str, ensure_ascii=False)
    return text[:KEPT]
