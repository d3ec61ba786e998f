"""Which files go, and above all which stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.retention import Candidate, Policy, expired

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def hourly(count: int, group: str = "orders", first_pk: int = 1) -> list[Candidate]:
    """Return files of the last hours, the newest first."""
    return [Candidate(first_pk + n, group, NOW - timedelta(hours=n)) for n in range(count)]


def pks(files: list[Candidate]) -> list[int]:
    return [file.pk for file in files]


def test_a_file_older_than_the_days_expires() -> None:
    old = Candidate(9, "orders", NOW - timedelta(days=30, seconds=1))
    on_the_day = Candidate(8, "orders", NOW - timedelta(days=30))

    assert expired([*hourly(1), old, on_the_day], Policy(30, 0), now=NOW) == [old]


@pytest.mark.case("O14")
def test_only_the_newest_files_of_each_dataset_stay() -> None:
    files = hourly(5) + hourly(2, "parts", first_pk=11)

    assert pks(expired(files, Policy(0, 3), now=NOW)) == [5, 4]


@pytest.mark.case("O14")
def test_the_newest_good_file_stays_however_old_it_is() -> None:
    years_ago = NOW - timedelta(days=2000)
    good, damaged = (
        Candidate(1, "orders", years_ago),
        Candidate(2, "orders", years_ago + timedelta(1), is_good=False),
    )

    assert expired([good, damaged], Policy(30, 1), now=NOW) == [damaged]


def test_zero_switches_a_limit_off() -> None:
    assert (
        expired(
            [Candidate(1, "orders", NOW - timedelta(days=9999)), *hourly(3, first_pk=2)],
            Policy(0, 0),
            now=NOW,
        )
        == []
    )


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Policy(-1, 5)


candidates = st.builds(
    Candidate,
    pk=st.integers(),
    group=st.sampled_from(["orders", "parts", 7]),
    created_at=st.integers(-100_000, 0).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    is_good=st.booleans(),
)
histories = st.lists(candidates, max_size=40, unique_by=lambda file: file.pk)
policies = st.builds(Policy, keep_days=st.integers(0, 40), keep_count=st.integers(0, 10))


@given(histories, policies)
def test_the_policys_promise_holds_for_any_history(files: list[Candidate], policy: Policy) -> None:
    gone = expired(files, policy, now=NOW)

    kept = [file for file in files if file not in gone]
    oldest_kept = NOW - timedelta(days=policy.keep_days)
    for group in {file.group for file in files}:
        mine = sorted(
            (f for f in files if f.group == group), key=lambda f: (f.created_at, f.pk), reverse=True
        )
        last_good = next((file for file in mine if file.is_good), None)
        within = mine[: policy.keep_count] if policy.keep_count else mine
        for file in mine:
            is_young = not policy.keep_days or file.created_at >= oldest_kept
            assert (file in kept) == (file is last_good or (is_young and file in within))


@given(histories, policies)
def test_pruning_again_removes_nothing_more(files: list[Candidate], policy: Policy) -> None:
    gone = set(expired(files, policy, now=NOW))

    assert expired([file for file in files if file not in gone], policy, now=NOW) == []


@given(histories, policies, st.integers(0, 5))
def test_a_half_done_run_is_finished_by_the_next(files: list[Candidate], policy: Policy, done: int) -> None:
    gone = expired(files, policy, now=NOW)
    left = [file for file in files if file not in gone[:done]]

    assert expired(left, policy, now=NOW) == gone[done:]
