"""The two roles of each tenant, and what the platform's own role must have for them.

The owner's role (`<schema>_owner`) owns the schema and everything in it. The members' role, called like the schema,
reads and writes rows: of history only what simple-history writes, and nobody's past. Neither can sign in, reach another
schema's tables, or call what would change its own role within one statement. The role of the platform may become each
of them; it has the owners' rights itself, for statements over many tenants, and the members' only by becoming one.
"""

from __future__ import annotations

from typing import Any

import psycopg2.errors

from core.backend.places import Role, place_of
from core.errors import RowhouseError

# What no tenant's role may do: `set_config` sets a role within the statement that reads, and whoever may write
# functions can have them run as somebody else. For a superuser, once in each database (in template1 for new ones).
HARDENING = (
    "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {role}",
    "REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC",
    "GRANT USAGE ON LANGUAGE plpgsql, sql TO {role}",
)
IS_HARDENED = (
    "SELECT NOT has_function_privilege('public', 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE')"
    " AND NOT has_language_privilege('public', 'plpgsql', 'USAGE')"
    " AND NOT has_language_privilege('public', 'sql', 'USAGE')"
)
_TABLES = (
    "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"
)
_DML = "SELECT, INSERT, UPDATE, DELETE"
# Of records: written by a trigger that has the platform's rights.
_HISTORY_OF_RECORDS = "c.relname ~ '^ds_[0-9]+_history$'"
# Of our own models, and what was done: written by statements of requests, and never changed.
_APPEND_ONLY = "c.relname ~ '_historical' OR c.relname = 'audit_event'"


class RolesUnavailable(RowhouseError):
    """The platform's role may not make the roles of tenants."""

    code = "roles-unavailable"
    status = 500


def make_roles(cursor: Any, schema: str) -> None:
    """Make a schema's two roles unless they are there. May run again.

    :raises RolesUnavailable: the platform's role may not.
    """
    try:
        _no_temporary_tables(cursor)
        for role in Role:
            name = _name(schema, role)
            cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [name])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE ROLE {name} NOLOGIN NOINHERIT")
                has = "TRUE" if role is Role.OWNER else "FALSE"
                cursor.execute(f"GRANT {name} TO CURRENT_USER WITH INHERIT {has}, SET TRUE")
    except Exception as error:
        if isinstance(error.__cause__ or error, psycopg2.errors.InsufficientPrivilege):
            raise RolesUnavailable(
                "Each tenant has two database roles, and the platform's role may not make them."
                " As a superuser: ALTER ROLE <the platform's> CREATEROLE."
            ) from error
        raise


def grant_rights(cursor: Any, schema: str) -> None:
    """Give a schema and all in it to its owner, and its members their rights. May run again."""
    owner, member = (_name(schema, role) for role in (Role.OWNER, Role.MEMBER))
    cursor.execute(f"ALTER SCHEMA {schema} OWNER TO {owner}")
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {member}")
    defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT"
    cursor.execute(f"{defaults} {_DML} ON TABLES TO {member}")
    cursor.execute(f"{defaults} USAGE, SELECT ON SEQUENCES TO {member}")
    # Sequences of identities and serials go with their tables.
    cursor.execute(
        "SELECT c.relname, c.relkind FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s"
        " AND c.relkind IN ('r', 'p', 'v', 'm', 'S')"
        " AND c.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = %s)"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')"
        " AND d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass)",
        [schema, owner],
    )
    kinds = {"v": "VIEW", "m": "MATERIALIZED VIEW", "S": "SEQUENCE"}
    for name, kind in cursor.fetchall():
        cursor.execute(f'ALTER {kinds.get(kind, "TABLE")} {schema}."{name}" OWNER TO {owner}')
    cursor.execute(f"GRANT {_DML} ON ALL TABLES IN SCHEMA {schema} TO {member}")
    cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {member}")
    for condition, rights in (
        (_HISTORY_OF_RECORDS, "INSERT, UPDATE, DELETE"),
        (_APPEND_ONLY, "UPDATE, DELETE"),
    ):
        cursor.execute(
            f"{_TABLES} AND ({condition})",
            [schema],
        )
        if tables := [f'{schema}."{name}"' for (name,) in cursor.fetchall()]:
            cursor.execute(f"REVOKE {rights} ON {', '.join(tables)} FROM {member}")


def protect_history(cursor: Any, schema: str, table: str) -> None:
    """Let a schema's members read a history of records, and no more."""
    member = _name(schema, Role.MEMBER)
    cursor.execute(f'REVOKE INSERT, UPDATE, DELETE ON {schema}."{table}" FROM {member}')


def rename_roles(cursor: Any, old: str, new: str) -> None:
    """Let a schema's roles be called after its new name."""
    for role in Role:
        cursor.execute(f"ALTER ROLE {_name(old, role)} RENAME TO {_name(new, role)}")


def drop_roles(cursor: Any, schema: str) -> None:
    """Drop the roles of a schema that is gone, if they are there; what else they own in this database goes too."""
    for role in Role:
        name = _name(schema, role)
        cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [name])
        if cursor.fetchone() is not None:
            cursor.execute(f"GRANT {name} TO CURRENT_USER WITH INHERIT TRUE")
            cursor.execute(f"DROP OWNED BY {name}")
            cursor.execute(f"DROP ROLE {name}")


def owner_of(schema: str) -> str:
    """Return the name of a schema's owner."""
    return _name(schema, Role.OWNER)


def _name(schema: str, role: Role) -> str:
    name = place_of(schema, role).role
    assert name, "public has no roles of its own"
    return name


def _no_temporary_tables(cursor: Any) -> None:
    """Let nobody but the platform make temporary tables in this database.

    One of a tenant's would be found before another tenant's own table, if `pg_temp` did not stand last in the path.
    """
    cursor.execute(
        "SELECT datname, has_database_privilege('public', oid, 'TEMPORARY') AND pg_has_role(datdba, 'USAGE')"
        " FROM pg_catalog.pg_database WHERE datname = current_database()"
    )
    database, may_everyone = cursor.fetchone()
    if may_everyone:
        cursor.execute(f'REVOKE TEMPORARY ON DATABASE "{database}" FROM PUBLIC')
        cursor.execute(f'GRANT TEMPORARY ON DATABASE "{database}" TO CURRENT_USER')
