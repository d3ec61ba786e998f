"""Checks across columns: one meaning in Python and in PostgreSQL, whatever the expression and the record."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.checks import (
    MAX_CHARACTERS,
    BadCheck,
    broken,
    by_labels,
    by_names,
    check_sql,
    columns_of,
    evaluated,
    parsed,
)
from datasets.columntypes import TYPES
from datasets.spec import CheckSpec, ColumnOptions, ColumnSpec, DatasetSpec

COLUMNS = (
    ColumnSpec(1, "Net", "decimal", options=ColumnOptions(precision=60, scale=20)),
    ColumnSpec(2, 'Tax "new"', "decimal", options=ColumnOptions(precision=10, scale=2)),
    ColumnSpec(3, "Pieces", "integer"),
    ColumnSpec(4, "Status", "choice", options=ColumnOptions(choices=("closed", "open"))),
    ColumnSpec(5, "Note", "text"),
    ColumnSpec(6, "Start date", "date"),
    ColumnSpec(7, "End date", "date"),
    ColumnSpec(8, "Closed at", "timestamp"),
    ColumnSpec(9, "Active", "boolean"),
)
SPEC = DatasetSpec(1, "made", "Made", COLUMNS, ())
TEXTS = st.sampled_from(["", "closed", "open", "a", "é", "z", "Z", "😀", "it's", " a", "\uffff", "%s {c}"])
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.sampled_from([date(2026, 1, 1), date(2026, 1, 2)])
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)) | st.just(  # noqa: DTZ001
    datetime(2026, 1, 1, tzinfo=UTC)
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)
SMALL = st.decimals(-5, 5, places=2)
LARGE = st.integers(-(10**59), 10**59).map(lambda units: Decimal(units).scaleb(-20)) | SMALL
VALUES = st.fixed_dictionaries({
    name: st.none() | values
    for name, values in {
        "c1": LARGE, "c2": SMALL, "c3": INTEGERS, "c4": st.sampled_from(["closed", "open"]), "c5": TEXTS, "c6": DATES,
        "c7": DATES, "c8": MOMENTS, "c9": st.booleans(),
    }.items()
})  # fmt: skip


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def pair(values: st.SearchStrategy[str], signs: str) -> st.SearchStrategy[str]:
    return st.tuples(values, st.sampled_from(signs.split()), values).map(lambda three: " ".join(three))


def numbers(depth: int) -> st.SearchStrategy[str]:
    plain = st.sampled_from(
        ['"Net"', '"Tax ""new"""', '"Pieces"', "0", "1.50", "-2", "- 0.01", "99999999999999999999"]
    )
    counts = pair(st.sampled_from(['"Start date"', '"End date"']), "-").map(lambda days: f"({days})")
    lengths = st.sampled_from(['length("Note")', 'length("Status")', "length('é😀')"])
    if not depth:
        return plain | counts | lengths
    return plain | counts | lengths | pair(numbers(depth - 1), "+ - *").map(lambda sum_: f"({sum_})")


