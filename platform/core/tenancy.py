"""The one door into a tenant.

`in_tenant` binds the database's search path and a context variable; whatever needs the tenant (storage,
logs, jobs) asks `current_tenant()`. Without a tenant it raises: nothing falls back to `public`. A tenant's
search path never holds `public` (`core.backend`), so a table missing in the tenant is an error and not
another schema's table. What lives in `public` is reached from inside a tenant through `in_public` alone.

Statements run with a tenant's rights (`core.backend.roles`): as its owner's in jobs and commands, as its members' in
requests, where `as_owner` is for the few steps that make or change tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.db import connection as _connection

from core.backend.places import Role
from core.errors import RowhouseError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from core.backend.base import DatabaseWrapper

# Django types every connection as the plain one; ours knows schemas.
connection = cast("DatabaseWrapper", _connection)

# Generated, never reused (tenants.services), and repeated by the database as a CHECK.
SCHEMA_PATTERN = r"^t_[a-z0-9]{8,26}$"
SLUG_PATTERN = r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$"


@dataclass(frozen=True, slots=True)
class TenantRef:
    """A tenant as everything below `tenants` knows it: where its tables are and what people call it."""

    schema: str
    slug: str

    def __post_init__(self) -> None:
        if not re.fullmatch(SCHEMA_PATTERN, self.schema):
            raise ValueError(f"not a tenant's schema name: {self.schema!r}")
        if not re.fullmatch(SLUG_PATTERN, self.slug):
            raise ValueError(f"not a tenant's slug: {self.slug!r}")


class NoTenant(RowhouseError):
    """Tenant code ran outside a tenant."""

    code = "no-tenant"


class TenantCrossing(RowhouseError):
    """Code inside one tenant asked for the door into another."""

    code = "tenant-crossing"


class _Entry:
    """One entering of a tenant, or of `public`: whoever leaves must find his own."""

    __slots__ = ("tenant",)

    def __init__(self, tenant: TenantRef | None) -> None:
        self.tenant = tenant


_NOWHERE = _Entry(None)
_current: ContextVar[_Entry] = ContextVar("rowhouse_tenant", default=_NOWHERE)


def current_tenant() -> TenantRef:
    """Return the tenant this code runs in.

    :raises NoTenant: there is none.
    """
    tenant = _current.get().tenant
    if tenant is None:
        raise NoTenant("No tenant is bound here; enter one with in_tenant().")
    return tenant


def tenant_or_none() -> TenantRef | None:
    """Return the tenant this code runs in, or None: for logs and for code that serves both sides."""
    return _current.get().tenant


@contextmanager
def in_tenant(tenant: TenantRef, *, role: Role = Role.OWNER) -> Iterator[TenantRef]:
    """Run the block inside a tenant, then go back to where the caller was.

    Entering the same tenant again is fine, and keeps the rights that are held; another one is refused, because objects
    loaded in the first would be saved into the second. A block that ends when it is not the innermost, as in a
    generator that is read on elsewhere, leaves every tenant: what it would go back to is not where its caller is.

    :raises TenantCrossing: the block is already inside another tenant.
    """
    before = _current.get().tenant
    if before is not None and before != tenant:
        raise TenantCrossing(f"Inside {before.slug!r}, {tenant.slug!r} cannot be entered.")
    entry = _Entry(tenant)
    token = _current.set(entry)
    if before is None:
        connection.set_schema(tenant.schema, role=role)
    try:
        yield tenant
    finally:
        is_innermost = _current.get() is entry
        _current.reset(token)
        if not is_innermost:
            leave_tenant()
        elif before is None:
            connection.set_schema_to_public()


@contextmanager
def as_owner() -> Iterator[None]:
    """Run the block with the rights of the current tenant's owner: for what makes, changes or drops tables.

    :raises NoTenant: there is none.
    """
    current_tenant()
    entry = _current.get()
    before = connection.set_role(Role.OWNER)
    try:
        yield
    finally:
        if _current.get() is entry:  # elsewhere by now, these rights are nobody's
            connection.set_role(before)


@contextmanager
def in_public() -> Iterator[None]:
    """Run the block in `public` on the same connection and transaction, then go back into the tenant.

    For the platform's own rows (jobs, tenants), which tenant code must write in one transaction with its own.
    """
    before, role = _current.get().tenant, connection.role
    entry = _Entry(None)
    token = _current.set(entry)
    connection.set_schema_to_public()
    try:
        yield
    finally:
        is_innermost = _current.get() is entry
        _current.reset(token)
        if not is_innermost:
            leave_tenant()
        elif before is not None:
            connection.set_schema(before.schema, role=role)


def leave_tenant() -> None:
    """Forget any tenant: for the edges (end of a request, start of a job) where nothing may linger."""
    _current.set(_NOWHERE)
    connection.set_schema_to_public()


def bind_tenant(tenant: TenantRef) -> None:
    """Enter a tenant with its members' rights, without a block: for the request middleware, which leaves it again."""
    leave_tenant()
    _current.set(_Entry(tenant))
    connection.set_schema(tenant.schema, role=Role.MEMBER)


def bind_connection(other: BaseDatabaseWrapper) -> None:
    """Give a second connection the current tenant's schema and rights: for work that needs two at once.

    :raises NoTenant: there is none.
    """
    cast("DatabaseWrapper", other).set_schema(current_tenant().schema, role=connection.role)
