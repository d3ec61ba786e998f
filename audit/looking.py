"""Searching the log: newest first, from number to number, and never through more than a page may cost.

What has an index is found however long the log is: a name, a person, a target, a request or job. The rest (words, an
area, an address) is looked for among LOOKED_AT events at a time; the page then says from where to look on. Nothing
here counts events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Max, Min, Q, QuerySet

from audit.models import Event

ON_A_PAGE = 50
LOOKED_AT = 20_000
AT_ONCE = 1_000  # events of one query of a download
# Numbers are given before the commit and by several machines: their order is that of the times but for so much.
SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody looks for. Empty is anything; days are in UTC and both included."""

    words: str = ""
    area: str = ""
    name: str = ""
    actor_id: int | None = None
    who: str = ""
    target_type: str = ""
    target_id: str = ""
    what: str = ""
    address: str = ""
    cause: str = ""
    first: date | None = None
    last: date | None = None

    @property
    def is_any(self) -> bool:
        """Return whether nothing in particular is looked for."""
        return self == Wish()

    @property
    def is_quick(self) -> bool:
        """Return whether indexes alone find it."""
        return not (
            self.words or self.area or self.who or self.what or self.address or self.first or self.last
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events. `older`: from which number to go on; `is_cut`: it was not looked further than that."""

    events: list[Event]
    older: int | None
    is_cut: bool


def look(wish: Wish, *, before: int | None = None) -> Found:
    """Return the newest events that fit, below the number `before` where one is given."""
    listed = _listed(wish)
    if before is not None:
        listed = listed.filter(pk__lt=before)
    floor = None if wish.is_quick else _floor(listed)
    chosen = _narrowed(listed, wish)
    if floor is not None:
        chosen = chosen.filter(pk__gte=floor)
    events = list(chosen.order_by("-pk").defer("signature")[: ON_A_PAGE + 1])
    if len(events) > ON_A_PAGE:
        return Found(events[:ON_A_PAGE], events[ON_A_PAGE - 1].pk, is_cut=False)
    return Found(events, floor, is_cut=floor is not None)


def newest() -> int:
    """Return the highest number there is; 0 without any."""
    return Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def every(wish: Wish, *, most: int) -> Iterator[list[Event]]:
    """Yield all events that fit, up to the number `most`, newest first, so many of each query. Ends when all are read.

    Each query stands alone: none is left open between two.
    """
    before = most + 1
    while True:
        listed = _listed(wish).filter(pk__lt=before)
        floor = None if wish.is_quick else _floor(listed)
        chosen = _narrowed(listed, wish)
        if floor is not None:
            chosen = chosen.filter(pk__gte=floor)
        events = list(chosen.order_by("-pk").defer("signature")[:AT_ONCE])
        if events:
            yield events
        if len(events) == AT_ONCE:
            before = events[-1].pk
        elif floor is None:
            return
        else:
            before = floor


def _floor(listed: QuerySet[Event]) -> int | None:
    """Return the number of the last event that is looked at, or None: all are."""
    return listed.order_by("-pk").values_list("pk", flat=True)[LOOKED_AT - 1 : LOOKED_AT].first()


def _listed(wish: Wish) -> QuerySet[Event]:
    """Return what indexes find."""
    found = Event.objects.all()
    if wish.name:
        found = found.filter(name=wish.name)
    if wish.actor_id is not None:
        found = found.filter(actor_id=wish.actor_id)
    if wish.target_type and wish.target_id:
        found = found.filter(target_type=wish.target_type, target_id=wish.target_id)
    if wish.cause:
        found = found.filter(cause=wish.cause)
    return _within(found, wish)


def _within(found: QuerySet[Event], wish: Wish) -> QuerySet[Event]:
    """Keep to the numbers that the days can have; which events those are is said exactly further on."""
    if wish.first is not None:
        low = Event.objects.filter(at__gte=_midnight(wish.first) - SKEW, at__lt=_midnight(wish.first) + SKEW)
        number = low.aggregate(low=Min("pk"))["low"]
        # Nothing around that midnight: the newest of before it is the bound.
        if number is None:
            earlier = (
                Event.objects.filter(at__lt=_midnight(wish.first))
                .order_by("-at")
                .values_list("pk", flat=True)
            )
            number = (earlier.first() or 0) + 1
        found = found.filter(pk__gte=number)
    if wish.last is not None:
        end = _midnight(wish.last) + timedelta(days=1)
        number = Event.objects.filter(at__gte=end - SKEW, at__lt=end + SKEW).aggregate(high=Max("pk"))["high"]
        if number is None:
            earlier = Event.objects.filter(at__lt=end).order_by("-at").values_list("pk", flat=True)
            number = earlier.first() or 0
        found = found.filter(pk__lte=number)
    return found


def _narrowed(found: QuerySet[Event], wish: Wish) -> QuerySet[Event]:
    """Return what fits of what indexes find."""
    if wish.first is not None:
        found = found.filter(at__gte=_midnight(wish.first))
    if wish.last is not None:
        found = found.filter(at__lt=_midnight(wish.last) + timedelta(days=1))
    if wish.area:
        found = found.filter(name__startswith=f"{wish.area}.")
    if wish.who:
        found = found.filter(actor_label__icontains=wish.who)
    if wish.what:
        found = found.filter(target_label__icontains=wish.what)
    if wish.address:
        found = found.filter(address=wish.address)
    for word in wish.words.split():
        found = found.filter(
            Q(name__icontains=word) | Q(actor_label__icontains=word) | Q(target_label__icontains=word)
            | Q(cause__icontains=word)
        )  # fmt: skip
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
