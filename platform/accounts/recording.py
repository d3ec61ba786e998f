"""What allauth does to second factors, as events."""

from __future__ import annotations

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.db.models.signals import post_save
from django.dispatch import receiver

from audit.services import record


@receiver(post_save, sender=Authenticator)
def added(instance: Authenticator, created: bool, **_kwargs: Any) -> None:
    # allauth says it when the transaction has ended: a process that died meanwhile would have said nothing.
    if created:
        record("accounts.factor.added", actor=instance.user, target=instance.user, factor=str(instance.type))


@receiver(signals.authenticator_removed)
def removed(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.removed", actor=user, target=user, factor=str(authenticator.type))


@receiver(signals.authenticator_used)
def used(user: Any, authenticator: Authenticator, **_kwargs: Any) -> None:
    record("accounts.factor.used", actor=user, target=user, factor=str(authenticator.type))
