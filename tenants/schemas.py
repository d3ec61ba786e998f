"""Schemas as wholes: made empty, renamed, dropped. The one place where their roles are thought of too."""

from __future__ import annotations

from typing import Any

from tenants.catalog import quoted


def make_schema(cursor: Any, schema: str) -> None:
    """Make an empty schema.

    It must not be there: rows of somebody else's schema would be taken for this tenant's.
    """
    cursor.execute(f"CREATE SCHEMA {quoted(schema)}")


def finish_schema(cursor: Any, schema: str) -> None:
    """Give what was made in a schema to its roles. May run again."""


def rename_schema(cursor: Any, old: str, new: str) -> None:
    """Let a schema be called otherwise. Nobody waits for its tables."""
    cursor.execute(f"ALTER SCHEMA {quoted(old)} RENAME TO {quoted(new)}")


def drop_schema(cursor: Any, schema: str) -> None:
    """Drop a schema with all that is in it, if it is there."""
    cursor.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
