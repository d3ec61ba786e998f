"""What is proposed for a file: the plainest type that fits every value, and a key."""

import csv
from collections.abc import Iterable

import pytest

from datasets import inference
from datasets.inference import infer, suggest_key
from datasets.spec import ColumnOptions

Cells = Iterable[list[str | None]]


def types(*values: str | None) -> tuple[str, str]:
    """Return type and evidence of one column that holds the values."""
    (column,) = infer(["Column"], ([value] for value in values))
    return column.type, column.evidence


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["true", "FALSE", "Yes", "no"], "boolean"),
        (["0", "1", "0"], "integer"),
        (["-5", "0", "123456789012345"], "integer"),
        (["1", "2.5"], "decimal"),
        (["2026-12-31", "2024-02-29"], "date"),
        (["2026-12-31 14:00:00", "2026-12-31T14:00:00Z"], "timestamp"),
        (["a", "b"], "text"),
        (["a", "b\nc"], "long_text"),
        (["a", "x" * 201], "long_text"),
    ],
)
def test_the_plainest_type_that_fits_every_value(values: list[str], name: str) -> None:
    assert types(*values)[0] == name


@pytest.mark.parametrize(
    "values",
    [
        ["7", "007"],
        ["02", "03"],
        ["-0.5", "00.5"],
        ["1234567890123456"],
        ["9223372036854775808"],
        ["1.5", "1234567890123456.5"],
        ["1e3"],
        ["+49"],
        ["1,234"],
        ["12", "N/A"],
        ["NA"],
        ["31/12/2026"],
        ["2023-02-29"],
        ["20240101", "2024-01-01"],
        ["2024-01-01", "2024-01-01 14:00:00"],
        ["yes", "1"],
        ["yes", "ja"],
        ["t", "f"],
    ],
)
def test_what_only_looks_like_a_number_or_a_date_is_text(values: list[str]) -> None:
    assert types(*values)[0] == "text"


def test_a_column_without_values_is_text() -> None:
    assert types(None, "", "  ") == ("text", "Every row is empty, so text.")
    assert types() == ("text", "Every row is empty, so text.")


def test_the_evidence_names_the_first_row_that_decided() -> None:
    assert types("1", "2", "N/A", "x")[1] == "Row 4 holds 'N/A', so text; no row is empty; no value twice."
    assert types("1", None, "2.25", "1")[1] == (
        "Row 4 holds '2.25', so decimal, with at most 2 decimals; row 3 is empty; row 5 repeats '1'."
    )
    assert types("1", "2")[1] == "Every value (2) fits, so integer; no row is empty; no value twice."


def test_the_row_that_decides_may_come_late() -> None:
    values = [*map(str, range(10_000)), "N/A"]

    assert types(*values) == ("text", "Row 10002 holds 'N/A', so text; no row is empty; no value twice.")


def test_a_decimal_gets_room_for_larger_and_finer_numbers() -> None:
    (ragged,) = infer(["x"], [["1.5"], ["-120.125"], ["7"]])
    (money,) = infer(["x"], [["1.50"], ["120.25"]])

    assert ragged.options == ColumnOptions(precision=11, scale=5)
    assert money.options == ColumnOptions(precision=8, scale=2)


def test_what_is_inferred_reads_the_file_it_was_inferred_from() -> None:
    (column,) = infer(["x"], [["123456789012345.12345678901234567890"], ["1"]])

    assert column.options == ColumnOptions(precision=38, scale=22)


def test_rules_are_proposed_for_the_key_only() -> None:
    columns = infer(["id", "name"], [["1", "a"], ["2", "b"]])

    assert [(c.label, c.is_required, c.is_unique, c.has_empty, c.is_distinct) for c in columns] == [
        ("id", True, False, False, True),
        ("name", False, False, False, True),
    ]


@pytest.mark.parametrize(
    ("labels", "rows", "key"),
    [
        (["name", "geonameid"], [["a", "1"], ["b", "2"]], ("geonameid",)),
        (["Security", "Symbol"], [["3M", "MMM"], ["Apple", "AAPL"]], ("Symbol",)),
        (["id", "code"], [["1", "A"], ["1", "B"]], ("code",)),
        (["id", "code"], [["1", "A"], [None, "B"]], ("code",)),
        (["name", "height"], [["a", "1"], ["b", "1"]], ("name",)),
        (
            ["Country Name", "Country Code", "Year", "Value"],
            [["Aruba", "ABW", "1960", "5"], ["Aruba", "ABW", "1961", "6"], ["Chad", "TCD", "1960", "7"]],
            ("Country Code", "Year"),
        ),
        (
            ["SUCountry", "SUCode", "SUName"],
            [["AD", "02", "Canillo"], ["AE", "02", "Ajman"], ["AE", "03", "Ajman"]],
            ("SUCountry", "SUCode"),
        ),
        (["a", "b"], [["1", "1"], ["1", "1"]], ()),
        (["price"], [["1.5"], ["2.5"]], ()),
        ([], [], ()),
    ],
)
def test_the_key_is_an_identifier_or_a_few_leading_columns(
    labels: list[str], rows: list[list[str | None]], key: tuple[str, ...]
) -> None:
    assert suggest_key(infer(labels, rows)) == key


def test_short_and_long_rows_are_read_by_position() -> None:
    columns = infer(["a", "b"], [["1", "2", "3"], ["4"]])

    assert [(c.type, c.has_empty) for c in columns] == [("integer", False), ("integer", True)]


def test_memory_is_bounded_by_following_fewer_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "MAX_TRACKED_VALUES", 5_000)
    rows: Cells = ([str(number), str(number)] for number in range(6_000))

    first, last = infer(["id", "copy"], rows)

    assert first.evidence.endswith("no value twice down to row 6001.")
    assert last.evidence.endswith("no value twice down to row 4001.")
    assert first.is_distinct


@pytest.mark.case("F22")
def test_a_decimal_comma_is_not_guessed() -> None:
    lines = ["ident;price;closed", "007;1,5;0", "008;2,5;1"]
    labels, *rows = csv.reader(lines, delimiter=";")

    assert [column.type for column in infer(labels, rows)] == ["text", "text", "integer"]
