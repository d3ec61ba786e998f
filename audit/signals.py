"""Sign-ins, wherever they happen."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from audit.services import record


@receiver(user_logged_in)
def signed_in(user: Any, **_kwargs: Any) -> None:
    record("accounts.user.signed_in", actor=user, target=user)


@receiver(user_logged_out)
def signed_out(user: Any, **_kwargs: Any) -> None:
    if user is not None:
        record("accounts.user.signed_out", actor=user, target=user)


@receiver(user_login_failed)
def sign_in_failed(credentials: dict[str, Any], **_kwargs: Any) -> None:
    name = credentials.get("username") or credentials.get("email") or ""
    record("accounts.user.sign_in_failed", actor=str(name)[:200])
