"""One cell: no value, an empty text, a missing value; and what the database is told."""

import pytest

from datasets.columntypes import TYPES, BadValue, Reading, check_cell, type_of
from datasets.spec import ColumnOptions, ColumnSpec

NO_TEXT = [name for name in TYPES if not TYPES[name].holds_text]
CHOICES = ColumnOptions(choices=("a",))


def column(name: str, *, is_required: bool = False) -> ColumnSpec:
    return ColumnSpec(1, "Column", name, is_required=is_required, options=CHOICES)


def test_every_type_is_registered_under_its_name() -> None:
    assert list(TYPES) == [
        "text",
        "long_text",
        "integer",
        "decimal",
        "boolean",
        "date",
        "time",
        "timestamp",
        "choice",
        "multi_choice",
        "email",
        "url",
        "phone",
        "uuid",
        "json",
        "reference",
    ]
    assert type_of(column("date")) is TYPES["date"]


@pytest.mark.parametrize("name", TYPES)
def test_an_empty_cell_is_no_value(name: str) -> None:
    assert check_cell(None, column(name), Reading()) is None


@pytest.mark.parametrize("name", ["text", "long_text"])
def test_a_quoted_empty_cell_is_an_empty_text(name: str) -> None:
    assert check_cell("", column(name), Reading()) == ""
    assert check_cell("", column(name), Reading(null_words=("",))) is None
    assert check_cell("  ", column(name), Reading()) == "  "


@pytest.mark.parametrize("name", NO_TEXT)
@pytest.mark.parametrize("raw", ["", "  ", "\t"])
def test_nothing_but_spaces_is_no_value_where_text_is_not_meant(name: str, raw: str) -> None:
    assert check_cell(raw, column(name), Reading()) is None


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("raw", [None, "", "NA"])
def test_a_required_column_needs_a_value(name: str, raw: str | None) -> None:
    with pytest.raises(BadValue) as caught:
        check_cell(raw, column(name, is_required=True), Reading(null_words=("NA",)))

    assert caught.value.code == "missing-cell"


def test_words_for_no_value_are_the_readings_own_and_exact() -> None:
    reading = Reading(null_words=("NA", "-"))

    assert [check_cell(raw, column("text"), reading) for raw in ("NA", "-", "na", " NA")] == [
        None,
        None,
        "na",
        " NA",
    ]
    assert check_cell(" NA ", column("integer"), reading) is None
    assert check_cell("NA", column("text"), Reading()) == "NA"


def test_checks_survive_whatever_a_choice_holds() -> None:
    nasty = ColumnSpec(
        1, "c", "choice", options=ColumnOptions(choices=("new", "it's", "{c}", "5 %s", "\\", "é", "🏳"))
    )

    (check,) = TYPES["choice"].checks(nasty)

    assert check.format(c='"c1"') == check.replace("{c}", '"c1"')
    assert check == (
        r"{c} IN ('new', E'it\u0027s', E'\u007Bc\u007D', E'5 \u0025s', E'\u005C', E'\u00E9', E'\U0001F3F3')"
    )


@pytest.mark.parametrize(
    ("name", "options", "sql_type", "checks"),
    [
        ("text", ColumnOptions(max_length=9), "text", ("char_length({c}) <= 9",)),
        ("integer", ColumnOptions(minimum="-3"), "bigint", ("{c} >= '-3'::bigint",)),
        (
            "decimal",
            ColumnOptions(10, 2, maximum="5.00"),
            "numeric(10,2)",
            ("{c} <> 'NaN'::numeric", "{c} <= '5.00'::numeric(10,2)"),
        ),
        ("boolean", ColumnOptions(), "boolean", ()),
        (
            "date",
            ColumnOptions(),
            "date",
            ("{c} >= '0001-01-01'::date", "{c} <= '9999-12-31'::date"),
        ),
    ],
)
def test_the_database_holds_the_rules_too(
    name: str, options: ColumnOptions, sql_type: str, checks: tuple[str, ...]
) -> None:
    spec = ColumnSpec(1, "c", name, options=options)

    assert (TYPES[name].sql_type(spec), TYPES[name].checks(spec)) == (sql_type, checks)


@pytest.mark.parametrize(
    ("kind", "raw", "named"),
    [
        ("integer", "\u00a07", "a no-break space (U+00A0): remove it. Write a number in digits"),
        ("decimal", "1\u202f234", "a narrow no-break space (U+202F): remove it. This column is read with"),
        ("date", "2026-01-01\u3000", "an ideographic space (U+3000): remove it. Write the date as"),
        ("timestamp", "2026-01-01\u00a014:00", "a no-break space (U+00A0): remove it. Write the time as"),
        ("boolean", "\ufeffyes", "a zero width no-break space (U+FEFF): remove it. Write true"),
        ("choice", "new\x85", "a control character (U+0085): remove it. Not an allowed choice"),
    ],
)
def test_a_space_that_is_none_is_named(kind, raw, named):
    column = ColumnSpec(1, "x", kind, options=ColumnOptions(choices=("new",) if kind == "choice" else ()))
    with pytest.raises(BadValue) as caught:
        check_cell(raw, column, Reading())
    assert named in caught.value.rule
    with pytest.raises(BadValue) as caught:
        check_cell("\u00a0#", column, Reading(group_mark=" "))
    assert "no-break space" in caught.value.rule


def test_a_number_that_is_only_too_large_is_not_called_badly_spaced():
    column = ColumnSpec(1, "x", "decimal", options=ColumnOptions(precision=4, scale=1))
    with pytest.raises(BadValue, match=r"^Too large"):
        check_cell("1\u00a0234", column, Reading(group_mark=" "))
