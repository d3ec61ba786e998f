"""A large first load: into empty tables, with the indexes built once at its end.

Filling four indexes row by row takes about a fifth of such a load. Nobody reads an empty dataset for long,
so the tables may be held for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from datasets.ddl import DatasetBusy, reference_constraint, short_wait
from datasets.spec import DatasetSpec

WORTH_IT_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class _Index:
    """One index or the constraint it stands behind, as SQL that drops it and SQL that makes it again."""

    drop: str
    make: str


@contextmanager
def first_load(spec: DatasetSpec, rows: int) -> Iterator[bool]:
    """Run the block, which adds `rows` records, with the indexes of empty tables built afterwards; say if so.

    Does nothing of its own when the load is small, when there are records, or when somebody uses the table.
    Must be inside the transaction of the load; what the indexes refuse, they refuse at the end of the block.

    :raises IntegrityError: two of the new records have the same key or the same unique value.
    """
    dropped = _drop_indexes(spec) if rows >= WORTH_IT_ROWS else []
    yield bool(dropped)
    with connection.cursor() as cursor:
        for index in reversed(dropped):  # what leans on an index went before it
            cursor.execute(index.make)


def _drop_indexes(spec: DatasetSpec) -> list[_Index]:
    tables = [table for table in (spec.table, spec.history_table) if _is_empty(table)]
    if spec.table not in tables:
        return []
    indexes = [*_own_references(spec), *(index for table in tables for index in _indexes(table))]
    try:
        with transaction.atomic(), short_wait(), connection.cursor() as cursor:
            if names := ", ".join(f'"{reference_constraint(spec, one)}"' for one in spec.own_references):
                # What was deleted before awaits its check, and no table is altered meanwhile. Empty, it passes.
                cursor.execute(f"SET CONSTRAINTS {names} IMMEDIATE")
            for index in indexes:
                cursor.execute(index.drop)
    except DatasetBusy:
        return []
    return indexes


def _is_empty(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT NOT EXISTS (SELECT FROM "{table}")')  # noqa: S608 -- a generated name
        return bool(cursor.fetchone()[0])


def _indexes(table: str) -> list[_Index]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), quote_ident(c.conname),"
            " pg_get_constraintdef(c.oid) FROM pg_index i"
            " LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype <> 'f'"
            " WHERE i.indrelid = %s::regclass ORDER BY i.indexrelid DESC",
            [table],
        )
        return [_index(table, *row) for row in cursor.fetchall()]


def _own_references(spec: DatasetSpec) -> list[_Index]:
    """Return the references of the table to itself: they lean on the index of its key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'f' AND conrelid = %(table)s::regclass AND confrelid = %(table)s::regclass",
            {"table": spec.table},
        )
        return [_index(spec.table, "", "", *row) for row in cursor.fetchall()]


def _index(table: str, name: str, definition: str, constraint: str | None, rule: str | None) -> _Index:
    if constraint is None:
        return _Index(f"DROP INDEX {name}", definition)
    alter = f'ALTER TABLE "{table}"'
    return _Index(f"{alter} DROP CONSTRAINT {constraint}", f"{alter} ADD CONSTRAINT {constraint} {rule}")
