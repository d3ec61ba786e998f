"""The two roles of each tenant, and what the platform's own role must have for them.

The owner's role (`<schema>_owner`) owns the schema and everything in it. The members' role, called like the schema,
reads and writes rows: of history only what simple-history writes, and nobody's past. Neither can sign in, reach another
schema's tables, or call what would change its own role within one statement. The role of the platform may become each
of them; it has the owners' rights itself, for statements over many tenants, and the members' only by becoming one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_DML = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Of records: written by a trigger that has the platform's rights.
_HISTORY_OF_RECORDS = re.compile(r"ds_[0-9]+_history|audit_seal")  # and what proves the log
# Of our own models, and what was done: written by statements of requests, and never changed.
_APPEND_ONLY = re.compile(r"_historical|^audit_event$")
# Not even by who owns the table: to change a line of them takes rights that he would have to give himself first.
_KEPT_FROM_OWNERS = re.compile(r"audit_event|audit_seal")
_CHANGES = "UPDATE, DELETE, TRUNCATE"
_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "S": "SEQUENCE"}
_OF_SCHEMA = (
    "SELECT n.nspowner = o.oid, has_schema_privilege(%(member)s, n.oid, 'USAGE'), EXISTS (SELECT FROM"
    " pg_catalog.pg_default_acl a WHERE a.defaclrole = o.oid AND a.defaclnamespace = n.oid), EXISTS (SELECT FROM"
    " pg_catalog.pg_default_acl a JOIN pg_catalog.pg_roles p ON p.oid = a.defaclrole AND p.rolname = current_user"
    " WHERE a.defaclnamespace = n.oid)"
    " FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles o WHERE n.nspname = %(schema)s AND o.rolname = %(owner)s"
)
# By pg_depend, which has an index for it: pg_class by its namespace reads the relations of every tenant.
# Sequences of identities and serials have the owner of their tables.
_OF_RELATIONS = f"""
SELECT c.relname, c.relkind, c.relowner = o.oid,
       c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend t WHERE t.classid = 'pg_catalog.pg_class'::regclass
         AND t.objid = c.oid AND t.refclassid = 'pg_catalog.pg_class'::regclass AND t.deptype IN ('a', 'i')),
       CASE c.relkind WHEN 'S' THEN ARRAY[has_sequence_privilege(%(member)s, c.oid, 'USAGE')]
         ELSE ARRAY[{", ".join(f"has_table_privilege(%(member)s, c.oid, '{one}')" for one in _DML)}] END,
       CASE c.relkind WHEN 'S' THEN false ELSE has_table_privilege(%(owner)s, c.oid, '{_CHANGES}') END
  FROM pg_catalog.pg_roles o, pg_catalog.pg_namespace n
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid
   AND d.classid = 'pg_catalog.pg_class'::regclass
  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
 WHERE n.nspname = %(schema)s AND o.rolname = %(owner)s ORDER BY c.relname"""  # noqa: S608 -- rights of our own

_STRAYS = """
SELECT n.nspname FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles p ON p.rolname = current_user
 WHERE n.nspname ~ '^t_[a-z0-9]{8,26}$' AND (n.nspowner = p.oid OR EXISTS (
   SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relowner = p.oid
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S')))
 ORDER BY n.nspname"""


class RolesUnavailable(RowhouseError):
    """The platform's role may not make the roles of tenants."""

    code = "roles-unavailable"
    status = 500


def make_roles(cursor: Any, schema: str) -> None:
    """Make a schema's two roles unless they are there. May run again.

    :raises RolesUnavailable: the platform's role may not.
    """
    names = {_name(schema, role): role for role in Role}
    cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)", [list(names)])
    missing = names.keys() - {name for (name,) in cursor.fetchall()}
    try:
        if missing:
            _no_temporary_tables(cursor)
        for name in sorted(missing):
            inherits = "TRUE" if names[name] is Role.OWNER else "FALSE"
            cursor.execute(f"CREATE ROLE {name} NOLOGIN NOINHERIT")
            cursor.execute(f"GRANT {name} TO CURRENT_USER WITH INHERIT {inherits}, SET TRUE")
    except Exception as error:
        if isinstance(error.__cause__ or error, psycopg2.errors.InsufficientPrivilege):
            raise RolesUnavailable(
                "Each tenant has two database roles, and the platform's role may not make them."
                " As a superuser: ALTER ROLE <the platform's> CREATEROLE."
            ) from error
        raise


def grant_rights(cursor: Any, schema: str) -> None:
    """Give a schema and all in it to its owner, and its members their rights. May run again; what is so stays so."""
    for statement in rights_lacking(cursor, schema):
        cursor.execute(statement)


def rights_lacking(cursor: Any, schema: str) -> list[str]:
    """Return the statements that `grant_rights` would run: one of the schema, then one of each relation.

    Who runs each in a transaction of its own holds no table while waiting for another, so that nobody at work is ever
    in a deadlock with it.
    """
    of_schema = "; ".join(_of_schema(cursor, schema))
    # Working tables come and go: one that is gone by now lacks nothing.
    relations = [
        f"DO $rights$ BEGIN {'; '.join(found)}; EXCEPTION WHEN undefined_table THEN NULL; END $rights$"
        for found in _of_relations(cursor, schema)
        if found
    ]
    return [of_schema, *relations] if of_schema else relations


def _of_schema(cursor: Any, schema: str) -> list[str]:
    owner, member = (_name(schema, role) for role in (Role.OWNER, Role.MEMBER))
    cursor.execute(_OF_SCHEMA, {"schema": schema, "owner": owner, "member": member})
    is_owned, is_usable, has_defaults, has_platforms = cursor.fetchone()
    found = []
    if not is_owned:
        found.append(f"ALTER SCHEMA {schema} OWNER TO {owner}")
    if not is_usable:
        found.append(f"GRANT USAGE ON SCHEMA {schema} TO {member}")
    if not has_defaults:
        defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT"
        found.append(f"{defaults} {', '.join(_DML)} ON TABLES TO {member}")
        found.append(f"{defaults} USAGE, SELECT ON SEQUENCES TO {member}")
    if not has_platforms:
        # What pods of an earlier release make beside us is the platform's, until it is handed over.
        defaults = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT"
        found.append(f"{defaults} ALL ON TABLES TO {owner}")
        found.append(f"{defaults} {', '.join(_DML)} ON TABLES TO {member}")
        found.append(f"{defaults} USAGE, SELECT ON SEQUENCES TO {owner}, {member}")
    return found


def _of_relations(cursor: Any, schema: str) -> Iterator[list[str]]:
    owner, member = (_name(schema, role) for role in (Role.OWNER, Role.MEMBER))
    cursor.execute(_OF_RELATIONS, {"schema": schema, "owner": owner, "member": member})
    for name, kind, has_owner, goes_with_table, may, may_owner_change in cursor.fetchall():
        relation = f'{schema}."{name}"'
        found = []
        if not has_owner and not goes_with_table:
            found.append(f"ALTER {_KINDS.get(kind, 'TABLE')} {relation} OWNER TO {owner}")
        if kind == "S":
            if not may[0]:
                found.append(f"GRANT USAGE, SELECT ON SEQUENCE {relation} TO {member}")
        else:
            found += _of_table(name, relation, member, may)
        # Whoever becomes the owner has all rights.
        if _KEPT_FROM_OWNERS.fullmatch(name) and (may_owner_change or not has_owner):
            found.append(f"REVOKE {_CHANGES} ON {relation} FROM {owner}")
        yield found


def _of_table(name: str, relation: str, member: str, may: list[bool]) -> Iterator[str]:
    wanted = _wanted(name)
    for verb, way, rights in (
        ("GRANT", "TO", [one for one, has in zip(_DML, may, strict=True) if one in wanted and not has]),
        ("REVOKE", "FROM", [one for one, has in zip(_DML, may, strict=True) if has and one not in wanted]),
    ):
        if rights:
            yield f"{verb} {', '.join(rights)} ON {relation} {way} {member}"


def strays(cursor: Any) -> list[str]:
    """Return the tenants' schemas that are the platform's own, or hold what is: pods of an earlier release made it."""
    cursor.execute(_STRAYS)
    return [schema for (schema,) in cursor.fetchall()]


def take_in(cursor: Any, schema: str) -> bool:
    """Give a tenant what pods of an earlier release made in its schema; False: there was nothing of that kind.

    Must be outside of every tenant and inside a transaction, which should be short.
    """
    cursor.execute("SET LOCAL lock_timeout = '2s'")
    found = rights_lacking(cursor, schema)
    for statement in found:
        cursor.execute(statement)
    return any(" OWNER TO " in statement for statement in found)


def _wanted(table: str) -> tuple[str, ...]:
    """Return what members may do with a table's rows."""
    if _HISTORY_OF_RECORDS.fullmatch(table):
        return _DML[:1]
    return _DML[:2] if _APPEND_ONLY.search(table) else _DML


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
