"""Pieces of SQL over the records of a dataset. Identifiers are generated names; values are never written here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

from datasets.columntypes import type_of
from datasets.spec import DatasetSpec


def quoted(names: Iterable[str], prefix: str = "") -> str:
    """Return the names as a list for SQL, each with the prefix ("s.") before it."""
    return ", ".join(f"{prefix}{connection.ops.quote_name(name)}" for name in names)


def key_text(spec: DatasetSpec, table: str) -> str:
    """Return the SQL of what people call a record by, its key; NULL where it has none."""
    if not spec.key:
        return "NULL"
    quote = connection.ops.quote_name
    texts: Sequence[str] = [type_of(one).text_sql(f"{table}.{quote(one.name)}") for one in spec.key_columns]
    return f"nullif(concat_ws(' · ', {', '.join(texts)}), '')"


def name_text(spec: DatasetSpec, table: str) -> str:
    """Return the SQL of what people call a record by: its key, or its id where there is none."""
    return f"coalesce({key_text(spec, table)}, 'record ' || {table}.id)"
