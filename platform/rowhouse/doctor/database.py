"""The database: who we are there, what we may do, and whether its settings carry many schemas.

Looked at by a connection of its own, without the backend's places: this has to work where the backend would refuse to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import psycopg2
from django.conf import settings
from django.db import connection

from core.backend.places import Role, place_of
from core.backend.roles import IS_HARDENED, RolesUnavailable, grant_rights, make_roles
from core.clock import now
from core.words import count
from rowhouse import gunicorn
from rowhouse.doctor.findings import Finding, failure, warning, well
from tenants.names import new_schema_name

CONNECT_SECONDS = 5
OLDEST = 160_000
MOST_SKEW_SECONDS, GREAT_SKEW_SECONDS = 2.0, 60.0
LOCKS, SHORT_TIMEOUT_MS = 256, 60_000
# Of one worker: its main process, its pusher, and for each that works a second one that renews its lease.
OF_A_WORKER = 2
_READ = """
SELECT r.rolname, r.rolsuper, r.rolcreaterole, has_database_privilege(current_database(), 'CREATE'),
       has_schema_privilege('public', 'CREATE')
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"""
_PLACE = """
SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datcollversion,
       pg_catalog.pg_database_collation_actual_version(d.oid)
  FROM pg_catalog.pg_database d WHERE d.datname = current_database()"""
_TRIGRAMS = """
SELECT a.installed_version IS NOT NULL,
       EXISTS (SELECT FROM pg_catalog.pg_available_extension_versions v WHERE v.name = a.name AND v.trusted)
  FROM pg_catalog.pg_available_extensions a WHERE a.name = 'pg_trgm'"""
_SETTINGS = (
    "max_locks_per_transaction", "max_connections", "superuser_reserved_connections", "reserved_connections",
    "autovacuum", "fsync", "full_page_writes", "statement_timeout", "idle_in_transaction_session_timeout",
    "default_transaction_read_only",
)  # fmt: skip


@contextmanager
def linked(**changes: Any) -> Iterator[Any]:
    """Connect aside and give a cursor, each statement by itself; `changes` go before what settings say.

    :raises psycopg2.OperationalError: the server does not answer, or does not let us in.
    """
    own = {**connection.get_connection_params(), "connect_timeout": CONNECT_SECONDS, **changes}
    own.pop("cursor_factory", None)
    link = psycopg2.connect(**own)
    try:
        link.autocommit = True
        with link.cursor() as cursor:
            yield cursor
    finally:
        link.close()


def reach() -> Iterator[Finding]:
    """Connect, and look at all there is to see."""
    try:
        with linked() as cursor:
            yield from examine(cursor)
    except psycopg2.OperationalError as error:
        yield failure(
            "database",
            f"It cannot be reached: {' '.join(str(error).split())}",
            "Check DATABASE_URL, that the server runs and lets this machine in. Nothing else of it was looked at.",
        )


def examine(cursor: Any) -> Iterator[Finding]:
    """Look at the database and the role of an open connection."""
    yield version(cursor.connection.server_version)
    yield from role(cursor)
    yield from encoding(cursor)
    yield extension(cursor)
    yield from many_schemas(cursor)
    yield clock(cursor)


def version(number: int) -> Finding:
    """Judge a server by its version, 160014 being 16.14."""
    said = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number < OLDEST:
        return failure("database", f"{said} is too old.", "Rowhouse needs PostgreSQL 16 or newer.")
    return well("database", f"{said} answers.")


def role(cursor: Any) -> Iterator[Finding]:
    """Judge the role that signed in, and let it do once, and undo, what a tenant needs of it."""
    cursor.execute(_READ)
    name, is_superuser, may_make_roles, may_make_schemas, may_make_tables = cursor.fetchone()
    if is_superuser:
        yield failure(
            "database role",
            f"{name} is a superuser, whom nothing holds back; production refuses to start with one.",
            "Make a role of the platform's own (docs/isolation.md), and name it in DATABASE_URL.",
        )
        return
    missing = [
        said
        for may, said in (
            (may_make_roles, f"ALTER ROLE {name} CREATEROLE"),
            (may_make_schemas, f"GRANT CREATE ON DATABASE {connection.settings_dict['NAME']} TO {name}"),
            (may_make_tables, f"GRANT CREATE ON SCHEMA public TO {name}"),
        )
        if not may
    ]
    if missing:
        yield failure(
            "database role", f"{name} may not do what tenants need.", f"As a superuser: {'; '.join(missing)}"
        )
        return
    yield _trial(cursor, name)
    cursor.execute(IS_HARDENED)
    if cursor.fetchone()[0]:
        yield well("hardening", "Tenants' roles can neither call set_config nor write functions.")
    else:
        yield warning(
            "hardening",
            "Tenants' roles may call set_config or write functions: an injected statement could become another.",
            "As a superuser, in this database: the statements of docs/isolation.md.",
        )


def _trial(cursor: Any, name: str) -> Finding:
    schema = new_schema_name()
    cursor.execute("BEGIN")
    try:
        make_roles(cursor, schema)
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"CREATE TABLE {schema}.sample (id bigint)")
        grant_rights(cursor, schema)
        for each in Role:
            cursor.execute(place_of(schema, each).prefix + "TABLE sample")
        # What the platform's own role and its triggers need, whoever else may not.
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("SELECT pg_catalog.set_config('rowhouse.doctor', '', true)")
        cursor.execute("DO $$ BEGIN NULL; END $$")
    except (psycopg2.Error, RolesUnavailable) as error:
        return failure(
            "database role",
            f"{name} cannot set a tenant up: {' '.join(str(error).split())}",
            "As a superuser, in this database: the statements of docs/isolation.md.",
        )
    finally:
        cursor.execute("ROLLBACK")
    return well("database role", f"{name} is no superuser, and made the roles and the schema of a tenant.")


def encoding(cursor: Any) -> Iterator[Finding]:
    """Look at how texts are kept and sorted."""
    cursor.execute(_PLACE)
    name, collation, made_with, is_now = cursor.fetchone()
    if name != "UTF8":
        yield failure(
            "encoding",
            f"The database keeps texts as {name}.",
            "Make one with ENCODING 'UTF8' from template0.",
        )
    else:
        yield well("encoding", f"UTF-8, sorted by {collation}.")
    if made_with is not None and made_with != is_now:
        yield warning(
            "collation",
            f"Indexes were made with version {made_with} of the order of letters, the system has {is_now}.",
            "REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION.",
        )


def extension(cursor: Any) -> Finding:
    """Look for pg_trgm, the one extension that is used."""
    cursor.execute(_TRIGRAMS)
    found = cursor.fetchone()
    if found is None:
        return warning(
            "extensions",
            "The server does not offer pg_trgm, so no index helps a search in the middle of a text.",
            "Install PostgreSQL's contrib modules on the server.",
        )
    is_installed, is_trusted = found
    if not is_installed and not is_trusted:
        return warning(
            "extensions",
            "pg_trgm is not installed, and only a superuser may install it.",
            "CREATE SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext; GRANT USAGE ON SCHEMA ext TO PUBLIC",
        )
    return well(
        "extensions", "pg_trgm " + ("is installed." if is_installed else "comes when it is first needed.")
    )


def many_schemas(cursor: Any) -> Iterator[Finding]:
    """Judge the server's settings."""
    cursor.execute("SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)])
    found = dict(cursor.fetchall())
    cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
    if cursor.fetchone()[0] or found["default_transaction_read_only"] == "on":
        yield failure(
            "server", "Nothing can be written here: it is a replica, or read-only.", "Name the primary."
        )
    lacking = list(_lacking(found))
    yield from lacking
    if not lacking:
        yield well("server", "Its settings carry many schemas and the connections of what is set here.")


def _lacking(found: dict[str, str]) -> Iterator[Finding]:
    locks = int(found["max_locks_per_transaction"])
    if locks < LOCKS:
        yield warning(
            "server",
            f"max_locks_per_transaction is {locks}: what reads many tenants at once may fail for want of locks.",
            f"Set it to {LOCKS} (docs/operations/scaling.md); the server has to be started again.",
        )
    reserved = int(found["superuser_reserved_connections"]) + int(found.get("reserved_connections", 0))
    free, needed = int(found["max_connections"]) - reserved, connections_needed()
    if free < needed:
        yield warning(
            "server",
            f"It takes {count(free, 'connection')}, and one web pod with one worker may ask for {needed}.",
            "Raise max_connections, lower ROWHOUSE_WEB_WORKERS or _THREADS, or put a pooler before web pods.",
        )
    for name in ("autovacuum", "fsync", "full_page_writes"):
        if found[name] != "on":
            yield warning("server", f"{name} is off.", "Switch it on where data matters.")
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        if 0 < int(found[name]) < SHORT_TIMEOUT_MS:
            yield warning(
                "server",
                f"{name} is {found[name]} ms: it stops merges and exports of large datasets.",
                "Lift it for this role: ALTER ROLE … SET " + name + " = 0.",
            )


def connections_needed() -> int:
    """Return how many connections one web pod and one worker may open with these settings."""
    return gunicorn.workers * gunicorn.threads + 2 * settings.ROWHOUSE_WORKERS + OF_A_WORKER


def clock(cursor: Any) -> Finding:
    """Compare this machine's clock with the server's, in the middle of the question's time."""
    before = now()
    cursor.execute("SELECT pg_catalog.clock_timestamp()")
    found = cast("datetime", cursor.fetchone()[0]).astimezone(UTC)
    after = now()
    return skew("clock of the database", (found - (before + (after - before) / 2)).total_seconds())


def skew(check: str, seconds: float) -> Finding:
    """Judge how far another clock is ahead of ours, in seconds."""
    advice = "Let both machines follow the same time servers (chrony, systemd-timesyncd)."
    said = f"It is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's."
    if abs(seconds) > GREAT_SKEW_SECONDS:
        return failure(check, said, advice)
    if abs(seconds) > MOST_SKEW_SECONDS:
        return warning(check, said, advice)
    return well(check, f"It agrees with this machine's to {MOST_SKEW_SECONDS:.0f} s.")
