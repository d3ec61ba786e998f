"""The vectorised screen against the scalar truth: it may pass only what `check_cell` accepts unchanged."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.columntypes import TYPES, BadValue, Reading, check_cell
from datasets.columntypes.base import ColumnType
from datasets.columntypes.integer import Integer
from datasets.spec import ColumnOptions, ColumnSpec

OPTIONS = {
    "text": [ColumnOptions(), ColumnOptions(max_length=3)],
    "long_text": [ColumnOptions()],
    "integer": [ColumnOptions(), ColumnOptions(minimum="-5"), ColumnOptions(minimum="0", maximum="1000")],
    "decimal": [
        ColumnOptions(),
        ColumnOptions(4, 2),
        ColumnOptions(3, 3),
        ColumnOptions(5, 0),
        ColumnOptions(38, 10, minimum="-0.5000000000", maximum="99.0000000000"),
        ColumnOptions(60, 30),
    ],
    "boolean": [ColumnOptions()],
    "date": [ColumnOptions(), ColumnOptions(minimum="1999-12-31", maximum="2026-06-30")],
    "timestamp": [
        ColumnOptions(),
        ColumnOptions(minimum="2026-08-26T14:00:00Z", maximum="2026-08-26T14:00:00.5Z"),
    ],
    "choice": [ColumnOptions(choices=("new", "NA", " a", "it's")), ColumnOptions()],
}
READINGS = [
    Reading(),
    Reading(decimal_mark=",", group_mark="."),
    Reading(group_mark=","),
    Reading(
        date_order="DMY", null_words=("NA", "-1", "true", "2026-01-01", "0.00"), true_words=("ja", "false")
    ),
    Reading(date_order="MDY", true_words=("n", "1"), false_words=("N", "nein")),
]
NASTY = [
    "",
    " ",
    "0",
    "-0",
    "00",
    "+5",
    " 7 ",
    "7\n",
    "1.0",
    "-0.00",
    "-0.01",
    "0.5",
    ".5",
    "5.",
    "1.5",
    "1.50",
    "1.500",
    "99.0000000000",
    "1,5",
    "1.234",
    "1.234,56",
    "1e3",
    "0x1F",
    "1_000",
    "NaN",
    "Infinity",
    "１２３",
    "٣",
    "999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "12345678901234567890",
    "NA",
    "N/A",
    "null",
    "a\0b",
    "é",
    "e\u0301",
    "\u2028",
    "🏳️‍🌈🏳️‍🌈",
    "true",
    "TRUE",
    "True",
    "yes",
    "of",
    "ja",
    "JA",
    "n",
    "N",
    "y",
    "2026-01-01",
    "2026-01-01\n",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "2023-02-29",
    "2024-02-29",
    "1900-02-29",
    "2026-04-31",
    "2026-1-1",
    "31/12/2026",
    "12/31/2026",
    "01/02/03",
    "today",
    "infinity",
    "2026-08-26T14:00:00Z",
    "2026-08-26 14:00:00Z",
    "2026-08-26 14:00:00+00",
    "2026-08-26 14:00:00-00:00",
    "2026-08-26 14:00",
    "2026-08-26T14:00:00.5Z",
    "2026-08-26T14:00:00.50Z",
    "2026-08-26T14:00:00.000Z",
    "2026-08-26T14:00:00.0000001Z",
    "2026-08-26T16:00:00+02:00",
    "2026-08-26T24:00:00Z",
    "2016-12-31T23:59:60Z",
    "2024-02-29T00:00:00Z",
    "new",
    "New",
    " a",
    "it's",
]
DIGITS = st.text("0123456789.,-+ eE", max_size=12)
NEAR = st.builds(
    lambda value, at, extra: value[: at % (len(value) + 1)] + extra + value[at % (len(value) + 1) :],
    st.sampled_from(NASTY),
    st.integers(0, 40),
    st.sampled_from(["", "0", "-", ".", " ", "\n", "9", "Z", "\u00a0", "１"]),
)
VALUES = st.lists(
    st.one_of(
        st.sampled_from(NASTY),
        NEAR,
        DIGITS,
        st.integers(-(2**65), 2**65).map(str),
        st.decimals(allow_nan=True, allow_infinity=True).map(str),
        st.dates().map(str),
        st.datetimes().map(str),
        st.datetimes(timezones=st.timezones()).map(str),
        st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
        st.text(max_size=6),
    ),
    min_size=1,
    max_size=30,
)
COLUMNS = st.sampled_from(
    [
        ColumnSpec(1, "c", name, is_required=required, options=options)
        for name, made in OPTIONS.items()
        for options in made
        for required in (False, True)
    ]
)


def truth(raw: str, column: ColumnSpec, reading: Reading) -> str | None:
    """Return the canonical text, or None when there is no value or a bad one."""
    try:
        return check_cell(raw, column, reading)
    except BadValue:
        return None


def wrongly_passed(
    kind: ColumnType, values: list[str], column: ColumnSpec, reading: Reading
) -> list[tuple[str, str | None]]:
    """Return each value the screen passes although the truth refuses or changes it, with the truth."""
    passes = kind.screen(pl.col("v"), column, reading)
    if passes is None:
        return []
    passed = pl.DataFrame({"v": values}).filter(passes)["v"].to_list()
    truths = [(value, truth(value, column, reading)) for value in passed]
    return [(value, canonical) for value, canonical in truths if canonical != value]


@settings(deadline=None)
@given(values=VALUES, column=COLUMNS, reading=st.sampled_from(READINGS))
def test_a_screen_passes_only_what_is_accepted_unchanged(
    values: list[str], column: ColumnSpec, reading: Reading
) -> None:
    assert wrongly_passed(TYPES[column.type], values, column, reading) == []


@settings(deadline=None)
@given(values=VALUES, column=COLUMNS, reading=st.sampled_from(READINGS))
def test_a_conversion_gives_the_canonical_text_or_nothing(
    values: list[str], column: ColumnSpec, reading: Reading
) -> None:
    converted = TYPES[column.type].convert(pl.col("v"), column, reading)
    if converted is None:
        return

    made = pl.DataFrame({"v": values}).select(converted)["v"].to_list()

    sure = [(value, text) for value, text in zip(values, made, strict=True) if text is not None]
    assert sure == [(value, truth(value, column, reading)) for value, _ in sure]


@settings(deadline=None)
@given(values=VALUES, column=COLUMNS, reading=st.sampled_from(READINGS))
def test_a_canonical_text_is_read_as_itself(values: list[str], column: ColumnSpec, reading: Reading) -> None:
    plain = replace(reading, null_words=(), true_words=(), false_words=(), decimal_mark=".", group_mark="")
    for value in values:
        canonical = truth(value, column, reading)
        if canonical:
            kind = TYPES[column.type]
            assert check_cell(canonical, column, plain) == canonical
            assert kind.to_text(kind.to_python(canonical)) == canonical


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", ["a", " b ", "x\ny"]),
        ("integer", ["0", "-7", "999999999999999999"]),
        ("decimal", ["0.000000", "-1.500000"]),
        ("boolean", ["true", "false"]),
        ("date", ["2026-12-31", "0001-01-01"]),
        ("timestamp", ["2026-08-26T14:00:00Z", "2026-08-26T14:00:00.5Z"]),
        ("choice", ["new", "it's"]),
    ],
)
def test_a_screen_passes_what_is_plain(name: str, values: list[str]) -> None:
    column = ColumnSpec(1, "c", name, options=OPTIONS[name][0])
    passes = TYPES[name].screen(pl.col("v"), column, Reading())

    assert passes is not None
    assert pl.DataFrame({"v": values}).select(passes.alias("ok"))["ok"].to_list() == [True] * len(values)


@pytest.mark.parametrize(
    ("name", "raw", "canonical"),
    [
        ("decimal", ["1.5", "-3", "0", "-0.01"], ["1.500000", "-3.000000", "0.000000", "-0.010000"]),
        ("boolean", ["Yes", "NO", "1", "f"], ["true", "false", "true", "false"]),
        (
            "timestamp",
            ["2026-08-26 14:00:00+00", "2026-08-26 14:00:00", "2026-08-26T14:00:00.5Z"],
            ["2026-08-26T14:00:00Z", "2026-08-26T14:00:00Z", "2026-08-26T14:00:00.5Z"],
        ),
    ],
)
def test_a_conversion_takes_the_forms_most_files_write(
    name: str, raw: list[str], canonical: list[str]
) -> None:
    column = ColumnSpec(1, "c", name)
    converted = TYPES[name].convert(pl.col("v"), column, Reading())

    assert converted is not None
    assert pl.DataFrame({"v": raw}).select(converted.alias("made"))["made"].to_list() == canonical


def test_a_screen_says_false_and_not_null_for_no_value() -> None:
    for name, (options, *_) in OPTIONS.items():
        passes = TYPES[name].screen(pl.col("v"), ColumnSpec(1, "c", name, options=options), Reading())
        assert passes is not None
        frame = pl.DataFrame({"v": [None]}, schema={"v": pl.String})
        assert frame.select(passes.alias("ok"))["ok"].to_list() == [False]


class TrustsTheCast(Integer):
    """A wrong screen: what polars can read as a number is not what we accept unchanged."""

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        return values.cast(pl.Int64, strict=False).is_not_null()


def test_the_comparison_catches_a_wrong_screen() -> None:
    caught = wrongly_passed(TrustsTheCast(), NASTY, ColumnSpec(1, "c", "integer"), Reading())

    assert ("00", "0") in caught
    assert ("+5", "5") in caught
