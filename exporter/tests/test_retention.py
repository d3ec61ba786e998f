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


def test_files_beyond_a_size_expire_from_the_oldest_on() -> None:
    files = [
        Candidate(n, "orders", NOW - timedelta(hours=n), bytes=size) for n, size in enumerate([40, 50, 20, 1])
    ]

    assert pks(expired(files, Policy(keep_bytes=100), now=NOW)) == [3, 2]


def test_one_file_of_each_day_and_month_stays_though_it_is_past_a_limit() -> None:
    files = [Candidate(n, "orders", NOW - timedelta(hours=12 * n)) for n in range(1, 200)]

    kept = [
        file for file in files if file not in expired(files, Policy(1, keep_daily=3, keep_monthly=2), now=NOW)
    ]

    # Noon and midnight alternate; midnight begins a day, so that its last file is the one of noon.
    assert [f"{file.created_at:%m-%d %H}" for file in kept] == [
        "11-20 00",
        "11-19 12",
        "11-18 12",
        "10-31 12",
    ]


@pytest.mark.case("O14")
def test_a_file_that_another_builds_on_stays_with_it_and_goes_after_it() -> None:
    full = Candidate(1, "orders", NOW - timedelta(days=9))
    first = Candidate(2, "orders", NOW - timedelta(days=8), base=1)
    last = Candidate(3, "orders", NOW - timedelta(days=1), base=2)
    newest = Candidate(4, "orders", NOW)

    assert expired([full, first, last, newest], Policy(5), now=NOW) == []
    assert pks(expired([full, first, last, newest], Policy(keep_count=1), now=NOW)) == [3, 2, 1]


@st.composite
def histories_of(draw: st.DrawFn) -> list[Candidate]:
    """Return files of up to three datasets, some incremental: each such goes on from an older one of its own."""
    files: list[Candidate] = []
    for pk in range(draw(st.integers(0, 40))):
        group = draw(st.sampled_from(["orders", "parts", 7]))
        at = NOW - timedelta(minutes=draw(st.integers(0, 100_000)))
        older = [file.pk for file in files if file.group == group and file.created_at < at]
        base = draw(st.sampled_from([None, *older]))
        files.append(Candidate(pk, group, at, draw(st.booleans()), draw(st.integers(0, 50)), base))
    return draw(st.permutations(files))


histories = histories_of()
policies = st.builds(
    Policy,
    keep_days=st.integers(0, 40),
    keep_count=st.integers(0, 10),
    keep_bytes=st.integers(0, 300),
    keep_daily=st.integers(0, 8),
    keep_monthly=st.integers(0, 3),
)


@given(histories, policies)
def test_the_policys_promise_holds_for_any_history(files: list[Candidate], policy: Policy) -> None:
    gone = {file.pk for file in expired(files, policy, now=NOW)}

    assert {file.pk for file in files if must_stay(file, files, policy)} == {file.pk for file in files} - gone


def must_stay(file: Candidate, files: list[Candidate], policy: Policy) -> bool:
    """Say it in the words of the promise, file by file, without the code's shortcuts."""
    mine = [one for one in files if one.group == file.group]
    newer = [one for one in mine if (one.created_at, one.pk) > (file.created_at, file.pk)]
    newer_good = [one for one in newer if one.is_good]
    is_young = not policy.keep_days or NOW - file.created_at <= timedelta(days=policy.keep_days)
    is_among_the_last = not policy.keep_count or len(newer) < policy.keep_count
    fits = not policy.keep_bytes or file.bytes + sum(one.bytes for one in newer) <= policy.keep_bytes
    if is_young and is_among_the_last and fits:
        return True
    if file.is_good and not newer_good:
        return True
    for count, form in ((policy.keep_daily, "%Y-%m-%d"), (policy.keep_monthly, "%Y-%m")):
        of_file = file.created_at.strftime(form)
        periods = {one.created_at.strftime(form) for one in newer_good}
        if file.is_good and of_file not in periods and len(periods) < count:
            return True
    return any(must_stay(one, files, policy) for one in mine if one.base == file.pk)


@given(histories, policies)
def test_nothing_goes_before_what_builds_on_it(files: list[Candidate], policy: Policy) -> None:
    gone = pks(expired(files, policy, now=NOW))

    assert len(set(gone)) == len(gone)
    bases = {file.pk: file.base for file in files}
    assert all(gone.index(pk) < gone.index(base) for pk in gone if (base := bases[pk]) in gone)


@given(histories, policies)
def test_each_dataset_is_judged_by_its_own_policy(files: list[Candidate], policy: Policy) -> None:
    everything = Policy()

    gone = expired(files, lambda group: policy if group == "orders" else everything, now=NOW)

    assert gone == expired([file for file in files if file.group == "orders"], policy, now=NOW)


@given(histories, policies)
def test_pruning_again_removes_nothing_more(files: list[Candidate], policy: Policy) -> None:
    gone = set(expired(files, policy, now=NOW))

    assert expired([file for file in files if file not in gone], policy, now=NOW) == []


@given(histories, policies, st.integers(0, 5))
def test_a_half_done_run_is_finished_by_the_next(files: list[Candidate], policy: Policy, done: int) -> None:
    gone = expired(files, policy, now=NOW)
    left = [file for file in files if file not in gone[:done]]

    assert set(expired(left, policy, now=NOW)) == set(gone[done:])
