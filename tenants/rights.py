"""The content types, permissions and roles of this code, as statements that give a tenant what it lacks of them."""

# ruff: noqa: S608 -- the schema is ours, and every text is quoted
from __future__ import annotations

from typing import Any

from core.tenancy import connection
from tenants import template


def rights_script() -> str:
    """Return the statements that give a tenant the content types, permissions and roles of this code.

    What Django does after migrations, said by names: numbers differ from tenant to tenant.
    """
    schema = template.ensure().schema_name
    with connection.cursor() as cursor:
        types = _values(cursor, f"SELECT app_label, model FROM {schema}.django_content_type ORDER BY id")
        permissions = _values(
            cursor,
            "SELECT t.app_label, t.model, p.codename, p.name"
            f" FROM {schema}.auth_permission p JOIN {schema}.django_content_type t ON t.id = p.content_type_id"
            " ORDER BY p.id",
        )
        roles = _values(cursor, f"SELECT name FROM {schema}.auth_group ORDER BY id")
        granted = _values(
            cursor,
            "SELECT g.name, t.app_label, t.model, p.codename"
            f" FROM {schema}.auth_group_permissions r JOIN {schema}.auth_group g ON g.id = r.group_id"
            f" JOIN {schema}.auth_permission p ON p.id = r.permission_id"
            f" JOIN {schema}.django_content_type t ON t.id = p.content_type_id ORDER BY r.id",
        )
    wanted = (
        "(SELECT g.id AS group_id, p.id AS permission_id"
        f" FROM (VALUES {granted}) w (role, app, model, codename) JOIN auth_group g ON g.name = w.role"
        " JOIN django_content_type t ON t.app_label = w.app AND t.model = w.model"
        " JOIN auth_permission p ON p.content_type_id = t.id AND p.codename = w.codename)"
    )
    return ";\n".join(  # only what is missing: ON CONFLICT would use up a number for each row that is there
        [
            f"INSERT INTO django_content_type (app_label, model) SELECT * FROM (VALUES {types}) w (app, model)"
            " WHERE NOT EXISTS (SELECT FROM django_content_type t WHERE t.app_label = w.app AND t.model = w.model)",
            "INSERT INTO auth_permission (name, content_type_id, codename) SELECT w.name, t.id, w.codename"
            f" FROM (VALUES {permissions}) w (app, model, codename, name)"
            " JOIN django_content_type t ON t.app_label = w.app AND t.model = w.model WHERE NOT EXISTS"
            " (SELECT FROM auth_permission p WHERE p.content_type_id = t.id AND p.codename = w.codename)",
            f"INSERT INTO auth_group (name) SELECT * FROM (VALUES {roles}) w (name)"
            " WHERE NOT EXISTS (SELECT FROM auth_group g WHERE g.name = w.name)",
            "DELETE FROM auth_group_permissions r USING auth_group g WHERE g.id = r.group_id"
            f" AND g.name IN (SELECT * FROM (VALUES {roles}) w (name)) AND NOT EXISTS (SELECT FROM {wanted} w"
            " WHERE w.group_id = r.group_id AND w.permission_id = r.permission_id)",
            "INSERT INTO auth_group_permissions (group_id, permission_id)"
            f" SELECT * FROM {wanted} w WHERE NOT EXISTS (SELECT FROM auth_group_permissions r"
            " WHERE r.group_id = w.group_id AND r.permission_id = w.permission_id)",
        ]
    )


def _values(cursor: Any, sql: str) -> str:
    cursor.execute(sql)
    return ", ".join(f"({', '.join(map(literal, row))})" for row in cursor.fetchall())


def literal(text: str) -> str:
    """Return a text as SQL says it."""
    return "'" + text.replace("'", "''") + "'"
