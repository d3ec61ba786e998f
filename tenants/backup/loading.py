"""Loading a backup into a schema of its own, and telling whether a schema holds what a backup says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.conf import settings
from django.db import connection as _connection
from django.db.migrations.loader import MigrationLoader

from core.backend.roles import grant_rights
from core.tenancy import TenantRef, in_public, in_tenant
from tenants.backup.format import (
    BackupDamaged,
    BackupReader,
    BackupTooNew,
    Contents,
    Json,
    Lines,
    Part,
    RowHash,
    read_through,
)
from tenants.backup.taking import copy_rows, fix_settings, sequences_of, tables_of
from tenants.catalog import quoted
from tenants.template import create_schema

connection: Any = _connection  # ours knows schemas
Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded: the backup's contents, and the files it lists."""

    contents: Contents
    files: list[Json]
    sequences: list[tuple[str, int, bool]]


def check(open_backup: Opener) -> Contents:
    """Read a whole backup before anything is touched, and say whether this release may restore it.

    :raises BackupDamaged: it is not what was written.
    :raises BackupSealed: none of the keys opens it.
    :raises BackupTooNew: a later release wrote it.
    """
    with open_backup() as source:
        contents = read_through(source, settings.ROWHOUSE_BACKUP_KEYS)
    if unknown := _unknown_migrations(contents.about["migrations"]):
        named = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise BackupTooNew(
            f"This backup was taken by release {contents.about['version']} and holds tables this release does not know"
            f" ({named}). Restore it with that release or a later one. Nothing was changed."
        )
    return contents


def is_behind(contents: Contents) -> bool:
    """Return whether this release has migrations that the backup's tables have not seen."""
    applied = {(app, name) for app, name in contents.about["migrations"]}
    return bool(set(MigrationLoader(None).disk_migrations) - applied)


def _unknown_migrations(applied: Iterable[Sequence[str]]) -> list[str]:
    loader = MigrationLoader(None)
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update((app, name) for app, name in migration.replaces)
    return [f"{app}.{name}" for app, name in applied if (app, name) not in known]


def load(open_backup: Opener, tenant: TenantRef, expected: Contents) -> Loaded:
    """Make the tenant's schema anew from a backup that was checked, in the caller's transaction.

    The backup is read a second time, and judged again: an end that does not fit raises, and the caller's transaction
    takes everything back.

    :raises BackupDamaged: it is not the one that was checked.
    """
    with connection.cursor() as cursor:
        create_schema(cursor, tenant.schema)
        cursor.execute("SET LOCAL statement_timeout = 0")
        fix_settings(cursor)
    then: list[str] = []
    sequences: list[tuple[str, int, bool]] = []
    files: list[Json] = []
    with open_backup() as source, in_tenant(tenant):
        reader = BackupReader(source, settings.ROWHOUSE_BACKUP_KEYS)
        for part in reader.parts():
            if part.kind == "schema":
                statements = json.loads(part.content())
                _run(statements["before"])
                then = statements["after"]
            elif part.kind == "table":
                _load_table(part)
            elif part.kind == "sequences":
                sequences = [
                    (name, last, called) for name, last, called in json.loads(part.content())["sequences"]
                ]
            elif part.kind == "files":
                files = [json.loads(line) for line in part.content().splitlines()]
        if reader.contents is None or reader.contents.sha256 != expected.sha256:
            raise BackupDamaged("This backup changed while it was read. Nothing was changed. Try again.")
        # Behind the rows: indexes are built once, triggers note nothing, and keys are checked as a whole.
        _run(then)
        _set_sequences(sequences)
    with in_public(), connection.cursor() as cursor:
        grant_rights(cursor, tenant.schema)  # histories have others than what is made by default
    return Loaded(reader.contents, files, sequences)


def _run(statements: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _load_table(part: Part) -> None:
    if not part.about["has_rows"]:
        return
    columns = ", ".join(quoted(name) for name in part.about["columns"])
    table = quoted(part.about["name"])
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table}{f' ({columns})' if columns else ''} FROM STDIN", Lines(part.chunks))


def _set_sequences(sequences: Iterable[tuple[str, int, bool]]) -> None:
    with connection.cursor() as cursor:
        for name, last, is_called in sequences:
            cursor.execute("SELECT setval(%s::regclass, %s, %s)", [quoted(name), last, is_called])


def analyze(tenant: TenantRef, contents: Contents) -> None:
    """Let the planner know what was loaded, in the caller's transaction."""
    with in_tenant(tenant), connection.cursor() as cursor:
        for table in contents.tables:
            if table["rows"]:
                cursor.execute(f"ANALYZE {quoted(table['name'])}")


def mismatches(schema: str, loaded: Loaded) -> list[str]:
    """Return in sentences where a schema differs from what a backup says of it: tables, rows and sequences.

    Every row is read and hashed. Nothing is returned if all are the same.
    """
    found: list[str] = []
    tables = {table.name: table for table in tables_of(connection, schema)}
    expected = {part["name"]: part for part in loaded.contents.tables}
    found += [f"The table {name} is missing." for name in sorted(expected.keys() - tables.keys())]
    found += [f"The table {name} is not in the backup." for name in sorted(tables.keys() - expected.keys())]
    with connection.cursor() as cursor:
        fix_settings(cursor)
        for name in sorted(expected.keys() & tables.keys()):
            if not expected[name]["has_rows"]:
                continue
            rows = RowHash()
            copy_rows(cursor, schema, tables[name], rows.add_line)
            if rows.rows != expected[name]["rows"]:
                found.append(f"{name} has {rows.rows} rows, the backup {expected[name]['rows']}.")
            elif rows.rows and rows.text != expected[name]["hash"]:
                found.append(f"Rows of {name} are not those of the backup.")
    sequences = {name: (last, is_called) for name, last, is_called in sequences_of(connection, schema)}
    for name, last, is_called in loaded.sequences:
        if sequences.get(name) != (last, is_called):
            found.append(
                f"The sequence {name} stands at {sequences.get(name)}, in the backup at {(last, is_called)}."
            )
    return found
