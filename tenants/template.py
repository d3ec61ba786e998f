"""The template: a migrated schema without a tenant, and the script that makes schemas of its kind at once.

Running every migration takes seconds, and longer with each that is added; a script read from the migrated schema's
catalog and sent as one message takes a fraction of one. It holds what each tenant begins with too: which migrations
are done, content types, permissions and the roles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.migrations.loader import MigrationLoader

from accounts.services import role_rights, sync_roles
from core.backend.places import PUBLIC, place_of
from core.backend.roles import (
    drop_roles,
    grant_rights,
    make_roles,
    owner_of,
    rename_roles,
    rights_lacking,
    strays,
)
from core.tenancy import TenantRef, connection, in_public, in_tenant
from tenants.catalog import quoted, read_schema, schema_script
from tenants.migrating import migrate, patiently
from tenants.models import SchemaTemplate
from tenants.names import new_schema_name

SLUG = "template"  # the template and spares are entered as tenants of this name; none is a tenant


def digest() -> str:
    """Return what tells schemas apart that this code and this server make: of migrations, roles and version."""
    version = connection.pg_version // 10_000
    modules = tuple(MigrationLoader.migrations_module(config.label)[0] for config in apps.get_app_configs())
    said = repr(
        (version, _of_files(modules), sorted((role, sorted(names)) for role, names in role_rights().items()))
    )
    return hashlib.sha256(said.encode()).hexdigest()


@cache
def _of_files(modules: tuple[str | None, ...]) -> str:
    """Return what tells the migrations in these packages from others. They do not change while a process lives."""
    found = hashlib.sha256()
    for module in modules:
        try:
            folders = list(import_module(module).__path__) if module else []
        except ModuleNotFoundError:
            continue  # an app without models
        for file in sorted(file for folder in folders for file in Path(folder).glob("*.py")):
            found.update(f"{module}/{file.name}".encode() + file.read_bytes())
    return found.hexdigest()


def current() -> SchemaTemplate | None:
    """Return the template of this code, or None: it was not made yet."""
    return SchemaTemplate.objects.filter(digest=digest()).first()


def ensure() -> SchemaTemplate:
    """Return the template of this code, and make it if it is not there: by running all migrations, once.

    Call it outside of every tenant. Who comes second waits for the first.

    :raises NotCopied: an app's migrations make what no script can be read of.
    """
    found = current()
    if found is not None:
        return found
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('tenants.template'))")
        found = current()
        if found is not None:
            return found
        schema = new_schema_name()
        create_schema(cursor, schema)
        migrate_schema(TenantRef(schema, SLUG))
        with in_tenant(TenantRef(schema, SLUG)):
            sync_roles()
        script = ";\n".join(schema_script(cursor, schema, _rows(cursor, schema)))
        return SchemaTemplate.objects.create(schema_name=schema, digest=digest(), script=script)


def create_schema(cursor: Any, schema: str, script: str = "") -> None:
    """Create a schema, with what the script makes. Must be inside a transaction and outside of every tenant.

    The one place where schemas of tenants come into being, and where what goes with each is made.

    :raises RolesUnavailable: the platform's database role may not make roles.
    """
    make_roles(cursor, schema)
    cursor.execute(f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(owner_of(schema))}")
    grant_rights(cursor, schema)
    if script:
        run_in(cursor, schema, script)
        grant_rights(cursor, schema)


def ensure_rights(cursor: Any, schema: str) -> None:
    """Give a schema that an earlier release made its roles, and what was added to one its rights. May run again.

    :raises RolesUnavailable: the platform's database role may not make roles.
    """
    make_roles(cursor, schema)
    grant_rights(cursor, schema)


def migrate_schema(tenant: TenantRef) -> None:
    """Bring a tenant's tables and the rights on them up to this code, by Django's own migrate.

    :raises RolesUnavailable: the platform's database role may not make roles.
    :raises SchemaBusy: a table was in use all the time.
    """
    hand_over(tenant.schema)  # an older one has no roles
    with in_tenant(tenant):
        migrate()
    hand_over(tenant.schema)  # members write no history of what was added


def hand_over(schema: str) -> None:
    """Give a schema that is in use, and everything in it that an earlier release made, to its roles. May run again.

    One relation at a time, each in a transaction of its own: who is at work there waits a moment, and for nothing else.

    :raises RolesUnavailable: the platform's database role may not make roles.
    :raises SchemaBusy: a table was in use all the time; what was handed over stays so, which no release minds.
    """
    with in_public(), connection.cursor() as cursor:
        with transaction.atomic():
            make_roles(cursor, schema)
        for statement in rights_lacking(cursor, schema):
            patiently(partial(_run, statement), schema)


def _run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def take_in_strays(schemas: Collection[str]) -> list[str]:
    """Hand over what pods of an earlier release have made in these schemas, and return in which there was something.

    :raises SchemaBusy: a table was in use all the time.
    """
    found = strays_among(schemas)
    for schema in found:
        hand_over(schema)
    return found


def strays_among(schemas: Collection[str]) -> list[str]:
    """Return in which of these schemas pods of an earlier release have made something. One query."""
    with in_public(), connection.cursor() as cursor:
        return [schema for schema in strays(cursor) if schema in schemas]


def run_in(cursor: Any, schema: str, statements: str) -> None:
    """Run statements in a schema, as its owner. Must be inside a transaction and outside of every tenant.

    They go in one message: each of some hundred would otherwise be a round trip.
    """
    cursor.execute(f"{place_of(schema).prefix}{statements};\n{place_of(PUBLIC).prefix}")


def rename_schema(cursor: Any, old: str, new: str) -> None:
    """Give a schema another name, with what goes with it. Must be inside a transaction."""
    cursor.execute(f"ALTER SCHEMA {quoted(old)} RENAME TO {quoted(new)}")
    rename_roles(cursor, old, new)


def drop_schema(cursor: Any, schema: str) -> None:
    """Drop a schema with everything in it, and what goes with it. Must be inside a transaction."""
    cursor.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    drop_roles(cursor, schema)


def drop_older(template: SchemaTemplate) -> int:
    """Drop the templates of earlier code, and return how many those were. Must be outside of every tenant."""
    dropped = 0
    for old in SchemaTemplate.objects.filter(pk__lt=template.pk):
        with in_public(), transaction.atomic(), connection.cursor() as cursor:
            if SchemaTemplate.objects.filter(pk=old.pk).delete()[0]:
                drop_schema(cursor, old.schema_name)
                dropped += 1
    return dropped


# ---- the rows


def _rows(cursor: Any, schema: str) -> list[str]:
    """Return the statements that put a schema's rows, and how far its sequences are, into one of its kind."""
    found = read_schema(cursor, schema)
    statements = []
    for part in found.tables:
        table = part.name.removeprefix("table ")
        columns = _written_columns(cursor, schema, table)
        values = " || ', ' || ".join(
            f"coalesce(quote_literal({quoted(one)}::text), 'NULL')" for one in columns
        )
        cursor.execute(f"SELECT {values} FROM {quoted(schema)}.{quoted(table)} ORDER BY 1")  # noqa: S608 -- names from the catalog
        rows = [f"({row})" for (row,) in cursor.fetchall()]
        if rows:
            listed = ", ".join(map(quoted, columns))
            statements.append(
                f"INSERT INTO {quoted(table)} ({listed}) OVERRIDING SYSTEM VALUE VALUES {', '.join(rows)}"  # noqa: S608
            )
    cursor.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = %s AND last_value IS NOT NULL"
        ' ORDER BY sequencename COLLATE "C"',
        [schema],
    )
    for sequence, value in cursor.fetchall():
        name = quoted(sequence).replace("'", "''")
        statements.append(f"SELECT setval('{name}', {value})")
    return statements


def _written_columns(cursor: Any, schema: str, table: str) -> list[str]:
    cursor.execute(
        "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
        " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
        [schema, table],
    )
    return [name for (name,) in cursor.fetchall()]
