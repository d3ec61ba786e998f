"""An event as others get it: by webhook, by syslog, and as a line of a download."""

from __future__ import annotations

from typing import Any

from audit.models import Event
from audit.names import words_of


def told(event: Event) -> dict[str, Any]:
    """Return all that an event says, as JSON holds it. `uid` is the same however often it is told."""
    return {
        "uid": str(event.uid) if event.uid else None,
        "number": event.pk,
        "tenant": event.origin,
        "at": event.at.isoformat(),
        "name": event.name,
        "words": words_of(event.name),
        "actor": {"id": event.actor_id, "label": event.actor_label},
        "target": {"type": event.target_type, "id": event.target_id, "label": event.target_label},
        "address": event.address,
        "cause": event.cause,
        "data": event.data,
    }
