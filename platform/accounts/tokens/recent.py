"""When a session began, by whatever way of signing in: what gives rights away asks for a recent one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from core.clock import now

RECENT_MINUTES = 15
_KEY = "signed_in_at"


@receiver(user_logged_in, dispatch_uid="accounts.tokens.recent")
def _note(sender: object, request: HttpRequest | None = None, **given: Any) -> None:
    if request is not None and hasattr(request, "session"):
        request.session[_KEY] = now().timestamp()


def is_recent(request: HttpRequest, at: datetime) -> bool:
    """Return whether the request's person signed in within RECENT_MINUTES."""
    begun = request.session.get(_KEY)
    return isinstance(begun, int | float) and 0 <= at.timestamp() - begun < RECENT_MINUTES * 60
