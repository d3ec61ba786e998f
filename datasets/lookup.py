"""Finding the record a reference is to name: by the beginning of its key, or by what people know it by."""

from __future__ import annotations

from django.db import connection

from datasets.columntypes import BadValue, Reading, type_of
from datasets.display import shorten
from datasets.references import label_column
from datasets.rows import MODELS, RowBase
from datasets.spec import ColumnSpec, DatasetSpec

PAGE = 20
MOST_PAGES = 50
MOST_CHARACTERS = 200
SHOWN = 80


def find_keys(spec: DatasetSpec, term: str, page: int) -> tuple[list[tuple[str, str]], bool]:
    """Return (canonical key, text to show) of the records that `term` may mean, and whether there are more.

    In the key's order; `page` counts from 1. The key must be one column.
    """
    [key] = spec.key_columns
    label = label_column(spec)
    if "\x00" in term or len(term) > MOST_CHARACTERS or not 1 <= page <= MOST_PAGES:
        return [], False
    name = f't."{key.name}"'
    text, known_by = type_of(key).text_sql(name), _label_sql(label)
    like = term.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    conditions, parameters = "", []
    if like:
        conditions = f" WHERE ({text} ILIKE %s OR {known_by} ILIKE %s)"
        parameters = [f"{like}%", f"%{like}%"]
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT {text}, left({known_by}, {SHOWN + 1}) FROM "{spec.table}" t{conditions}'
            f" ORDER BY {name} LIMIT {PAGE + 1} OFFSET {(page - 1) * PAGE}",
            parameters,
        )
        found = cursor.fetchall()
    return [(value, _shown(value, known)) for value, known in found[:PAGE]], len(found) > PAGE


def record_of(spec: DatasetSpec, raw: str) -> RowBase | None:
    """Return the record with a key, given as people may write it."""
    [key] = spec.key_columns
    value = key_value(key, raw)
    return None if value is None else MODELS.get(spec).objects.filter(**{key.name: value}).first()


def key_value(column: ColumnSpec, raw: str) -> object | None:
    """Return the Python value of a key or a reference, None where the column cannot hold what was written."""
    kind = type_of(column)
    try:
        return kind.to_python(kind.parse(raw, column, Reading())) if raw else None
    except BadValue:
        return None


def text_of(spec: DatasetSpec, raw: str) -> str:
    """Return what people read of a record's key; the key alone where there is no such record."""
    record, label = record_of(spec, raw), label_column(spec)
    if record is None:
        return shorten(raw, SHOWN)
    return _shown(record.text_of(spec.key[0]), record.text_of(label.name) if label else None)


def first_keys(column: ColumnSpec, most: int) -> list[str]:
    """Return the first keys that a reference may hold, as canonical texts in their order."""
    target = column.options.target
    if target is None:
        return []
    text = type_of(column).text_sql(f'"{target.name}"')
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT {text} FROM "{target.table}" ORDER BY "{target.name}" LIMIT %s', [most])
        return [key for (key,) in cursor.fetchall()]


def _label_sql(label: ColumnSpec | None) -> str:
    return "NULL::text" if label is None else type_of(label).text_sql(f't."{label.name}"')


def _shown(key: str, known_by: str | None) -> str:
    return " · ".join(shorten(text, SHOWN) for text in (key, known_by) if text)
