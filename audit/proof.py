"""What proves a single event: the seal that holds it, or that it waits for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.conf import settings

from audit.chain import digest, is_signed
from audit.models import Event, Seal

# Of the seals that end above an event's number: it is in one of the next, for nothing is sealed long after.
MOST_SEALS = 50


class Standing(StrEnum):
    """How an event stands in the chain."""

    SEALED = "sealed"
    WAITING = "waiting"
    UNSIGNED = "unsigned"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Proof:
    """`seal` is the number of the seal that holds the event, 0 while it waits."""

    standing: Standing
    seal: int = 0
    at: datetime | None = None


def proof_of(event: Event) -> Proof:
    """Return how an event stands. It is a look at this one alone: `verify_audit` follows the whole chain."""
    signature = bytes(event.signature or b"")
    text = event.facts().text()
    for seal in (
        Seal.objects.filter(last__gte=event.pk).order_by("number")[:MOST_SEALS].iterator(chunk_size=5)
    ):
        link = seal.link()
        if event.pk in link.ids:
            is_same = digest(event.pk, signature, text) == link.digest_of(link.ids.index(event.pk))
            return Proof(Standing.SEALED if is_same else Standing.DIFFERS, seal.number, seal.at)
    if not signature:
        return Proof(Standing.UNSIGNED)
    is_ours = is_signed(text, signature, settings.ROWHOUSE_AUDIT_KEYS)
    return Proof(Standing.WAITING if is_ours else Standing.DIFFERS)
