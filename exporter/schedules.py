"""When a dataset is exported, in words, and when that is next. Pure: no Django, no clock.

Slots are quarters of an hour (UTC). Days, weeks and cron times are those of a time zone; a cron time between two
slots waits for the next one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from core.errors import RowhouseError

SLOT = timedelta(minutes=15)
# How often, and the cron times that this means; those of days and weeks in the time zone of the settings.
CRON_OF = {
    "QUARTER": "*/15 * * * *",
    "HOUR": "0 * * * *",
    "SIX_HOURS": "0 */6 * * *",
    "DAY": "0 0 * * *",
    "WEEK": "0 0 * * 1",
}
WORDS = {
    "QUARTER": "every 15 minutes",
    "HOUR": "every hour",
    "SIX_HOURS": "every 6 hours, at 00:00, 06:00, 12:00 and 18:00 UTC",
    "DAY": "every day at 00:00 {zone}",
    "WEEK": "every Monday at 00:00 {zone}",
    "NEVER": "never by schedule, only by hand",
}
OF_A_ZONE = ("DAY", "WEEK", "CRON")


class BadSchedule(RowhouseError):
    """Times that are no times, or a time zone nobody knows."""

    code = "bad-schedule"
    status = 422


@cache
def zones() -> tuple[str, ...]:
    """Return the names of the time zones, sorted."""
    return tuple(sorted(available_timezones()))


def check_zone(name: str) -> None:
    """Go on only if a time zone is known.

    :raises BadSchedule: it is not.
    """
    if name not in zones():
        raise BadSchedule(f"There is no time zone {name!r}. Write it as Europe/Berlin or UTC.")


def check_cron(cron: str, zone: str) -> None:
    """Go on only if cron times come round.

    :raises BadSchedule: they do not, or are more often than once a slot allows.
    """
    if len(cron.split()) != 5:
        raise BadSchedule(
            "Cron times have five parts: minute, hour, day, month, weekday. 0 2 * * 1-5 is 02:00 on weekdays."
        )
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))))
    except CronSimError as error:
        raise BadSchedule(f"Cron times cannot be read ({error}). 0 2 * * 1-5 is 02:00 on weekdays.") from None
    except StopIteration:
        raise BadSchedule("These cron times never come.") from None


def schedule_words(every: str, *, cron: str = "", zone: str = "UTC") -> str:
    """Return how often, as people say it.

    >>> schedule_words("DAY", zone="Europe/Berlin")
    'every day at 00:00 Europe/Berlin'
    >>> schedule_words("CRON", cron="0 2 * * 1-5", zone="Europe/Berlin")
    'at 02:00 on Monday through Friday, Europe/Berlin'

    :raises BadSchedule: it cannot be read.
    """
    check_zone(zone)
    if every != "CRON":
        return WORDS[every].format(zone=zone)
    check_cron(cron, zone)
    said = CronSim(cron, datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))).explain()
    return f"{said[:1].lower()}{said[1:]}, {zone}"


def next_slot(every: str, *, cron: str = "", zone: str = "UTC", after: datetime) -> datetime | None:
    """Return the next slot (UTC) later than `after`, or None where there is none.

    >>> next_slot("CRON", cron="50 1 * * *", zone="Europe/Berlin", after=datetime(2026, 7, 1, tzinfo=UTC))
    datetime.datetime(2026, 7, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if every == "NEVER":
        return None
    times = cron if every == "CRON" else CRON_OF[every]
    # A time belongs to the slot that begins at it or next after it: from one slot before, so that none is passed by.
    for at in CronSim(times, (after - SLOT).astimezone(ZoneInfo(zone if every in OF_A_ZONE else "UTC"))):
        slot = _slot_at_or_after(at.astimezone(UTC))
        if slot > after:
            return slot
    return None


def _slot_at_or_after(at: datetime) -> datetime:
    begun = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
    return begun if begun == at else begun + SLOT
