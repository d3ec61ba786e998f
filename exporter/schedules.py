"""When a dataset is exported, in words, and which time zones and cron times there are. Pure: no Django, no clock."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim

from core.errors import RowhouseError
from exporter.slots import Schedule, cron_problem

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


def check_cron(cron: str) -> None:
    """Go on only if cron times come round, and no more often than slots do.

    :raises BadSchedule: they do not.
    """
    if problem := cron_problem(cron):
        raise BadSchedule(problem)


def schedule_words(schedule: Schedule) -> str:
    """Return how often, as people say it.

    >>> schedule_words(Schedule("DAY", time_zone="Europe/Berlin"))
    'every day at 00:00 Europe/Berlin'
    >>> schedule_words(Schedule("CRON", "0 2 * * 1-5", "Europe/Berlin"))
    'at 02:00 on Monday through Friday, Europe/Berlin'

    :raises BadSchedule: it cannot be read.
    """
    check_zone(schedule.time_zone)
    if schedule.every != "CRON":
        return WORDS[schedule.every].format(zone=schedule.time_zone)
    check_cron(schedule.cron)
    said = CronSim(schedule.cron, datetime(2026, 1, 1, tzinfo=ZoneInfo(schedule.time_zone))).explain()
    return f"{said[:1].lower()}{said[1:]}, {schedule.time_zone}"
