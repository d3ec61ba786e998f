"""The connection every query runs on.

django-tenants puts `public` behind the tenant's schema: a table missing in the tenant is then silently
read from `public`, and a tenant row without a schema shows the platform's own tables. Here a tenant's path
is its own schema and nothing else, for migrations too.
"""

from __future__ import annotations

from typing import Any

from django.db.utils import OperationalError
from django_tenants.postgresql_backend import base
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

# A server's process keeps what it learned of every table it touched, and gives nothing back before its end:
# about 1.5 MB for a tenant of ten datasets. So a connection that lasts may serve only so many.
SCHEMAS_PER_CONNECTION = 64


class DatabaseWrapper(base.DatabaseWrapper):
    """django-tenants' wrapper with a search path of exactly one schema."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._schemas_served: set[str] = set()
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        self._schemas_served.clear()
        super().connect()

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection where Django would, and also when it has served many schemas."""
        super().close_if_unusable_or_obsolete()
        is_used_up = len(self._schemas_served) > SCHEMAS_PER_CONNECTION
        if is_used_up and self.connection is not None and not self.in_atomic_block:
            self.close()

    def _get_cursor_search_paths(self) -> list[str]:
        base._check_schema_name(self.schema_name)
        return [self.schema_name]

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Set the path, or raise.

        django-tenants goes on when the database refused (a cancel, a timeout, no memory), and the statement
        behind would run in the schema of whoever had the connection before.

        :raises OperationalError: the path could not be set.
        """
        is_nested = self._setting_search_path
        super()._handle_search_path(cursor)
        if is_nested or self.search_path_set_schemas is not None:
            self._schemas_served.add(self.schema_name)
            return
        # In a transaction that has failed nothing but its rollback can follow, and that needs no path.
        if self.connection.info.transaction_status != TRANSACTION_STATUS_INERROR:
            raise OperationalError("The search path could not be set, so nothing was asked. Try again.")
