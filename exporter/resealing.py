"""Sealing a tenant's secrets anew, of exports and of the sending of events, when a key of the platform is changed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts import factors
from accounts.models import SignInProvider
from accounts.single_sign_on import services as providers
from audit.services import record
from core import sealing
from exporter import destinations
from exporter.models import SEALED_FOR, Destination, ExportNotice
from tenants.streaming import reseal_secret

HOLDERS: tuple[tuple[type[Destination] | type[ExportNotice] | type[SignInProvider], str], ...] = (
    (Destination, destinations.PURPOSE),
    (ExportNotice, SEALED_FOR),
    (SignInProvider, providers.SEALED_FOR),
)


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many secrets were sealed anew, how many were under the first key already, and whose open no more."""

    resealed: int
    current: int
    lost: list[str]


@transaction.atomic
def reseal() -> Resealed:
    """Seal the current tenant's secrets under the first of the platform's keys: the others can go then."""
    resealed, current, lost = factors.reseal()
    for model, purpose in HOLDERS:
        for one in model._default_manager.select_for_update().exclude(sealed_secret="").order_by("pk"):
            if sealing.is_current(one.sealed_secret, purpose=purpose):
                current += 1
                continue
            try:
                secret = sealing.unseal(one.sealed_secret, purpose=purpose)
            except sealing.NotOpened:
                lost.append(f"{model._meta.verbose_name} {one.name}")
                continue
            # Nobody entered it: it is no version in the history.
            model._default_manager.filter(pk=one.pk).update(
                sealed_secret=sealing.seal(secret, purpose=purpose)
            )
            resealed += 1
    try:
        resealed += bool(reseal_secret())
    except sealing.NotOpened:
        lost.append("stream of events")
    if resealed:
        record("exporter.secrets.resealed", secrets=resealed)
    return Resealed(resealed, current, lost)
