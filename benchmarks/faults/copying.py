"""Tenants by the hundred: the tables of one, copied. Provisioning them one by one would take most of an hour.

Only the tables asked for are copied, with their rows, indexes, constraints, identities and triggers. A foreign key to a
table that is not among them is left out. What is not copied is not there: whoever needs it fails loudly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.backend.roles import grant_rights, make_roles

TABLES = (
    "SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'"
    " AND c.relname ~ %s ORDER BY c.relname"
)
KEYS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE contype = 'f' AND conrelid = ANY(%s::oid[]) AND confrelid = ANY(%s::oid[])"
)
TRIGGERS = (
    "SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY(%s::oid[])"
)
IDENTITIES = (
    "SELECT attrelid::regclass::text, attname FROM pg_attribute"
    " WHERE attidentity <> '' AND NOT attisdropped AND attrelid = ANY(%s::oid[])"
)
COLUMNS = (
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
    " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
)


class Copier:
    """Copies the tables of one schema whose names match a pattern, through a connection that commits by itself."""

    def __init__(self, link: Any, source: str, pattern: str) -> None:
        self.link, self.source = link, source
        with link.cursor() as cursor:
            cursor.execute(f'SET search_path = "{source}"')  # names within it are then written without it
            cursor.execute(TABLES, [source, pattern])
            found = cursor.fetchall()
            oids = [oid for oid, _ in found]
            self.tables = {name: self._columns(cursor, oid) for oid, name in found}
            self.keys = self._rows(cursor, KEYS, oids, oids)
            self.triggers = [one for (one,) in self._rows(cursor, TRIGGERS, oids)]
            self.identities = self._rows(cursor, IDENTITIES, oids)

    def copy_to(self, schema: str) -> None:
        """Make a schema with a copy of the tables, and the roles that belong to it."""
        with self.link.cursor() as cursor:
            cursor.execute("; ".join(["BEGIN", *self._statements(schema), "COMMIT"]))
            make_roles(cursor, schema)
            grant_rights(cursor, schema)

    def _statements(self, schema: str) -> list[str]:
        made = [f'CREATE SCHEMA "{schema}"', f'SET LOCAL search_path = "{schema}"']
        for table, columns in self.tables.items():
            source = f'"{self.source}"."{table}"'
            made.append(f'CREATE TABLE "{table}" (LIKE {source} INCLUDING ALL)')
            made.append(
                f'INSERT INTO "{table}" ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source}'
            )
        for table, column in self.identities:
            made.append(
                f"SELECT setval(pg_get_serial_sequence('{schema}.{table}', '{column}'),"
                f' (SELECT coalesce(max("{column}"), 0) + 1 FROM "{table}"), false)'
            )
        made += [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for table, name, text in self.keys]
        return [*made, *self.triggers]

    @staticmethod
    def _columns(cursor: Any, oid: int) -> str:
        cursor.execute(COLUMNS, [oid])
        return str(cursor.fetchone()[0])

    @staticmethod
    def _rows(cursor: Any, statement: str, *values: Sequence[int]) -> list[Any]:
        cursor.execute(statement, list(map(list, values)))
        return list(cursor.fetchall())
