"""When a dataset is due: compared with clocks that are looked at every quarter of an hour for years."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.slots import SLOT, Schedule, cron_problem, firings, is_due, missed_slots, slot_minutes, usable

# Clocks that jump over midnight, by half an hour, over a whole day; offsets that are no whole hours.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo", "Asia/Beirut",
    "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Apia",
    "Pacific/Chatham", "America/Sao_Paulo", "Africa/Casablanca",
)  # fmt: skip
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Place = Callable[[datetime], object]


def quarters(begin: datetime, days: int) -> Iterator[datetime]:
    for number in range(days * 96):
        yield begin + number * SLOT


def exported(schedule: Schedule, begin: datetime, days: int) -> list[datetime]:
    """Return in which slots a dataset is exported, if they all come."""
    end = begin + timedelta(days=days)
    return list(takewhile(lambda slot: slot < end, firings(schedule, after=begin - SLOT)))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2011, 2017, 2026])
def test_each_local_day_and_week_has_exactly_one_export_at_its_beginning(zone: str, year: int) -> None:
    begin = datetime(year, 1, 1, tzinfo=UTC)

    def day_of(at: datetime) -> date:
        return at.astimezone(ZoneInfo(zone)).date()

    firsts: dict[date, datetime] = {}
    for slot in quarters(begin, 400):
        firsts.setdefault(day_of(slot), slot)
    days = list(firsts.values())[1:]  # the first day may have begun before
    daily = exported(Schedule("DAY", time_zone=zone), begin, 400)
    assert [slot for slot in daily if slot >= days[0]] == days
    mondays = [slot for day, slot in list(firsts.items())[1:] if day.weekday() == 0]
    weekly = exported(Schedule("WEEK", time_zone=zone), begin, 400)
    # A Monday that a place never had is no beginning of a week there; none was.
    assert [slot for slot in weekly if slot >= days[0]] == mondays
    assert set(Counter(map(day_of, daily)).values()) == {1}


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_cron_time_comes_once_a_day_also_when_the_clocks_change(zone: str) -> None:
    for cron in ("0 2 * * *", "30 2 * * *", "15 0 * * *", "59 23 * * *", "0 1 * * *"):
        found = exported(Schedule("CRON", cron, zone), BEGIN, 800)
        expected = BEGIN.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
        at = ZoneInfo(zone)
        # A minute to midnight waits for a slot of the next day.
        waited = timedelta(minutes=1 if cron.startswith("59") else 0)
        days = [(slot - waited).astimezone(at).date() for slot in found]
        days = [day for day in days if day >= expected]
        whole = [expected + timedelta(days=number) for number in range(len(days))]
        assert days == whole, (cron, zone)
        assert len(days) >= 797


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("month", [3, 4, 10])
def test_cron_times_with_a_star_come_as_often_as_the_hours_do(zone: str, month: int) -> None:
    begin = datetime(2026, month, 1, tzinfo=UTC)
    for cron, per_day in (("*/15 * * * *", 96), ("0 * * * *", 24)):
        found = exported(Schedule("CRON", cron, zone), begin, 31)
        assert len(found) in range(31 * per_day - 2, 31 * per_day + 3)
        gaps = {late - early for early, late in pairwise(found)}
        assert max(gaps) <= 2 * timedelta(days=1) / per_day


@given(
    every=st.sampled_from(["QUARTER", "HOUR", "SIX_HOURS", "DAY", "WEEK", "CRON", "NEVER"]),
    cron=st.sampled_from(
        ["0 6 * * *", "30 2 * * *", "7 3 * * SUN", "0 0 1 * *", "*/20 * * * *", "45 23 L * *"]
    ),
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 4 * 365 * 96),
    gaps=st.lists(st.integers(1, 200), min_size=1, max_size=6),
)
@settings(max_examples=80, deadline=None)
def test_whatever_slots_fail_to_come_each_firing_is_exported_late_or_missed_once(
    every: str, cron: str, zone: str, start: int, gaps: list[int]
) -> None:
    schedule = Schedule(every, cron, zone)
    last = begin = BEGIN + start * SLOT
    told: list[datetime] = []
    for gap in gaps:
        slot = last + gap * SLOT
        wanted = _firings_between(schedule, last, slot)
        missed = missed_slots(schedule, last=last, slot=slot)
        assert is_due(schedule, last=last, slot=slot) == bool(wanted)
        assert missed == wanted[:-1]
        told += wanted
        last = slot
    assert told == _firings_between(schedule, begin, last)  # none twice, none forgotten


def _firings_between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Ask each slot for itself."""
    slot, found = after, []
    while slot < until:
        if is_due(schedule, last=slot, slot=slot + SLOT):
            found.append(slot + SLOT)
        slot += SLOT
    return found


def test_a_new_dataset_is_due_at_its_first_slot_and_one_that_is_never_exported_at_none() -> None:
    assert is_due(Schedule("WEEK"), last=None, slot=BEGIN)
    assert not is_due(Schedule("NEVER"), last=None, slot=BEGIN)


def test_a_time_passed_twice_comes_the_first_time_and_not_again_when_looked_at_in_between() -> None:
    schedule = Schedule("CRON", "30 2 * * *", "Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer time; an hour later it is 02:30 again
    assert next(firings(schedule, after=first - timedelta(hours=3))) == first
    for minutes in range(0, 180, 15):
        assert next(firings(schedule, after=first + timedelta(minutes=minutes))) == first + timedelta(
            hours=25
        )


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 6 * * MON-FRI", ""),
        ("0,15,30,45 * * * *", ""),
        ("50 9,11 * * *", ""),
        ("0 0 L * *", ""),
        ("*/5 * * * *", "less than 15 minutes apart"),
        ("0,14 3 * * *", "less than 15 minutes apart"),
        ("0,50 9-11 * * *", "less than 15 minutes apart"),
        ("5,55 0,23 * * *", "less than 15 minutes apart"),
        ("* * * * *", "less than 15 minutes apart"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("61 * * * *", "bad minute"),
        ("@daily", "five parts"),
        ("0 0 0 6 * *", "five parts"),
        ("", "five parts"),
        ("a b c d e", "bad minute"),
    ],
)
def test_cron_times_that_cannot_be_kept_are_refused_in_words(cron: str, says: str) -> None:
    problem = cron_problem(cron)
    assert (says in problem) if says else problem == ""


def test_slots_are_quarters_only_where_something_fires_off_the_hour() -> None:
    def minutes(*schedules: Schedule) -> int:
        return slot_minutes(schedules, at=BEGIN)

    assert minutes() == minutes(Schedule("HOUR"), Schedule("WEEK", time_zone="Europe/Berlin")) == 60
    assert minutes(Schedule("CRON", "0 6 * * *", "America/New_York"), Schedule("NEVER")) == 60
    assert minutes(Schedule("SIX_HOURS", time_zone="Asia/Kolkata")) == 60
    assert minutes(Schedule("HOUR"), Schedule("QUARTER")) == 15
    assert minutes(Schedule("CRON", "5 6 * * *")) == minutes(Schedule("DAY", time_zone="Asia/Kolkata")) == 15
    assert minutes(Schedule("CRON", "0 6 * * *", "Australia/Lord_Howe")) == 15


def test_what_cannot_be_understood_any_more_is_exported_every_hour() -> None:
    for bad in (
        Schedule("CRON", "no times"),
        Schedule("DAY", time_zone="Mars/Olympus"),
        Schedule("DAY", "", ""),
    ):
        assert usable(bad) == Schedule()
    good = Schedule("CRON", "0 6 * * *", "Europe/Berlin")
    assert usable(good) == good
