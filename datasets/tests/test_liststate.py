"""What an address of a list says, and what it means: periods, canonical addresses, forms."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.liststate import (
    OPERATORS,
    PERIODS,
    UnknownParameter,
    days_of,
    from_form,
    operators_of,
    read_state,
)
from datasets.spec import ColumnOptions, ColumnSpec

COLUMNS = (
    ColumnSpec(1, "Name", "text"),
    ColumnSpec(2, "Amount", "decimal", options=ColumnOptions(precision=10, scale=2)),
    ColumnSpec(3, "Pieces", "integer", is_required=True),
    ColumnSpec(4, "Paid", "boolean"),
    ColumnSpec(5, "Day", "date"),
    ColumnSpec(6, "Moment", "timestamp"),
    ColumnSpec(7, "State", "choice", options=ColumnOptions(choices=("new", "done"))),
)
JUNK = st.text(max_size=12) | st.sampled_from(
    [
        "5",
        "-0",
        "1e9",
        "NaN",
        "yes",
        "today",
        "2026-02-28",
        "2026-02-30",
        "2026-02-28 14:00",
        "true",
        "new",
        "²",
    ]
)
NAMES = st.builds(
    lambda number, operator: f"c{number}__{operator}", st.integers(0, 9), st.sampled_from(OPERATORS)
) | st.sampled_from(["q", "sort", "cols", "n"])


@pytest.mark.parametrize(
    ("period", "today", "first", "last"),
    [
        ("yesterday", "2026-03-01", "2026-02-28", "2026-02-28"),
        ("last-7-days", "2026-03-01", "2026-02-23", "2026-03-01"),
        ("next-30-days", "2026-12-31", "2027-01-01", "2027-01-30"),
        ("this-week", "2026-11-29", "2026-11-23", "2026-11-29"),
        ("last-month", "2028-03-31", "2028-02-01", "2028-02-29"),
        ("next-month", "2026-12-31", "2027-01-01", "2027-01-31"),
        ("last-quarter", "2026-01-01", "2025-10-01", "2025-12-31"),
        ("this-quarter", "2026-11-28", "2026-10-01", "2026-12-31"),
        ("next-quarter", "2026-11-28", "2027-01-01", "2027-03-31"),
        ("last-year", "2028-02-29", "2027-01-01", "2027-12-31"),
    ],
)
def test_a_period_is_counted_from_the_day_it_is_asked(period: str, today: str, first: str, last: str) -> None:
    found = days_of(period, dt.date.fromisoformat(today))
    assert found == (dt.date.fromisoformat(first), dt.date.fromisoformat(last))


@given(day=st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)))
def test_every_period_is_a_stretch_of_days_and_neighbours_touch(day: dt.date) -> None:
    assert all(first <= last for first, last in (days_of(period, day) for period in PERIODS))
    for unit in ("week", "month", "quarter", "year"):
        before, this, after = (days_of(f"{which}-{unit}", day) for which in ("last", "this", "next"))
        assert this[0] <= day <= this[1]
        assert before[1] + dt.timedelta(1) == this[0] and this[1] + dt.timedelta(1) == after[0]


@given(parameters=st.lists(st.tuples(NAMES, st.lists(JUNK, min_size=1, max_size=3)), max_size=6))
def test_the_address_of_a_list_reads_as_the_same_list(parameters: list[tuple[str, list[str]]]) -> None:
    asked = dict(parameters)
    state = read_state(asked.items(), COLUMNS).without_unknown()
    grouped: dict[str, list[str]] = {}
    for name, value in state.pairs():
        grouped.setdefault(name, []).append(value)
    again = read_state(grouped.items(), COLUMNS)
    assert (again.pairs(), again.conditions) == (state.pairs(), state.conditions)


@pytest.mark.parametrize(
    "name", ["x", "c1", "c1__regex", "c1__exact", "c1__is__in", "id__is", "c²__is", "c1__is "]
)
def test_a_parameter_that_no_list_knows_is_refused(name: str) -> None:
    with pytest.raises(UnknownParameter):
        read_state([(name, ["1"])], COLUMNS)


def test_a_form_becomes_the_shortest_address() -> None:
    name, amount, _pieces, paid, *_ = COLUMNS
    filled = {"contains": ["  "], "starts": ["A"], "is": ["Ada\nGrace\n\n"], "empty": [""]}
    assert from_form(name, filled) == [("c1__starts", ["A"]), ("c1__is", ["Ada", "Grace"])]
    assert from_form(amount, {"from": [""], "to": ["5"], "contains": ["x"]}) == [("c2__to", ["5"])]
    assert from_form(paid, {"is": ["", "true"]}) == [("c4__is", ["", "true"])]


def test_a_required_column_is_not_asked_whether_it_has_a_value() -> None:
    asked = {column.label: operators_of(column) for column in COLUMNS}
    assert asked == {
        "Name": ("contains", "starts", "is", "empty"),
        "Amount": ("from", "to", "is", "empty"),
        "Pieces": ("from", "to", "is"),
        "Paid": ("is", "empty"),
        "Day": ("from", "to", "when", "empty"),
        "Moment": ("from", "to", "when", "empty"),
        "State": ("is", "empty"),
    }
