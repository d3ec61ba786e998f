"""When a dataset is exported: which slots of the day are its own, and whether one of them has come.

A slot is a quarter of an hour (UTC), named by when it begins. A schedule fires at times; each belongs to the slot that
begins then, or to the next one. Hours and quarters are those of UTC; days and weeks begin by the clocks of the
schedule's time zone, and so do cron times: one that the clocks jump over comes right after the jump, one that they
pass twice comes the first time.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

SLOT = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Of UTC: a day has four quarters of six hours whatever the clocks do.
STEPS = {"QUARTER": SLOT, "HOUR": HOUR, "SIX_HOURS": 6 * HOUR}
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
ANY_TIME = datetime(2000, 1, 1)  # noqa: DTZ001 -- only the parsing matters
CRON_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often: `every` is QUARTER, HOUR, SIX_HOURS, DAY, WEEK (from Monday), CRON (by `cron`) or NEVER."""

    every: str = "HOUR"
    cron: str = ""
    time_zone: str = "UTC"


def is_due(schedule: Schedule, *, last: datetime | None, slot: datetime) -> bool:
    """Return whether a dataset is exported in a slot, `last` being the last one it was looked at for.

    One that was never looked at is due at once, so that a new dataset has its first file soon.

    >>> nine = datetime(2026, 8, 26, 9, tzinfo=UTC)
    >>> is_due(Schedule("DAY"), last=nine, slot=nine + timedelta(hours=1))
    False
    >>> is_due(Schedule("DAY"), last=nine, slot=nine + timedelta(hours=15))
    True
    """
    if schedule.every == "NEVER":
        return False
    return last is None or next(firings(schedule, after=last), slot + SLOT) <= slot


def missed_slots(schedule: Schedule, *, last: datetime, slot: datetime) -> list[datetime]:
    """Return the slots after `last` that were the schedule's own and are not made up for by `slot`.

    The latest of them is: its export comes late, in this slot, and is not missed.

    >>> two = datetime(2026, 8, 26, 2, tzinfo=UTC)
    >>> [one.hour for one in missed_slots(Schedule("HOUR"), last=two, slot=two + timedelta(hours=4))]
    [3, 4, 5]
    """
    found: list[datetime] = []
    for at in firings(schedule, after=last):
        if at > slot:
            break
        found.append(at)
    return found[:-1]


def firings(schedule: Schedule, *, after: datetime) -> Iterator[datetime]:
    """Yield the slots (UTC) of a schedule that begin later than `after`, without end unless it never fires."""
    newest = after
    for at in _times(schedule, after - SLOT):
        slot = ceiling(at)
        if slot > newest:
            newest = slot
            yield slot


def ceiling(at: datetime) -> datetime:
    """Return the slot that begins then, or the next one.

    >>> ceiling(datetime(2026, 8, 26, 9, 31, tzinfo=UTC)).minute
    45
    """
    return EPOCH - (EPOCH - at.astimezone(UTC)) // SLOT * SLOT


def slot_minutes(schedules: Iterable[Schedule], *, at: datetime) -> int:
    """Return how long the slots of a tenant with these schedules have to be: 60, or 15 minutes.

    `at` tells the year whose clocks count.

    >>> august = datetime(2026, 8, 26, tzinfo=UTC)
    >>> [slot_minutes([one], at=august) for one in (Schedule(), Schedule("DAY", time_zone="Asia/Kolkata"))]
    [60, 15]
    """
    return 15 if any(_is_off_the_hour(one, at) for one in schedules) else 60


def cron_problem(cron: str) -> str:
    """Return why cron times cannot be used, as people read it, or nothing.

    >>> cron_problem("0 6 * * MON-FRI")
    ''
    >>> cron_problem("*/5 * * * *")
    'These times are less than 15 minutes apart; exports are made every 15 minutes at most.'
    """
    if len(cron.split()) != CRON_FIELDS:
        return (
            "Cron times have five parts: minute, hour, day of the month, month and day of the week,"
            " such as “0 6 * * MON-FRI”."
        )
    try:
        parsed = CronSim(cron, ANY_TIME)
        next(parsed)
    except CronSimError as error:
        return f"“{cron}” are no cron times: {str(error)[:1].lower()}{str(error)[1:]}."
    except StopIteration:
        return f"“{cron}” never comes. Choose a day that exists."
    if _is_too_often(parsed):
        return "These times are less than 15 minutes apart; exports are made every 15 minutes at most."
    return ""


def usable(schedule: Schedule) -> Schedule:
    """Return the schedule, or every hour in UTC in the place of one that cannot be understood any more.

    An export too many is better than none.
    """
    try:
        ZoneInfo(schedule.time_zone)
    except (OSError, ValueError, KeyError):  # KeyError: no such zone (any more)
        return Schedule()
    return Schedule() if schedule.every == "CRON" and cron_problem(schedule.cron) else schedule


def _times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Yield when a schedule fires, later than `after` and in order."""
    if (step := STEPS.get(schedule.every)) is not None:
        at = EPOCH + ((after - EPOCH) // step + 1) * step
        while True:
            yield at
            at += step
    zone = ZoneInfo(schedule.time_zone)
    if schedule.every == "CRON":
        # It thinks in wall times, and may begin with one that the clocks have passed already.
        yield from (at for at in CronSim(schedule.cron, after.astimezone(zone)) if at.astimezone(UTC) > after)
    elif schedule.every in ("DAY", "WEEK"):
        yield from (at for at in _days(zone, after, by=7 if schedule.every == "WEEK" else 1) if at > after)


def _days(zone: ZoneInfo, after: datetime, *, by: int) -> Iterator[datetime]:
    day = after.astimezone(zone).date()
    day -= timedelta(days=day.weekday()) if by > 1 else timedelta(0)
    while True:
        yield _begin_of(day, zone)
        day += timedelta(days=by)


def _begin_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day: where the clocks jump over midnight, that of the jump."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _is_off_the_hour(schedule: Schedule, at: datetime) -> bool:
    if schedule.every in STEPS or schedule.every == "NEVER":
        return schedule.every == "QUARTER"
    if schedule.every == "CRON" and set(CronSim(schedule.cron, ANY_TIME).minutes) != {0}:
        return True
    zone = ZoneInfo(schedule.time_zone)
    months = (datetime(at.year, month, 1, tzinfo=zone).utcoffset() for month in range(1, 13))
    return any(offset % HOUR for offset in months if offset is not None)


def _is_too_often(cron: CronSim) -> bool:
    """Return whether two of the times may be too close, be it from one hour or day to the next."""
    minutes, quarter = sorted(cron.minutes), SLOT // timedelta(minutes=1)
    if any(late - early < quarter for early, late in pairwise(minutes)):
        return True
    over_the_hour = minutes[0] + 60 - minutes[-1]
    return over_the_hour < quarter and any((hour + 1) % 24 in cron.hours for hour in cron.hours)
