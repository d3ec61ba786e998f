"""Whole and decimal numbers: what is read, what it becomes, what is refused."""

from decimal import Decimal
from typing import Any

import pytest

from datasets.columntypes import TYPES, BadValue, Reading
from datasets.spec import ColumnOptions, ColumnSpec

INTEGER = ColumnSpec(1, "Pieces", "integer")
PRICE = ColumnSpec(2, "Price", "decimal", options=ColumnOptions(precision=10, scale=2))
GERMAN = Reading(decimal_mark=",", group_mark=".")
ENGLISH = Reading(group_mark=",")


def read(raw: str, column: ColumnSpec, reading: Reading | None = None) -> str:
    return TYPES[column.type].parse(raw, column, reading or Reading())


def refusal(raw: str, column: ColumnSpec, reading: Reading | None = None) -> BadValue:
    with pytest.raises(BadValue) as caught:
        read(raw, column, reading)
    return caught.value


@pytest.mark.case("V02")
@pytest.mark.parametrize(
    ("raw", "canonical"),
    [("7", "7"), ("+5", "5"), (" 7 ", "7"), ("-007", "-7"), ("000", "0"), ("-0", "0"), ("\t12\r\n", "12")],
)
def test_a_whole_number_loses_plus_zeros_and_spaces(raw: str, canonical: str) -> None:
    assert read(raw, INTEGER) == canonical


@pytest.mark.case("V02")
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("1.0", "without decimals"),
        (".5", "without decimals"),
        ("1e3", "without an exponent"),
        ("0x1F", "decimal digits"),
        ("1_000", "underscores"),
        ("１２３", "digits 0 to 9"),
        ("٣", "digits 0 to 9"),
        ("²", "digits 0 to 9"),
        ("1,234", "decimal mark"),
        ("1 234", "decimal mark"),
        ("--1", "in digits"),
        ("+-1", "in digits"),
        ("+", "in digits"),
        ("\u00a07", "in digits"),
        ("N/A", "in digits"),
    ],
)
def test_other_ways_to_write_a_whole_number_are_refused_with_what_to_write(raw: str, says: str) -> None:
    refused = refusal(raw, INTEGER)

    assert says in refused.rule
    assert refused.code == "type-error"


def test_whole_numbers_end_where_bigint_ends() -> None:
    assert read("9223372036854775807", INTEGER) == "9223372036854775807"
    assert read("-9223372036854775808", INTEGER) == "-9223372036854775808"
    assert "use a text column" in refusal("9223372036854775808", INTEGER).rule
    assert "use a text column" in refusal("-9223372036854775809", INTEGER).rule


@pytest.mark.case("V04")
@pytest.mark.parametrize("column", [INTEGER, PRICE])
@pytest.mark.parametrize("raw", ["1e131072", "1e99999999", "1E+4000000", "9" * 1_000_000, "0x" + "F" * 9999])
def test_a_number_that_would_fill_the_memory_is_refused(raw: str, column: ColumnSpec) -> None:
    assert refusal(raw, column).rule


def test_a_million_leading_zeros_are_only_zeros() -> None:
    assert read("0" * 1_000_000 + "7", INTEGER) == "7"


@pytest.mark.case("V03")
@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("1.5", "1.50"),
        ("1", "1.00"),
        ("1.500000", "1.50"),
        (".5", "0.50"),
        ("+01.2", "1.20"),
        ("-0.00", "0.00"),
        ("99999999.99", "99999999.99"),
    ],
)
def test_a_decimal_is_written_as_postgresql_writes_it(raw: str, canonical: str) -> None:
    assert read(raw, PRICE) == canonical


@pytest.mark.case("V03")
def test_too_many_decimals_are_an_error_and_never_rounded() -> None:
    refused = refusal("1.005", PRICE)

    assert (refused.code, refused.rule) == (
        "constraint-error",
        "Too many decimals: this column holds 2. Round the number yourself.",
    )


def test_a_decimal_too_large_for_its_digits_is_refused() -> None:
    assert "8 digits before" in refusal("100000000", PRICE).rule


@pytest.mark.case("V05")
@pytest.mark.parametrize("column", [INTEGER, PRICE])
@pytest.mark.parametrize("raw", ["NaN", "sNaN", "nan", "Infinity", "-inf", "+Infinity"])
def test_what_is_no_number_is_refused(raw: str, column: ColumnSpec) -> None:
    assert refusal(raw, column).rule == "Write a number, or leave the cell empty."


@pytest.mark.case("V05")
def test_minus_zero_is_zero() -> None:
    assert (read("-0", INTEGER), read("-0", PRICE)) == ("0", "0.00")


@pytest.mark.case("V06")
def test_marks_are_those_of_the_columns_reading_and_never_guessed() -> None:
    assert read("1.234,56", PRICE, GERMAN) == "1234.56"
    assert read("1,234.56", PRICE, ENGLISH) == "1234.56"
    assert read("1.234", INTEGER, GERMAN) == "1234"
    assert "“.” as the decimal mark and no group mark" in refusal("1,234", PRICE).rule
    assert "“,” as the decimal mark and “.” as the group mark" in refusal("1,234.56", PRICE, GERMAN).rule


@pytest.mark.case("V06")
@pytest.mark.parametrize("raw", ["1,23", "12,34,567", "1,2345", ",123", "1,,234", "1234,567", "1,234,"])
def test_groups_have_three_digits_each(raw: str) -> None:
    assert refusal(raw, INTEGER, ENGLISH).rule


@pytest.mark.parametrize("raw", ["1 234 567", "1\u00a0234\u00a0567", "1\u202f234\u202f567"])
def test_any_space_between_groups_is_a_space(raw: str) -> None:
    assert read(raw, INTEGER, Reading(decimal_mark=",", group_mark="\u202f")) == "1234567"


@pytest.mark.parametrize(
    ("column", "inside", "outside"),
    [
        (
            ColumnSpec(1, "n", "integer", options=ColumnOptions(minimum="-3", maximum="5")),
            ["-3", "5"],
            ["-4", "6"],
        ),
        (
            ColumnSpec(1, "n", "decimal", options=ColumnOptions(8, 2, minimum="0.50", maximum="10.00")),
            ["0.50", "10.00"],
            ["0.49", "10.01"],
        ),
    ],
)
def test_minimum_and_maximum_are_allowed_themselves(
    column: ColumnSpec, inside: list[str], outside: list[str]
) -> None:
    assert [read(raw, column) for raw in inside] == inside
    assert {refusal(raw, column).code for raw in outside} == {"constraint-error"}


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("integer", -12, "-12"),
        ("decimal", Decimal("1.50"), "1.50"),
        ("decimal", Decimal("1E+3"), "1000"),
        ("decimal", Decimal("-0.00"), "0.00"),
        ("decimal", 7, "7"),
    ],
)
def test_a_stored_number_becomes_its_canonical_text(name: str, value: Any, canonical: str) -> None:
    assert TYPES[name].to_text(value) == canonical


@pytest.mark.case("V04")
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e99999999", "1e-99999999"])
def test_a_decimal_no_column_can_hold_has_no_text(value: str) -> None:
    with pytest.raises(ValueError, match="decimal column"):
        TYPES["decimal"].to_text(Decimal(value))
