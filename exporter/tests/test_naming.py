"""Where files go."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.naming import (
    DEFAULT_PATTERN,
    BadPattern,
    check_pattern,
    example,
    export_path,
    file_name,
    free_path,
    path_of_try,
)

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


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (DEFAULT_PATTERN, "orders/2026/08/26/orders_20260826T140000Z.csv"),
        ("year={yyyy}/{hh}/{time}-{dataset}-{run}.{ext}", "year=2026/14/20260826T140000Z-orders-1.csv"),
        ("{content}/all_{dataset}_{time}.{ext}", "full/all_orders_20260826T140000Z.csv"),
    ],
)
def test_a_pattern_says_how_files_are_called(pattern: str, name: str) -> None:
    assert example(pattern) == f"exports/{name}"


@pytest.mark.case("T17")
@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{dataset}/{date}_{time}.{ext}", "{date} means nothing here"),
        ("../{dataset}_{time}.{ext}", "lead out of the folder"),
        ("/{dataset}_{time}.{ext}", "needs a name"),
        ("{dataset}//{time}.{ext}", "needs a name"),
        ("_runs/{dataset}_{time}.{ext}", "none may begin with _"),
        ("{dataset}_{time}.csv", "must end with .{ext}"),
        ("{dataset}_{time}", "must end with .{ext}"),
        ("{dataset} {time}.{ext}", "and not a space"),
        ("{dataset}.v1_{time}.{ext}", "and not ."),
        ("{dataset}\\{time}.{ext}", "and not \\"),
        ("{dataset}_ä%2e{time}.{ext}", "and not % ä"),
        ("{dataset}{_{time}.{ext}", "and not {"),
        ("{yyyy}/{time}.{ext}", "Put {dataset} somewhere"),
        ("{time}/{dataset}.{ext}", "Put {time} into the file's name"),
        ("{dataset}_{run}_{time}.{ext}", "Before {time} only text"),
        ("{dataset}/" * 5 + "{time}.{ext}", "more than 400 characters"),
    ],
)
def test_a_pattern_that_could_not_be_used_is_refused_with_what_to_write(pattern: str, says: str) -> None:
    with pytest.raises(BadPattern, match=re.escape(says)):
        check_pattern(pattern)


PART = st.sampled_from(["{yyyy}", "{run}", "{content}", "{hh}", "{dataset}", "-", "_2", "x", "/"])
PATTERNS = st.builds(
    lambda folder, before, after: f"{folder}a{before}{{time}}{after}{{dataset}}.{{ext}}",
    st.lists(PART, max_size=4).map("".join),
    st.sampled_from(["", "{dataset}-", "x_"]),
    st.lists(PART, max_size=2).map(lambda parts: "".join(parts).replace("/", "")),
)
SLUGS = st.sampled_from(["a", "a-2", "a-2-2", "b"])


@pytest.mark.case("O13")
@given(st.lists(st.tuples(PATTERNS, SLUGS, st.sampled_from(["FULL", "INCREMENTAL"])), min_size=2, max_size=6))
def test_no_two_files_or_tries_of_a_second_have_one_name(files: list[tuple[str, str, str]]) -> None:
    taken: set[str] = set()
    for pattern, slug, kind in files:
        try:
            check_pattern(pattern)
        except BadPattern:
            continue
        taken.add(path := free_path(slug, AT, taken, pattern=pattern, content=kind, run=7))
        assert path.startswith("exports/")
    tries = [path_of_try(path, number) for path in taken for number in range(1, 4)]
    assert len(set(tries)) == len(tries) == 3 * len(taken)
