"""Recording events."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models
from simple_history.models import HistoricalRecords

from audit.models import Event


def record(name: str, *, actor: object = None, target: models.Model | None = None, **data: Any) -> Event:
    """Write an event into the current schema, in the caller's transaction.

    :param name: `app.noun.verbed`.
    :param data: what else to keep, JSON-shaped; never cell values.
    """
    is_person = isinstance(actor, models.Model) and not isinstance(actor, AnonymousUser)
    return Event.objects.create(
        name=name,
        actor_id=actor.pk if isinstance(actor, models.Model) else None,
        actor_label=str(actor)[:300] if is_person or isinstance(actor, str) else "",
        target_type=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_label=str(target)[:300] if target is not None else "",
        address=_address(),
        data=data,
    )


def _address() -> str | None:
    request = getattr(HistoricalRecords.context, "request", None)
    return request.META.get("REMOTE_ADDR") or None if request is not None else None
