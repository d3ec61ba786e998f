"""Taking a backup: every table of a tenant from one snapshot, straight into the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from psycopg2.errors import LockNotAvailable, UndefinedTable
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from core import storage
from core.errors import RowhouseError
from core.tenancy import in_tenant
from jobs.models import ACTIVE, Job
from tenants.backup.format import BackupWriter, Contents, Json, PartWriter
from tenants.catalog import NotCopied, Schema, quoted, read_schema
from tenants.migrating import SchemaBusy
from tenants.models import Tenant

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

    from core.backend.base import DatabaseWrapper

ALIAS = "tenants_backup"
LOCK_SECONDS = 10
TRIES = 5
# The text of a value must not hang on who asks.
FIXED_SETTINGS = (
    "SET LOCAL client_encoding = 'UTF8'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)
# Whoever was signed in when a backup was taken is not signed in by restoring it. Nor does a token come back that was
# revoked since, or come to be good for a tenant that was restored under another name.
WITHOUT_ROWS = frozenset(
    {"django_session", "usersessions_usersession", "tokens_apitoken", "tokens_tokenaddress"}
)
TABLES = """
SELECT c.relname, c.relpersistence::text,
       (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
  FROM pg_namespace n JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
  JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
 WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY c.relname COLLATE "C"
"""
SEQUENCES = """
SELECT c.relname FROM pg_namespace n
  JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
  JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
 WHERE n.nspname = %s AND c.relkind = 'S' ORDER BY c.relname COLLATE "C"
"""


class NothingToBackUp(RowhouseError):
    """The tenant has no schema."""

    code = "nothing-to-back-up"


class TakingStopped(RowhouseError):
    """Somebody asked for the end of a backup that was being taken."""

    code = "backup-stopped"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it stands in a schema; `has_rows` says whether its rows belong into a backup."""

    name: str
    columns: tuple[str, ...]
    has_rows: bool


Progress = Callable[[int], None]


def take(
    tenant: Tenant,
    send: Callable[[bytes], object],
    *,
    secret: str | None,
    progress: Progress | None = None,
) -> Contents:
    """Write a backup of a tenant to `send`, in bounded memory. Nobody who works in the tenant waits.

    :param secret: the key to encrypt it under.
    :param progress: is told now and then how many rows there are so far; what it raises ends the backup.
    :raises NothingToBackUp: there is no schema.
    :raises SchemaBusy: a table was being changed all the time.
    :raises NotCopied: the schema holds something that no statement is written for.
    """
    writer = BackupWriter(send, secret=secret)
    with snapshot(tenant.schema_name) as (link, tables, at):
        about = _about(link, tenant, at)
        writer.whole_part("about", _text(about))
        with link.cursor() as cursor:
            schema = read_schema(cursor, tenant.schema_name)
        writer.whole_part("schema", _text(_statements(schema)))
        with link.cursor() as cursor:  # one for all: each of its own would say anew where it works
            for table in tables:
                _write_table(writer, cursor, tenant.schema_name, table, progress)
        # After the rows: a sequence only ever grows, so none has given a number that a row here has.
        writer.whole_part("sequences", _text({"sequences": sequences_of(link, tenant.schema_name)}))
    with writer.part("files") as part:
        _write_files(tenant, part)
    writer.finish()
    return Contents(about, writer.parts, writer.bytes, writer.sha256, secret is not None)


def tables_of(link: DatabaseWrapper, schema: str) -> list[Table]:
    """Return a schema's tables in the order of their names, with the columns that hold values of their own.

    Working tables of imports and of planned changes are UNLOGGED: their owners take them for lost after a crash of
    the database, and after a restore too.
    """
    with link.cursor() as cursor:
        cursor.execute(TABLES, [schema])
        return [
            Table(name, tuple(columns or ()), persistence == "p" and name not in WITHOUT_ROWS)
            for name, persistence, columns in cursor.fetchall()
        ]


def sequences_of(link: DatabaseWrapper, schema: str) -> list[tuple[str, int, bool]]:
    """Return of each sequence its name, its last value, and whether that was given out."""
    with link.cursor() as cursor:
        cursor.execute(SEQUENCES, [schema])
        names = [name for (name,) in cursor.fetchall()]
        if not names:
            return []
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT %s, last_value, is_called FROM {quoted(schema)}.{quoted(name)}"  # noqa: S608 -- a quoted name
                for name in names
            ),
            names,
        )
        return [(name, last, is_called) for name, last, is_called in cursor.fetchall()]


class Rows:
    """Where COPY writes to: it hands over one row at a time."""

    def __init__(self, take_row: Callable[[bytes], object]) -> None:
        self.write = take_row


def copy_rows(cursor: CursorWrapper, schema: str, table: Table, take_row: Callable[[bytes], object]) -> None:
    """Hand over each row of a table as COPY's text, with its line break."""
    columns = ", ".join(quoted(name) for name in table.columns)
    source = f"{quoted(schema)}.{quoted(table.name)}"
    # A table without columns has rows all the same, and COPY a line for each.
    cursor.copy_expert(f"COPY {source}{f' ({columns})' if columns else ''} TO STDOUT", Rows(take_row))


def fix_settings(cursor: CursorWrapper) -> None:
    """Have the current transaction write values in one way, whoever asks."""
    for setting in FIXED_SETTINGS:
        cursor.execute(setting)


# ---- the snapshot


