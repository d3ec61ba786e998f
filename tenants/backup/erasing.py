"""Erasures and backups: a backup cannot be rewritten, and what a restore brings back must be erased again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from audit.models import Event
from core.erasing import Hunt, Json, Part
from core.tenancy import current_tenant, in_public
from tenants.backup.models import TenantBackup

FINISHED = "datasets.erasure.finished"  # as datasets writes it into the platform's log


def backups(hunt: Hunt, cursor: Json, work: object) -> Part:
    """Say which backups were taken before: they hold the values until they go."""
    if not hunt.is_real:
        return Part(None)
    keep, schema = timedelta(days=settings.ROWHOUSE_BACKUP_KEEP_DAYS), current_tenant().schema
    with in_public():
        kept = TenantBackup.objects.filter(
            tenant__schema_name=schema, state=TenantBackup.State.SUCCEEDED, deleted_at=None
        )
        left: Json = {}
        for one in kept.order_by("pk"):
            taken = one.taken_at or one.created_at
            until = (
                f"goes after {taken + keep:%Y-%m-%d}" if one.key else "a file of whoever wrote it: remove it"
            )
            left[f"backup {one.pk} of {taken:%Y-%m-%d %H:%M} UTC: {until}"] = 1
    return Part(None, 0, left)


def to_repeat(schema: str, since: datetime) -> list[dict[str, Any]]:
    """Return the erasures of a tenant's schema that were finished after a moment, as the platform's log has them."""
    with in_public():
        events = Event.objects.filter(name=FINISHED, data__schema=schema, at__gt=since).order_by("pk")
        return [
            {"number": one.data["number"], "uid": one.data["uid"], "at": one.at.isoformat(timespec="seconds")}
            for one in events
        ]
