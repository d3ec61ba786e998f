"""Reading the log on from where a reader is, with whatever was committed late (`audit.gaps`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from django.db import connection

from audit.gaps import Gap, Place
from audit.models import Event
from audit.sealing import LATEST
from core.clock import now

# What may be on its way when a reader begins at the end of the log.
ON_THE_WAY = 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The next events of a reader, by number, and its place when it has read them. `is_last`: there are no more."""

    events: list[Event]
    place: Place
    is_last: bool


def end_of_log() -> Place:
    """Return the place of a reader who wants what is written from now on, what is being written now included."""
    numbers = list(Event.objects.order_by("-pk").values_list("pk", flat=True)[:ON_THE_WAY])[::-1]
    if not numbers:
        return Place(0)
    noticed = int(now().timestamp())
    gaps = (Gap(one + 1, two - 1, noticed) for one, two in pairwise(numbers) if two > one + 1)
    return Place(numbers[-1], tuple(gaps))


def next_batch(place: Place, *, most: int) -> Batch:
    """Return up to `most` events that a reader at this place has not read."""
    at = now()
    place = place.without_gaps_before(int((at - LATEST).timestamp()))
    late = _in_gaps(place, most)
    events = list(Event.objects.filter(pk__in=late).order_by("pk")) if late else []
    if len(events) < most:
        events += Event.objects.filter(pk__gt=place.upto).order_by("pk")[: most - len(events)]
    numbers = [event.pk for event in events]
    return Batch(events, place.after(numbers, now=int(at.timestamp())), is_last=len(events) < most)


def put_back(place: Place, uid: UUID | None, at: datetime | None) -> Place | None:
    """Return where to read on when the log was put back to an earlier time since, or None: it was not.

    :param uid: of the event with the number `place.upto`, as it was read.
    :param at: when that was written.
    """
    if not place.upto or at is None:
        return None
    if Event.objects.filter(pk=place.upto, uid=uid).exists():
        return None
    # What stands there from before that time was read; what came since has numbers that were used before.
    before = Event.objects.filter(at__lte=at).order_by("-at", "-pk").values_list("pk", flat=True).first()
    return Place(before or 0)


def _in_gaps(place: Place, most: int) -> list[int]:
    if not place.gaps:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM unnest(%s::bigint[], %s::bigint[]) AS gap(first, last)"
            " JOIN audit_event e ON e.id BETWEEN gap.first AND gap.last ORDER BY e.id LIMIT %s",
            [[gap.first for gap in place.gaps], [gap.last for gap in place.gaps], most],
        )
        return [number for (number,) in cursor.fetchall()]
