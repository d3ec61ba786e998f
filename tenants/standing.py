"""Making a tenant read-only, and writable again."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from audit.services import record
from core.errors import RowhouseError
from jobs import services as jobs
from tenants.models import Tenant
from tenants.operating_models import ReadOnlyTenant
from tenants.routing import forget_routes


class NotReadOnly(RowhouseError):
    """The tenant is not read-only."""

    code = "not-read-only"


class AlreadyReadOnly(RowhouseError):
    """The tenant is read-only, or in no state in which that would mean anything."""

    code = "already-read-only"


def read_only_sentence(name: str, reason: str) -> str:
    """Return what people of a read-only tenant are told.

    >>> read_only_sentence("Acme", "it is being moved").partition(". ")[0]
    'Acme is read-only for now: it is being moved'
    """
    why = f": {reason.rstrip('.')}" if reason else ""
    return (
        f"{name} is read-only for now{why}. You can look and download; nothing can be changed until the operator"
        " ends this. Nothing of what you sent was kept."
    )


def read_only_reason(schema: str) -> str | None:
    """Return why the tenant of this schema may not be written to, or None: it may. One query, in `public`."""
    found = (
        ReadOnlyTenant.objects.filter(tenant__schema_name=schema)
        .values_list("tenant__name", "reason")
        .first()
    )
    return read_only_sentence(*found) if found else None


@transaction.atomic
def make_read_only(*, tenant: Tenant, reason: str = "", by: object = None) -> None:
    """Let a tenant's people only look and download. Its exports and backups go on.

    Background work that writes and has not ended fails with nothing further applied; none is taken any more. Other
    processes refuse what is sent to them within `ROWHOUSE_ROUTING_SECONDS`.

    :raises AlreadyReadOnly: it is read-only, or neither active nor suspended.
    """
    if tenant.state not in {Tenant.State.ACTIVE, Tenant.State.SUSPENDED}:
        raise AlreadyReadOnly(
            f"{tenant.slug!r} is {tenant.get_state_display()}; only a tenant that is in use can be made read-only."
        )
    try:
        with transaction.atomic():
            ReadOnlyTenant.objects.create(tenant=tenant, reason=reason[:500], by_label=str(by or "")[:300])
    except IntegrityError:
        raise AlreadyReadOnly(f"{tenant.slug!r} is read-only already.") from None
    jobs.end_writing(tenant.schema_name)
    forget_routes()
    record("tenants.tenant.made-read-only", actor=by, target=tenant, reason=reason)


@transaction.atomic
def make_writable(*, tenant: Tenant, by: object = None) -> None:
    """Let a read-only tenant be written to again.

    :raises NotReadOnly: it is not read-only.
    """
    gone, _ = ReadOnlyTenant.objects.filter(tenant=tenant).delete()
    if not gone:
        raise NotReadOnly(f"{tenant.slug!r} is not read-only.")
    forget_routes()
    record("tenants.tenant.made-writable", actor=by, target=tenant)
