"""Sealing the events of a tenant, or of the platform (`audit.chain`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from audit.chain import FIRST, Facts, Link, digest, is_signed, packed, sign, unpacked
from audit.models import Event, Seal
from core.clock import now
from core.tenancy import in_public, tenant_or_none

MOST = 1000  # events of one seal
CHUNK = 10_000
# No transaction lasts so long: an event of this age is there, or never will be.
LATEST = timedelta(days=2)
# After the release that signs events has come, pods of the one before may still write some without.
UNSIGNED = timedelta(days=1)
FIELDS = (
    "id", "uid", "origin", "at", "name", "actor_id", "actor_label", "target_type", "target_id", "target_label",
    "address", "data", "cause", "signature",
)  # fmt: skip

logger = logging.getLogger(__name__)

type Row = tuple[int, Facts, bytes]
type Sealed = tuple[int, bytes]  # an event's number and its digest


def read(ids: Sequence[int]) -> dict[int, Row]:
    """Return events by their numbers; those that are not there are left out."""
    return {row[0]: row for row in map(_row, Event.objects.filter(pk__in=ids).values_list(*FIELDS))}


def _row(values: tuple[Any, ...]) -> Row:
    number, *facts, signature = values
    return number, Facts(*facts), bytes(signature or b"")


def is_believed(facts: Facts, text: bytes, signature: bytes, *, unsigned_until: datetime) -> bool:
    """Return whether an event that no seal holds is one of ours. `text`: that of its facts."""
    if not signature:
        return facts.uid is None and facts.at < unsigned_until
    return is_signed(text, signature, settings.ROWHOUSE_AUDIT_KEYS)


def unsigned_until() -> datetime:
    """Return until when events without a signature are believed: a day after signing came to this installation."""
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT min(applied) FROM django_migrations WHERE app = 'audit' AND name ~ '^0007'")
        [[applied]] = cursor.fetchall()
    return (applied or now()) + UNSIGNED


def sealed_from(low: int) -> set[int]:
    """Return the numbers above `low` that seals hold."""
    found: set[int] = set()
    for (ids,) in Seal.objects.filter(last__gt=low).values_list("ids"):
        found.update(unpacked(bytes(ids)))
    return found


def seal_events(*, most: int = 100) -> int:
    """Take the events no seal holds yet into new seals, `most` of them at most; return how many events those were.

    What is not ours is left out, for `verify` to say. Another process may do the same: one of them has its way.
    """
    last = Seal.objects.order_by("-number").first()
    low = last.settled if last else 0
    held = sealed_from(low)
    until = unsigned_until()
    sealed = 0
    for events in batched(_unsealed(low, held, until), MOST):
        if most == 0:
            break
        most -= 1
        try:
            with transaction.atomic():
                last = _append(last, events)
        except IntegrityError:  # another was faster
            return sealed
        sealed += len(events)
    return sealed


def _unsealed(low: int, held: set[int], until: datetime) -> Iterator[Sealed]:
    at = low
    while ids := list(Event.objects.filter(pk__gt=at).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        at = ids[-1]
        for some in batched((number for number in ids if number not in held), MOST):
            rows = read(some)
            for number in some:
                if number not in rows:
                    continue
                _number, facts, signature = rows[number]
                text = facts.text()
                if is_believed(facts, text, signature, unsigned_until=until):
                    yield number, digest(number, signature, text)
                else:
                    logger.error("Event %s was not written by the platform and is not sealed", number)


def _append(last: Seal | None, events: Sequence[Sealed]) -> Seal:
    at = now()
    tenant = tenant_or_none()
    settled = (
        Event.objects.filter(at__lt=at - LATEST).order_by("-pk").values_list("pk", flat=True).first() or 0
    )
    link = Link(
        number=last.number + 1 if last else 1,
        previous=bytes(last.hash) if last else FIRST,
        origin=tenant.slug if tenant else "",
        at=at,
        settled=max(settled, last.settled if last else 0),
        ids=[number for number, _digest in events],
        digests=b"".join(one for _number, one in events),
    )
    whole = link.hash()
    return Seal.objects.create(
        number=link.number,
        at=at,
        origin=link.origin,
        settled=link.settled,
        last=max(link.ids),
        ids=packed(link.ids),
        digests=link.digests,
        previous=link.previous,
        hash=whole,
        signature=sign(whole, settings.ROWHOUSE_AUDIT_KEYS[0]),
    )
