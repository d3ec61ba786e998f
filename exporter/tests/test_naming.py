"""Where files go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.naming import export_path, file_name, free_path

AT = datetime(2026, 8, 26, 14, tzinfo=UTC)
FIRST = "exports/orders/2026/08/26/orders_20260826T140000Z.csv"


@pytest.mark.case("O13")
def test_a_path_holds_dataset_and_utc_time() -> None:
    assert export_path("orders", AT) == FIRST
    assert export_path("orders", AT.astimezone(timezone(timedelta(hours=9)))) == FIRST


@pytest.mark.case("O13")
def test_a_second_file_of_one_second_has_another_name() -> None:
    second = free_path("orders", AT + timedelta(milliseconds=500), {FIRST})

    assert second == "exports/orders/2026/08/26/orders_20260826T140000Z_2.csv"
    assert free_path("orders", AT, {FIRST, second}).endswith("Z_3.csv")
    assert free_path("orders", AT, set()) == FIRST


@pytest.mark.case("T17")
@pytest.mark.parametrize(
    "slug", ["", "..", "a/b", "a\\b", "/a", "A", "a.b", "ä", "a\n", "%2e%2e", "-a", "．．"]
)
def test_a_slug_that_could_leave_its_folder_is_refused(slug: str) -> None:
    with pytest.raises(ValueError, match="slug"):
        export_path(slug, AT)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        export_path("orders", datetime(2026, 8, 26))  # noqa: DTZ001 -- what is refused


times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- as hypothesis wants


@given(times, times)
def test_names_sort_by_time(one: datetime, other: datetime) -> None:
    earlier, later = sorted([one.replace(microsecond=0), other.replace(microsecond=0)])

    assert (export_path("orders", earlier) < export_path("orders", later)) == (earlier < later)


def test_a_downloaded_file_is_called_as_it_is_stored() -> None:
    assert file_name(f"acme/{FIRST}") == "orders_20260826T140000Z.csv"
