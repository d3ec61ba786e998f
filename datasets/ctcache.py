"""Content types are cached per schema.

Django keeps one process-wide dictionary of content types. Their ids differ between tenants, so a thread in
one tenant could be handed another tenant's id, and rights would be checked against the wrong rows.
"""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, connections

MAX_SCHEMAS = 256


class SchemaKeyedCache(dict[str, dict[Any, Any]]):
    """Stands in for `ContentTypeManager._cache`: the same interface, one dictionary per schema."""

    def _own(self) -> dict[Any, Any]:
        schema = connections[DEFAULT_DB_ALIAS].schema_name  # type: ignore[attr-defined] # django-tenants
        if schema not in self and len(self) >= MAX_SCHEMAS:
            dict.clear(self)
        return dict.setdefault(self, schema, {})

    def __getitem__(self, using: str) -> dict[Any, Any]:
        return self._own()[using]  # type: ignore[no-any-return]

    def setdefault(self, using: str, default: Any = None) -> dict[Any, Any]:
        return self._own().setdefault(using, default)  # type: ignore[no-any-return]

    def clear(self) -> None:
        # Also called while the first connection is being built: reading `connection` here would recurse.
        connection = getattr(connections._connections, DEFAULT_DB_ALIAS, None)  # type: ignore[attr-defined]
        if connection is not None:
            dict.pop(self, connection.schema_name, None)


def install() -> None:
    """Put the cache in the place of Django's; calling it again changes nothing."""
    # Django copies the managers anew whenever its registry of models changes, as by a class that is made later; the
    # copies share what the first ones hold. `ContentType.objects` is such a copy: set there alone, it would be lost.
    for manager in (*ContentType._meta.local_managers, ContentType.objects):
        if not isinstance(manager._cache, SchemaKeyedCache):  # type: ignore[attr-defined]
            manager._cache = _CACHE  # type: ignore[attr-defined]


_CACHE = SchemaKeyedCache()
