"""Which tenant a host belongs to, as each process knows it: asked of the database at most once in some seconds.

The whole directory is read in one statement, not host by host: hosts that never were cost nothing, however many of
them are asked for, and there is nothing whose size a stranger decides. What changes a tenant's routing in this
process counts at once; other processes hear of it within `ROWHOUSE_ROUTING_SECONDS`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from django.conf import settings
from django.db import connection, transaction

from core.tenancy import TenantRef

# An operator is inside while a grant that was used has neither ended nor expired.
DIRECTORY = """
SELECT d.domain, t.schema_name, t.slug, t.name, t.state, r.since_at IS NOT NULL, COALESCE(r.reason, ''),
       (SELECT max(g.expires_at) FROM tenants_entrygrant g
         WHERE g.tenant_id = t.id AND g.entered_at IS NOT NULL AND g.ended_at IS NULL
           AND g.expires_at > statement_timestamp())
  FROM public.tenants_domain d
  JOIN public.tenants_tenant t ON t.id = d.tenant_id AND t.state IN ('ACTIVE', 'SUSPENDED')
  LEFT JOIN public.tenants_readonlytenant r ON r.tenant_id = t.id"""


@dataclass(frozen=True, slots=True)
class Route:
    """A tenant as a request needs it. `operator_until`: the end of the last grant an operator is inside by."""

    schema_name: str
    slug: str
    name: str
    state: str
    is_read_only: bool
    read_only_reason: str
    operator_until: datetime | None

    @property
    def ref(self) -> TenantRef:
        return TenantRef(self.schema_name, self.slug)


_lock = threading.Lock()
_routes: dict[str, Route] = {}
_read_at: float | None = None
_generation = 0


def route_of(host: str) -> Route | None:
    """Return the tenant of a host in lower case, or None: nobody's, or its tenant is neither active nor suspended.

    Must run in `public`, outside of every tenant.
    """
    seconds = float(settings.ROWHOUSE_ROUTING_SECONDS)
    read_at = _read_at
    if read_at is None or monotonic() - read_at >= seconds:
        with _lock:  # of those who find it old at once, one asks
            if _read_at is None or _read_at == read_at:
                _read()
    return _routes.get(host)


def forget_routes() -> None:
    """Read the directory anew at the next request of this process, once the caller's transaction is committed."""
    transaction.on_commit(_forget)


def _forget() -> None:
    global _read_at, _generation
    _generation += 1
    _read_at = None


def _read() -> None:
    global _routes, _read_at
    generation, asked_at = _generation, monotonic()
    with connection.cursor() as cursor:
        cursor.execute(DIRECTORY)
        _routes = {domain: Route(*values) for domain, *values in cursor.fetchall()}
    # What was told to be forgotten meanwhile may be missing in it.
    _read_at = asked_at if generation == _generation else None
