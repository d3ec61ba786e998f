"""Recording events."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models
from simple_history.models import HistoricalRecords

from audit.chain import sign
from audit.models import Event
from core.clock import now
from core.logging import cause
from core.tenancy import tenant_or_none

MOST_CAUSE = 100


def record(name: str, *, actor: object = None, target: models.Model | None = None, **data: Any) -> Event:
    """Write an event into the current schema, in the caller's transaction.

    :param name: `app.noun.verbed`.
    :param data: what else to keep, JSON-shaped; never cell values.
    """
    is_person = isinstance(actor, models.Model) and not isinstance(actor, AnonymousUser)
    tenant = tenant_or_none()
    event = Event(
        at=now(),
        uid=uuid4(),
        origin=tenant.slug if tenant else "",
        name=name,
        actor_id=actor.pk if isinstance(actor, models.Model) else None,
        actor_label=str(actor)[:300] if is_person or isinstance(actor, str) else "",
        target_type=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_label=str(target)[:300] if target is not None else "",
        address=_address(),
        cause=cause()[:MOST_CAUSE],
        data=json.loads(json.dumps(data)),  # as it will be read
    )
    event.signature = sign(event.facts().text(), settings.ROWHOUSE_AUDIT_KEYS[0])
    event.save(force_insert=True)
    return event


def _address() -> str | None:
    request = getattr(HistoricalRecords.context, "request", None)
    return request.META.get("REMOTE_ADDR") or None if request is not None else None
