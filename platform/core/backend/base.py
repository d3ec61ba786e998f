"""The connection every query runs on.

django-tenants puts `public` behind the tenant's schema: a table missing in the tenant is then silently
read from `public`, and a tenant row without a schema shows the platform's own tables. Here a tenant's path
is its own schema and nothing else, for migrations too.
"""

from __future__ import annotations

from django_tenants.postgresql_backend import base


class DatabaseWrapper(base.DatabaseWrapper):
    """django-tenants' wrapper with a search path of exactly one schema."""

    def _get_cursor_search_paths(self) -> list[str]:
        base._check_schema_name(self.schema_name)
        return [self.schema_name]