def conditions(depth: int) -> st.SearchStrategy[str]:
    order = "= <> != < <= > >="
    texts = st.sampled_from(['"Note"', '"Status"']) | TEXTS.map(quoted)
    days = st.sampled_from(['"Start date"', '"End date"', "'2026-01-01'"])
    moments = st.sampled_from(['"Closed at"', "'2026-01-01T00:00:00Z'"])
    any_value = st.sampled_from(
        [f'"{name}"' for name in ("Net", "Note", "Start date", "Closed at", "Active")]
    )
    plain = st.one_of(
        pair(numbers(depth), order), pair(texts, order),
        pair(days, order).filter(lambda text: '"' in text),
        pair(moments, order).filter(lambda text: '"' in text), pair(st.sampled_from(['"Active"', "true"]), "= <>"),
        any_value.map(lambda value: f"{value} is empty"), any_value.map(lambda value: f"{value} is not empty"),
        st.lists(TEXTS.map(quoted), min_size=1, max_size=3).map(lambda few: f'"Note" in ({", ".join(few)})'),
        st.just('"Pieces" not in (1, -2, 0)'), st.just('"Active"'),
        st.just("\"Start date\" in ('2026-01-01')"),
    )  # fmt: skip
    if not depth:
        return plain
    inner = conditions(depth - 1)
    return st.one_of(
        plain, pair(inner, "and or AND Or").map(lambda both: f"({both})"), inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, inner).map(lambda both: f"(if {both[0]} then {both[1]})"),
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.usefixtures("as_acme")
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conditions(3).filter(lambda text: '"' in text), st.lists(VALUES, min_size=1, max_size=6))
def test_python_and_postgresql_agree_on_every_record_what_is_unknown_too(text: str, rows: list[dict]) -> None:
    check = CheckSpec(1, "Made", by_names(text, COLUMNS))
    node = parsed(check.expression, COLUMNS)
    assert node == parsed(text, COLUMNS, by_name=False)
    assert by_names(by_labels(check.expression, COLUMNS), COLUMNS) == check.expression
    casts = ", ".join(f"(%s)::{TYPES[column.type].sql_type(column)}" for column in COLUMNS)
    names = ", ".join(column.name for column in COLUMNS)
    table = ", ".join(f"({number}, {casts})" for number in range(len(rows)))
    sql = check_sql(check, SPEC, lambda name: f'"{name}"').replace("%", "%%")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT array_agg({sql} ORDER BY at) FROM (VALUES {table}) t (at, {names})",
            [row[column.name] for row in rows for column in COLUMNS],
        )
        assert cursor.fetchone()[0] == [evaluated(node, row) for row in rows]


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "the check is empty"),
        ("1 = 1", 1, "reads no column"),
        ('"Nett" > 0', 1, 'there is no column "Nett"'),
        ("Net > 0", 1, "labels stand in \"double quotes\""),
        ("c1 > 0", 1, "“c1” is no word"),
        ('"Net" > ', 9, "the check ends where"),
        ('"Net" > \'5\'', 7, "compares a number with a text"),
        ('"Note" + 1 = 2', 8, "“+” is for numbers, and here is a text"),
        ('"Net"', 1, "a check is true or false, and this is a number; compare it"),
        ('"Net" and "Active"', 1, "beside “and” stands a number"),
        ('"Active" < true', 10, "no order"),
        ('"Start date" > \'31/12/2026\'', 14, "beside a date is none; write it as '2026-12-31'"),
        ('"Start date" + 1 > "End date"', 14, "here is a date"),
        ('("Net" > 0', 11, "“)” is missing to close the “(” at 1"),
        ('"Net" > 0)', 10, "does not go on"),
        ('"Net" is full', 10, "“empty” is missing"),
        ('if "Active" or "Net" > 0', 25, "“then” is missing"),
        ('"Note" in ("Status")', 12, "numbers and texts only"),
        ('length("Net") > 2', 8, "counts the characters of a text"),
        ('"Net" > 0; drop', 10, "“;” means nothing here"),
        ("\"Note\" = 'it", 10, "“'” is never closed"),
        ('"Net" > 1e5', 10, "does not go on"),
        ('"Net" < ' + "9" * 41, 9, "40 digits"),
        ("(" * 40 + '"Active"' + ")" * 40, 27, "25 deep"),
        ("or".join(['"Active"'] * 180), 1501, "make two of it"),
        ("x" * (MAX_CHARACTERS + 1), 1, "2,000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_check_is_refused_with_its_place(text: str, at: int, words: str) -> None:
    with pytest.raises(BadCheck) as refused:
        parsed(text, COLUMNS, by_name=False)
    assert words in refused.value.rule
    assert refused.value.at == at


def test_a_check_over_no_value_holds_unless_it_says_otherwise() -> None:
    def verdict(text: str, **values: object) -> object:
        return evaluated(parsed(text, COLUMNS, by_name=False), values)

    nothing = dict.fromkeys(column.name for column in COLUMNS)
    assert verdict('"Start date" <= "End date"', **nothing) is None
    closed = '"Status" <> \'closed\' or "Closed at" is not empty'
    assert [verdict(closed, **{**nothing, "c4": status}) for status in (None, "open", "closed")] == [
        None,
        True,
        False,
    ]
    same = 'if "Status" = \'closed\' then "Closed at" is not empty'
    assert [verdict(same, **{**nothing, "c4": status}) for status in (None, "open", "closed")] == [
        None,
        True,
        False,
    ]
    assert verdict('"Note" is empty', c5="") is True
    assert verdict('"Net" + "Tax ""new""" = 0.3', c1=Decimal("0.1"), c2=Decimal("0.2")) is True


def test_what_a_record_breaks_is_told_by_labels_of_today() -> None:
    checks = (
        CheckSpec(1, "In order", by_names('"Start date" <= "End date"', COLUMNS)),
        CheckSpec(2, "Noted", "length(c5) > 2 and c1 < 5", "Write a longer note."),
        CheckSpec(3, "Fine", "c3 > 0"),
    )
    columns = tuple(
        ColumnSpec(c.pk, "Begin" if c.pk == 6 else c.label, c.type, options=c.options) for c in COLUMNS
    )
    spec = DatasetSpec(1, "made", "Made", columns, (), checks)
    days = {"c6": date(2026, 5, 2), "c7": date(2026, 5, 1)}
    values = {**days, "c5": "x" * 61, "c1": Decimal(7), "c3": None}
    assert [(one.rule, one.labels, one.values) for one in broken(spec, values)] == [
        ('In order: "Begin" <= "End date" must hold.', ("Begin", "End date"),
         "Begin: 2026-05-02; End date: 2026-05-01"),
        ("Noted: Write a longer note.", ("Note", "Net"), f"Note: {'x' * 60}; Net: 7"),
    ]  # fmt: skip
    assert columns_of(parsed("c5 = 'a' or length(c5) > 2 and c1 > 0", COLUMNS)) == ("c5", "c1")
