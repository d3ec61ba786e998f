"""The connection every query runs on.

django-tenants sends `SET search_path` by itself before a statement and puts `public` behind the tenant's schema: behind
a transaction pooler the statement may then reach another tenant's session, a table missing in the tenant is silently
read from `public`, and any statement may name another tenant's tables. Here a tenant's path is its own schema and
nothing else, its statements run as a role that has rights there and nowhere else, and both travel with the statement
(`core.backend.cursors`). Without the schema or the role the statement fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql.operations import DatabaseOperations as PostgresOperations
from django.db.backends.postgresql.schema import DatabaseSchemaEditor as PostgresSchemaEditor
from django_tenants.postgresql_backend import base

from core.backend.cursors import Connection, Cursor, Statements
from core.backend.passwords import connect
from core.backend.places import Place, Role, place_of

# A server's process keeps what it learned of every table it touched, and gives nothing back before its end:
# about 1.5 MB for a tenant of ten datasets. So a connection that lasts may serve only so many.
SCHEMAS_PER_CONNECTION = 64
_CONCURRENTLY = re.compile(r"\s*(CREATE(\s+UNIQUE)?|DROP)\s+INDEX\s+CONCURRENTLY\b", re.IGNORECASE)


class DatabaseOperations(PostgresOperations):
    """PostgreSQL's operations; what is shown as the last statement is the statement alone."""

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> Any:
        shown: Any = super().last_executed_query(cursor, sql, params)
        prefix = self.connection.place.prefix  # type: ignore[attr-defined] # our wrapper's
        return shown.removeprefix(prefix) if isinstance(shown, str) else shown


class SchemaEditor(PostgresSchemaEditor):
    """Django's own, which writes some changes as several statements in one text."""

    def execute(self, sql: Any, params: Any = ()) -> None:
        if params is not None:
            sql = self.connection.ops.compose_sql(str(sql), params)
        text = Statements(str(sql))
        if _CONCURRENTLY.match(text) and not self.connection.in_atomic_block:
            with self.connection.sent_alone():  # type: ignore[attr-defined] # our wrapper's
                super().execute(text, None)
            return
        super().execute(text, None)


class DatabaseWrapper(base.DatabaseWrapper):
    """django-tenants' wrapper, whose statements carry their schema and role with them."""

    ops_class = DatabaseOperations
    SchemaEditorClass = SchemaEditor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._schemas_served: set[str] = set()
        self._role = Role.OWNER
        super().__init__(*args, **kwargs)
        # django-tenants' own sets the session's path, and sets it back, around each question.
        self.introspection = self.introspection_class(self)

    @property
    def place(self) -> Place:
        """Where the statements of this connection run."""
        return place_of(self.schema_name, self._role)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # Whoever puts a connection of his own here extends ours.
        own = {"connection_factory": Connection, **conn_params, "cursor_factory": Cursor}
        return connect(super().get_new_connection, own)

    def connect(self) -> None:
        """Connect, and let every statement from here on say where it runs.

        :raises ImproperlyConfigured: it is a superuser, in production.
        """
        self._schemas_served.clear()
        super().connect()
        is_superuser = self.connection.info.parameter_status("is_superuser") == "on"
        if settings.IS_PRODUCTION and is_superuser:
            self.close()
            raise ImproperlyConfigured(
                "DATABASE_URL names a superuser, whom nothing holds back. Use a role of the platform's own."
            )
        self._go()

    def ensure_timezone(self) -> bool:
        # By set_config(), which a tenant's role may not call.
        if self.connection is not None:
            self.connection.place = None
        try:
            return bool(super().ensure_timezone())
        finally:
            self._go()

    def set_tenant(self, tenant: Any, include_public: bool = True, *, role: Role = Role.OWNER) -> None:
        """Let the statements that follow run in a tenant's schema, as its owner or as its members do."""
        # Not django-tenants' own, which empties the cache of content types: ours is kept by schema.
        self.tenant = tenant
        self.schema_name = tenant.schema_name
        self.include_public_schema = False
        self._role = role
        self.set_settings_schema(self.schema_name)
        self._go()

    def set_role(self, role: Role) -> Role:
        """Go on with other rights in the same schema; return those there were."""
        before, self._role = self._role, role
        self._go()
        return before

    @property
    def role(self) -> Role:
        """Whose rights statements have now; in `public` it says nothing."""
        return self._role

    def set_schema(
        self,
        schema_name: str,
        include_public: bool = True,
        tenant_type: str | None = None,
        *,
        role: Role = Role.OWNER,
    ) -> None:
        """As `set_tenant`, by the schema's name."""
        self.set_tenant(base.FakeTenant(schema_name=schema_name, tenant_type=tenant_type), role=role)

    @contextmanager
    def sent_alone(self) -> Iterator[None]:
        """Let each statement of the block be a message of its own: an index is made aside in no other way.

        The session has the place meanwhile, so it needs the server's own address and no pooler of transactions. It
        waits for locks as long as it takes: whoever makes an index aside holds nobody up. Must be outside of
        transactions.
        """
        self.ensure_connection()
        place = self.place
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            (patience,) = cursor.fetchone()
            self.connection.place = None
            cursor.execute("SET lock_timeout = 0")
            cursor.execute(f"SET search_path TO {place.schema}, pg_temp")
            cursor.execute(f"SET ROLE {place.role or 'NONE'}")
            try:
                yield
            finally:
                try:
                    cursor.execute("RESET ROLE")
                    cursor.execute("RESET search_path")
                    cursor.execute("SET lock_timeout = %s", [patience])
                finally:
                    self._go()

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection where Django would, and also when it has served many schemas."""
        super().close_if_unusable_or_obsolete()
        is_used_up = len(self._schemas_served) > SCHEMAS_PER_CONNECTION
        if is_used_up and self.connection is not None and not self.in_atomic_block:
            self.close()

    def _go(self) -> None:
        if self.connection is not None:
            self.connection.place = self.place
            self._schemas_served.add(self.schema_name)

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Nothing to send: every statement says where it runs."""
