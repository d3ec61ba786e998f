"""Whether the current tenant may be written to, told by the app that knows.

That app says on its AppConfig who answers: `read_only_reason = "tenants.standing.read_only_reason"`, a function that
takes a schema's name, is called in `public`, and returns a sentence, or None: it may be written to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.apps import apps
from django.utils.module_loading import import_string

from core.errors import RowhouseError
from core.tenancy import in_public, tenant_or_none


class TenantReadOnly(RowhouseError):
    """The tenant is read-only: its people can look and download, and nothing is written."""

    code = "tenant-read-only"


def require_writable(schema: str | None = None) -> None:
    """Go on only if a tenant may be written to: the one of this schema, or the current one. One small query.

    Outside of every tenant there is nothing to ask.

    :raises TenantReadOnly: an operator has made it read-only.
    """
    tenant = tenant_or_none()
    schema = schema or (tenant.schema if tenant else None)
    if schema is None:
        return
    with in_public():
        for tell in _tellers():
            if reason := tell(schema):
                raise TenantReadOnly(reason)


@cache
def _tellers() -> tuple[Callable[[str], str | None], ...]:
    paths = [getattr(config, "read_only_reason", "") for config in apps.get_app_configs()]
    return tuple(import_string(path) for path in paths if path)
