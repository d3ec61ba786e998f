"""What allauth does to second factors, as events."""

from __future__ import annotations

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.dispatch import receiver

from audit.services import record


@receiver(signals.authenticator_added)
def added(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.added", actor=user, target=user, factor=str(authenticator.type))


@receiver(signals.authenticator_removed)
def removed(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.removed", actor=user, target=user, factor=str(authenticator.type))


@receiver(signals.authenticator_reset)
def renewed(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.renewed", actor=user, target=user, factor=str(authenticator.type))


@receiver(signals.authenticator_used)
def used(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.used", actor=user, target=user, factor=str(authenticator.type))
