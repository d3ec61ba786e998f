"""Text, choices and yes or no."""

import pytest

from datasets.columntypes import TYPES, BadValue, Reading
from datasets.columntypes.text import MAX_CHARACTERS
from datasets.spec import ColumnOptions, ColumnSpec

NOTE = ColumnSpec(1, "Note", "text")
STATUS = ColumnSpec(2, "Status", "choice", options=ColumnOptions(choices=("new", "shipped", "it's {c} 5 %")))
PAID = ColumnSpec(3, "Paid", "boolean")


def read(raw: str, column: ColumnSpec, reading: Reading | None = None) -> str:
    return TYPES[column.type].parse(raw, column, reading or Reading())


def refusal(raw: str, column: ColumnSpec, reading: Reading | None = None) -> BadValue:
    with pytest.raises(BadValue) as caught:
        read(raw, column, reading)
    return caught.value


@pytest.mark.case("F13")
@pytest.mark.parametrize(
    "raw",
    [" a ", "a\r\nb", "\u2028\u0085", "e\u0301", "é", "\u200b", "\ufeff", "🏳️‍🌈", "=1+1", "null", "\x01"],
)
@pytest.mark.parametrize("name", ["text", "long_text"])
def test_text_is_kept_byte_for_byte(raw: str, name: str) -> None:
    assert read(raw, ColumnSpec(1, "Note", name)).encode() == raw.encode()


@pytest.mark.case("V19")
def test_ten_thousand_combining_marks_are_text() -> None:
    assert read("a" + "\u0300" * 10_000, NOTE) == "a" + "\u0300" * 10_000


@pytest.mark.case("V18")
@pytest.mark.parametrize("raw", ["\ud800", "a\udfffb"])
def test_half_of_a_surrogate_pair_is_refused(raw: str) -> None:
    assert "surrogate" in refusal(raw, NOTE).rule


@pytest.mark.case("F09")
def test_nul_is_refused() -> None:
    assert refusal("a\0b", NOTE).rule == "Remove the NUL character from the cell."


@pytest.mark.case("F30")
@pytest.mark.case("V28")
def test_a_cell_holds_a_mebicharacter_and_no_more() -> None:
    assert read("x" * MAX_CHARACTERS, NOTE) == "x" * MAX_CHARACTERS
    assert refusal("x" * (MAX_CHARACTERS + 1), NOTE).code == "constraint-error"


def test_max_length_counts_characters_not_bytes() -> None:
    column = ColumnSpec(1, "Name", "text", options=ColumnOptions(max_length=3))

    assert read("äöü", column) == "äöü"
    assert refusal("äöüß", column).rule == "Use at most 3 characters; these are 4."


@pytest.mark.case("V27")
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("shiped", "The nearest: “shipped”."),
        ("NEW", "The nearest: “new”."),
        ("zzz", "Allowed: “new”, “shipped”, “it's {c} 5 %”."),
    ],
)
def test_an_unknown_choice_is_answered_with_the_nearest(raw: str, says: str) -> None:
    refused = refusal(raw, STATUS)

    assert refused.code == "constraint-error"
    assert refused.rule.endswith(says)


@pytest.mark.case("V28")
def test_a_megabyte_is_no_choice() -> None:
    assert refusal("new" * 350_000, STATUS).code == "constraint-error"


def test_a_choice_loses_only_the_spaces_around_it() -> None:
    assert read(" shipped\t", STATUS) == "shipped"


@pytest.mark.case("V15")
@pytest.mark.parametrize("raw", ["true", "TRUE", "Yes", "1", "t", "Y", " true "])
def test_words_for_true(raw: str) -> None:
    assert read(raw, PAID) == "true"


@pytest.mark.case("V15")
@pytest.mark.parametrize("raw", ["false", "False", "NO", "0", "F", "n"])
def test_words_for_false(raw: str) -> None:
    assert read(raw, PAID) == "false"


@pytest.mark.case("V15")
@pytest.mark.parametrize("raw", ["of", "on", "off", "2", "ja", "nein", "tr", "wahr", "1.0", "x" * 100_000])
def test_other_words_are_neither_true_nor_false(raw: str) -> None:
    assert refusal(raw, PAID).rule == "Write true or false, yes or no, 1 or 0."


@pytest.mark.case("V15")
def test_the_readings_own_words_come_first() -> None:
    german = Reading(true_words=("ja", "n"), false_words=("nein",))

    assert [read(raw, PAID, german) for raw in ("Ja", "NEIN", "n", "no")] == [
        "true",
        "false",
        "true",
        "false",
    ]
    assert refusal("jein", PAID, german).rule.startswith("Write ja or nein, true or false")


def test_a_word_the_reading_gives_both_meanings_is_refused() -> None:
    assert refusal("x", PAID, Reading(true_words=("x",), false_words=("X",))).code == "type-error"