@contextmanager
def snapshot(schema: str) -> Iterator[tuple[DatabaseWrapper, list[Table], datetime]]:
    """Open a second connection that sees one state of everything, and holds the tenant's tables against DDL."""
    link: Any = connections[DEFAULT_DB_ALIAS].copy(ALIAS)
    link.settings_dict["OPTIONS"]["isolation_level"] = ISOLATION_LEVEL_REPEATABLE_READ
    connections[ALIAS] = link
    try:
        for number in range(1, TRIES + 1):
            known = [table.name for table in tables_of(link, schema)]
            if not known:
                raise NothingToBackUp(f"There is no schema {schema} with tables in it.")
            with transaction.atomic(using=ALIAS):
                at = _lock(link, schema, known)
                if at is not None:
                    tables = tables_of(link, schema)
                    if [table.name for table in tables] == known:
                        yield link, tables, at
                        return
            if number == TRIES:
                raise SchemaBusy(
                    f"Tables of {schema} were being changed all the time, so it was not backed up. Try again."
                )
    finally:
        del connections[ALIAS]
        link.close()


def _lock(link: DatabaseWrapper, schema: str, names: Iterable[str]) -> datetime | None:
    """Lock tables against changes of their form, then fix what the transaction sees; None if one was not to be had."""
    named = ", ".join(f"{quoted(schema)}.{quoted(name)}" for name in names)
    try:
        with link.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute("SET LOCAL statement_timeout = 0")
            fix_settings(cursor)
            # Before the first query, which fixes what the transaction sees.
            cursor.execute(f"LOCK TABLE {named} IN ACCESS SHARE MODE")
            cursor.execute("SELECT statement_timestamp()")
            at: datetime = cursor.fetchone()[0]
            return at
    except Exception as error:
        if isinstance(error.__cause__, (LockNotAvailable, UndefinedTable)):
            transaction.set_rollback(True, using=ALIAS)
            return None
        raise


# ---- the parts


def _write_table(
    writer: BackupWriter, cursor: CursorWrapper, schema: str, table: Table, progress: Progress | None
) -> None:
    about = {"name": table.name, "columns": list(table.columns), "has_rows": table.has_rows}
    before = sum(int(part["rows"]) for part in writer.parts)
    with writer.part("table", **about) as part:
        if not table.has_rows:
            return
        if progress is None:
            copy_rows(cursor, schema, table, part.write_row)
            return
        progress(before)
        every = _Every(progress, before, part.write_row)
        copy_rows(cursor, schema, table, every.take)


class _Every:
    """Hands each row on, and tells of every so many."""

    ROWS = 10_000

    def __init__(self, progress: Progress, before: int, take_row: Callable[[bytes], object]) -> None:
        self.progress = progress
        self.rows = before
        self.take_row = take_row

    def take(self, row: bytes) -> None:
        self.take_row(row)
        self.rows += 1
        if self.rows % self.ROWS == 0:
            self.progress(self.rows)


def _about(link: DatabaseWrapper, tenant: Tenant, at: datetime) -> Json:
    with link.cursor() as cursor:
        cursor.execute(
            f"SELECT app, name FROM {quoted(tenant.schema_name)}.django_migrations ORDER BY app, name"  # noqa: S608 -- quoted
        )
        migrations = [list(row) for row in cursor.fetchall()]
        cursor.execute("SHOW server_version")
        [[server]] = cursor.fetchall()
    seen = Tenant.objects.using(ALIAS).prefetch_related("domains").get(pk=tenant.pk)
    active = Job.objects.using(ALIAS).filter(schema=tenant.schema_name, state__in=ACTIVE).order_by("pk")
    return {
        "tenant": {
            "slug": seen.slug,
            "schema": seen.schema_name,
            "name": seen.name,
            "owner_email": seen.owner_email,
            "created_at": seen.created_at.isoformat(),
            "domains": [{"domain": one.domain, "is_primary": one.is_primary} for one in seen.domains.all()],
        },
        "taken_at": at.isoformat(),
        "version": version("rowhouse"),
        "postgres": server,
        "migrations": migrations,
        "jobs": [
            {"id": job.pk, "kind": job.kind, "target": job.target, "payload": job.payload} for job in active
        ],
    }


def _statements(schema: Schema) -> Json:
    """Return what makes the tables, and what is better made when their rows are there."""
    if schema.others:
        raise NotCopied(f"The schema holds what cannot be backed up: {', '.join(schema.others)}.")
    first = [*schema.sequences, *schema.tables]
    made = {id(part) for part in first}
    then = [part for part in schema.made() if id(part) not in made]
    return {
        "before": [part.statement for part in first if part.statement],
        "after": [part.statement for part in then if part.statement],
    }


def _write_files(tenant: Tenant, part: PartWriter) -> None:
    """Write a line for each object under the tenant's prefix; the objects themselves stay where they are."""
    with in_tenant(tenant.ref):
        sums = known_sums()
        for key, size in storage.list_keys():
            part.write(_text({"key": key, "bytes": size, "sha256": sums.get(key, "")}) + b"\n")


def known_sums() -> dict[str, str]:
    """Return the sha256 of the current tenant's objects by key, as far as its rows know them.

    Apps say where on their config: `stored_files = {"exporter.ExportFile": ("key", "sha256")}`.
    """
    found: dict[str, str] = {}
    for label, (key, sha256) in declared("stored_files").items():
        found.update(apps.get_model(label).objects.exclude(**{key: ""}).values_list(key, sha256))
    return found


def declared(attribute: str) -> dict[str, Any]:
    """Return what all apps declare under a name, as one."""
    return {
        label: value
        for config in apps.get_app_configs()
        for label, value in getattr(config, attribute, {}).items()
    }


def _text(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
