"""Dates and times: only the forms that are named, only days of the calendar."""

import datetime as dt

import pytest

from datasets.columntypes import TYPES, BadValue, Reading
from datasets.spec import ColumnOptions, ColumnSpec

DAY = ColumnSpec(1, "Due", "date")
TIME = ColumnSpec(2, "Sent at", "timestamp")


def read(raw: str, column: ColumnSpec = DAY, date_order: str = "YMD") -> str:
    return TYPES[column.type].parse(raw, column, Reading(date_order=date_order))


def is_refused(raw: str, column: ColumnSpec = DAY, date_order: str = "YMD") -> bool:
    try:
        read(raw, column, date_order)
    except BadValue as refused:
        return refused.rule.endswith(".")
    return False


@pytest.mark.case("V08")
@pytest.mark.parametrize(
    ("raw", "order", "canonical"),
    [
        ("2026-12-31", "YMD", "2026-12-31"),
        (" 2026-12-31 ", "DMY", "2026-12-31"),
        ("31/12/2026", "DMY", "2026-12-31"),
        ("1.2.2026", "DMY", "2026-02-01"),
        ("12-31-2026", "MDY", "2026-12-31"),
        ("01/02/2026", "MDY", "2026-01-02"),
    ],
)
def test_a_date_is_read_in_the_order_of_the_reading(raw: str, order: str, canonical: str) -> None:
    assert read(raw, date_order=order) == canonical


@pytest.mark.case("V07")
@pytest.mark.parametrize("column", [DAY, TIME])
@pytest.mark.parametrize("raw", ["today", "now", "epoch", "infinity", "-infinity", "yesterday", "allballs"])
def test_words_postgresql_would_take_for_a_date_are_refused(raw: str, column: ColumnSpec) -> None:
    assert is_refused(raw, column)


@pytest.mark.case("V08")
@pytest.mark.parametrize(
    "raw",
    [
        "2024-W01-1",
        "20240101",
        "2024-001",
        "2024/01/01",
        "01/02/2003",
        "1 Jan 2024",
        "J2451187",
        "２０２４-01-01",
    ],
)
def test_a_form_the_reading_does_not_name_is_refused(raw: str) -> None:
    assert is_refused(raw)


@pytest.mark.case("V14")
@pytest.mark.parametrize("order", ["YMD", "DMY", "MDY"])
@pytest.mark.parametrize("raw", ["01/02/03", "26-12-31", "31.12.26", "1/2/026"])
def test_a_year_of_two_digits_is_refused(raw: str, order: str) -> None:
    assert is_refused(raw, date_order=order)


@pytest.mark.case("V08")
@pytest.mark.parametrize("raw", ["31/12-2026", "31.12/2026", "31/13/2026", "0/1/2026"])
def test_a_date_day_first_has_one_separator_and_a_month(raw: str) -> None:
    assert is_refused(raw, date_order="DMY")


@pytest.mark.case("V09")
def test_years_go_from_1_to_9999() -> None:
    assert (read("0001-01-01"), read("9999-12-31")) == ("0001-01-01", "9999-12-31")
    assert all(is_refused(raw) for raw in ["0000-12-31", "10000-01-01", "5874898-01-01", "0044-03-15 BC"])


@pytest.mark.case("V10")
def test_a_leap_day_is_one_only_in_leap_years() -> None:
    assert [read(raw) for raw in ["2024-02-29", "2000-02-29"]] == ["2024-02-29", "2000-02-29"]
    assert all(
        is_refused(raw) for raw in ["2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "2024-13-01"]
    )


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("2026-08-26T14:00:00Z", "2026-08-26T14:00:00Z"),
        ("2026-08-26 14:00:00+00", "2026-08-26T14:00:00Z"),
        ("2026-08-26 14:00:00", "2026-08-26T14:00:00Z"),
        ("2026-08-26 14:00", "2026-08-26T14:00:00Z"),
        ("2026-08-26T16:30:00+02:30", "2026-08-26T14:00:00Z"),
        ("2026-08-26T22:00:00-04", "2026-08-27T02:00:00Z"),
        ("2026-08-26T14:00:00.500Z", "2026-08-26T14:00:00.5Z"),
        ("2026-08-26T14:00:00.000001Z", "2026-08-26T14:00:00.000001Z"),
        ("2026-08-26T14:00:00.000000000Z", "2026-08-26T14:00:00Z"),
    ],
)
def test_a_time_is_kept_in_utc(raw: str, canonical: str) -> None:
    assert read(raw, TIME) == canonical


@pytest.mark.case("V12")
def test_a_time_without_a_zone_is_utc_and_no_hour_is_skipped_or_doubled() -> None:
    spring, autumn = "2026-03-29 02:30:00", "2026-10-25 02:30:00"

    assert [read(raw, TIME) for raw in (spring, autumn)] == ["2026-03-29T02:30:00Z", "2026-10-25T02:30:00Z"]


@pytest.mark.case("V11")
@pytest.mark.parametrize(
    "raw",
    [
        "2026-08-26 24:00:00",
        "2016-12-31 23:59:60",
        "2026-08-26 14:60:00",
        "2026-08-26 14:00:00.1234567",
        "2026-08-26 14:00:00+16:00",
        "2026-08-26 14:00:00 Europe/Berlin",
        "2026-08-26 2:00 PM",
        "2026-08-26t14:00:00z",
        "2026-08-26",
        "2026-02-30 14:00:00",
        "0001-01-01 00:00:00+14:00",
        "9999-12-31 23:59:59-01",
        "1756216800",
    ],
)
def test_a_time_the_clock_does_not_have_is_refused(raw: str) -> None:
    assert is_refused(raw, TIME)


def test_a_time_takes_the_day_in_the_order_of_the_reading() -> None:
    assert read("31/12/2026 14:00", TIME, "DMY") == "2026-12-31T14:00:00Z"


def test_first_and_last_day_are_allowed_themselves() -> None:
    column = ColumnSpec(1, "d", "date", options=ColumnOptions(minimum="2026-01-01", maximum="2026-12-31"))

    assert [read(raw, column) for raw in ("2026-01-01", "2026-12-31")] == ["2026-01-01", "2026-12-31"]
    assert is_refused("2025-12-31", column)
    assert is_refused("2027-01-01", column)


def test_stored_days_and_times_become_their_canonical_text() -> None:
    summer = dt.timezone(dt.timedelta(hours=2))

    assert TYPES["date"].to_text(dt.date(33, 4, 3)) == "0033-04-03"
    assert TYPES["timestamp"].to_text(dt.datetime(2026, 8, 26, 16, tzinfo=summer)) == "2026-08-26T14:00:00Z"
    assert TYPES["timestamp"].to_python("2026-08-26T14:00:00.5Z") == dt.datetime(
        2026, 8, 26, 14, 0, 0, 500_000, dt.UTC
    )
