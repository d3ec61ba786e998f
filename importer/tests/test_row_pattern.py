"""Rows that go to the database as they stand mean there what the scalar truth says, whatever the cell.

Millions of cells more: `python -m benchmarks.pattern_truth --cells 5000000`.
"""

from __future__ import annotations

import io
import os
import random
import re
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.copied import copied
from benchmarks.pattern_truth import compare, pass_column, report
from benchmarks.screen_cells import TYPES as KINDS
from core.tenancy import TenantRef, in_tenant
from datasets.columntypes import TYPES, type_of
from datasets.columntypes.base import Reading
from datasets.columntypes.ranges import same_length, signed, whole_numbers
from datasets.models import Dataset
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer.csvtext import csv_text
from importer.dialect import Dialect
from importer.judging import make_judges
from importer.mapping import Match
from importer.readers.csv import Chunk, Position
from importer.readers.grammar import grammar_of
from importer.recipes import Recipe
from importer.rowpattern import row_pattern
from importer.tests.tools import import_text, records
from importer.validation import Validator

CELLS = int(os.environ.get("SCREEN_CELLS", "300000"))


def test_what_goes_as_it_stands_is_what_the_truth_says():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}, {CELLS:,} cells (SCREEN_CELLS for more)")  # noqa: T201 -- to try it again
    found = compare(CELLS, seed)
    assert not found.differences, f"seed {seed}\n{report(found, 0)}"


def test_cells_of_every_type_go_as_they_stand():
    found = compare(150_000, seed=2)  # of a few columns of a type it may be that none has cells that do
    assert all(found.passed[kind] for kind in KINDS), report(found, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_postgresql_reads_it_so(acme: TenantRef, kind: str):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with in_tenant(acme), connection.cursor() as cursor:
        for _ in range(60):
            passed = list(pass_column(chance, kind))
            if not passed:
                continue
            sql_type = type_of(passed[0].column).sql_type(passed[0].column)
            cursor.execute(f"CREATE TABLE both_ways (raw {sql_type}, canonical {sql_type})")
            rows = csv_text((each.text, each.truth) for each in passed)
            cursor.copy_expert("COPY both_ways FROM STDIN (FORMAT csv)", io.BytesIO(rows))
            cursor.execute(
                "SELECT raw, canonical FROM both_ways WHERE raw::text IS DISTINCT FROM canonical::text"
            )
            assert not cursor.fetchall(), f"seed {seed}"
            cursor.execute("DROP TABLE both_ways")


def also(form):
    """A pattern that takes one wrong form beside the right ones."""

    def plant(right):
        return lambda self, column, reading, marks: (
            f"(?:{right(self, column, reading, marks) or form}|{form})"
        )

    return plant


PLANTS = {
    "integer": "[0-9]{1,25}",
    "decimal": r"[0-9]\.[0-9]{1,8}",
    "boolean": "Oui|true",
    "date": "2023-02-29",
    "time": "[0-9]{2}:60:[0-9]{2}",
    "timestamp": "[0-9-]{10}T07:30:59Z?",
    "choice": "NEW|NA",
    "multi_choice": "[a-z]+;;[a-z]+",
    "email": r"[a-z.]+@Example\.[a-z]+",
    "url": r"HTTP://[a-z.]+",
    "phone": "00[0-9]{6,12}",
    "uuid": "[0-9a-f-]{35}",
    "json": "NaN|01",
}


@pytest.mark.parametrize("kind", PLANTS)
def test_one_wrong_form_of_a_type_is_caught(monkeypatch, kind):
    owner = type(TYPES[kind])
    monkeypatch.setattr(owner, "pattern", also(PLANTS[kind])(owner.pattern))
    found = compare(300_000, 5, [kind])
    assert {difference.column.type for difference in found.differences} == {kind}


def test_a_longer_text_than_allowed_is_caught(monkeypatch):
    monkeypatch.setattr("importer.rowpattern._limit", lambda _: None)
    assert compare(50_000, 6, ["text"]).differences


def test_the_words_for_no_value_are_caught(monkeypatch):
    monkeypatch.setattr("importer.rowpattern._Forms.any_cell", lambda *_: "[^\\s\\S]")
    assert compare(100_000, 7, ["text", "integer", "choice"]).differences


WHOLE = st.integers(-(10**4), 10**4)


@given(low=st.none() | WHOLE, high=st.none() | WHOLE, number=WHOLE)
def test_a_range_of_numbers_is_exact(low, high, number):
    found = re.fullmatch(signed(low, high, 10**4), str(number)) is not None
    assert found == ((low is None or low <= number) and (high is None or number <= high))


@given(low=st.integers(0, 9999), high=st.integers(0, 9999), year=st.integers(0, 9999))
def test_a_range_of_digits_is_exact(low, high, year):
    low, high = min(low, high), max(low, high)
    assert bool(re.fullmatch(same_length(f"{low:04}", f"{high:04}"), f"{year:04}")) == (low <= year <= high)
    assert bool(re.fullmatch(whole_numbers(low, high), str(year))) == (low <= year <= high)


COLUMNS = (
    ColumnSpec(1, "id", "integer", is_required=True),
    ColumnSpec(2, "name", "text", options=ColumnOptions(max_length=5)),
    ColumnSpec(3, "price", "decimal", options=ColumnOptions(precision=6, scale=2)),
)
SPEC = DatasetSpec(1, "t", "T", COLUMNS, ("c1",))
MATCHES = [Match(at, column.label, column.name, "exact", 100) for at, column in enumerate(COLUMNS)]


def fit(content: str, matches=MATCHES, others=(), delimiter=",", width=3):
    pattern = row_pattern(make_judges(SPEC, matches), width, grammar_of(delimiter, '"'))
    if pattern is None:
        return None
    data = content.encode()
    records = list(grammar_of(delimiter, '"').records(content))
    lines = sum(record.lines for record in records)
    fitted = pattern.fit(Chunk(data, 10, 5, len(records), Position(0, 10 + lines, 5 + len(records))), others)
    return fitted and (
        fitted.rows.filter(fitted.fits).to_list(), list(fitted.rest.row_numbers), list(fitted.rest.line_numbers),
        fitted.rest.data.decode(),
    )  # fmt: skip


def test_records_of_several_lines_are_left_with_their_rows_and_lines():
    content = '1,a,1\n2,"b\n3,c,1\nd",2\n4,"e""",\n5,"f,g",3.5\nx,y,z\n'
    assert fit(content) == ([5, 7, 8], [6, 9], [11, 16], '2,"b\n3,c,1\nd",2\nx,y,z\n')
    assert fit(content.replace("\n", "\r\n")) == (
        [5, 7, 8],
        [6, 9],
        [11, 16],
        '2,"b\r\n3,c,1\r\nd",2\r\nx,y,z\r\n',
    )


def test_rows_that_others_settle_are_left():
    assert fit("1,a,1\n2,b,2\n3,c,3\n", others=[6]) == ([5, 7], [6], [11], "2,b,2\n")


def test_a_chunk_in_which_hardly_a_row_fits_is_read_as_a_whole():
    assert fit("1,a,1\n" + "x,a,1\n" * 4) is None


def test_columns_in_another_order_fit_and_others_are_taken_apart():
    turned = [Match(2 - at, column.label, column.name, "exact", 100) for at, column in enumerate(COLUMNS)]
    assert fit("1.5,a,1\n", turned) == ([5], [], [], "")
    assert fit("1,a,2,b\n", MATCHES, width=4) is None  # a cell that goes nowhere
    assert fit("1,a,2\n", [*MATCHES[:2], Match(2, "price", "c3", "x", 1, recipe=Recipe(trim=True))]) is None
    assert fit("1,a,2\n", [*MATCHES[:2], Match(1, "name", "c3", "x", 1)]) is None


@pytest.mark.parametrize("delimiter", ["1", "a", ".", "-", ":", "+", " "])
def test_a_delimiter_that_may_stand_in_a_cell_has_no_pattern(delimiter):
    assert fit(f"1{delimiter}a{delimiter}2\n", delimiter=delimiter) is None


def test_a_european_number_is_left_to_the_judges():
    comma = [*MATCHES[:2], Match(2, "price", "c3", "exact", 100, Reading(decimal_mark=",", group_mark="."))]
    assert fit("1;a;2,5\n2;b;1.234\n3;c;7\n", comma, delimiter=";") == (
        [7],
        [5, 6],
        [10, 11],
        "1;a;2,5\n2;b;1.234\n",
    )


def many_texts(count: int, limit: int | None) -> tuple[DatasetSpec, list[Match]]:
    """A dataset of so many text columns, and one without a limit."""
    columns = tuple(
        ColumnSpec(number, f"t{number}", "text", options=ColumnOptions(max_length=limit))
        for number in range(1, count + 1)
    )
    columns += (ColumnSpec(count + 1, "free", "text"),)
    matches = [Match(at, column.label, column.name, "exact", 100) for at, column in enumerate(columns)]
    return DatasetSpec(1, "t", "T", columns, ()), matches


@pytest.mark.parametrize(("count", "limit"), [(2, 200), (30, 255), (3, 1_000), (3, 1_500), (1_500, 20)])
def test_limits_hold_however_many_columns_have_one(count: int, limit: int):
    spec, matches = many_texts(count, limit)
    labels = [match.label for match in matches]
    fits, too_long = "x" * limit, "x" * (limit + 1)
    rows = [
        ["a"] * count + ["free"],
        [fits] * min(count, 3) + ["a"] * (count - min(count, 3)) + ["f"],
        [too_long] + ["a"] * count,
        ["a"] * (count - 1) + [too_long, "free"],
        ["a"] * count + ["y" * 3 * limit],
        [f'"{"x," * (limit // 2)}x,"'] + ["a"] * count,
        ["a"] * (count - 1) + [f'"{"x," * (limit // 2)}x,"', "free"],
        [f'"{fits}"'] + ["a"] * count,
    ]
    data = "".join(",".join(row) + "\n" for row in rows * 20).encode()
    chunk = Chunk(data, 2, 2, len(rows) * 20, Position(0, 2 + len(rows) * 20, 2 + len(rows) * 20))
    validator = Validator(spec, matches, Dialect(), labels=labels)
    assert validator.form.is_as_in_file
    fast, slow = validator.check(chunk), validator.check_slowly(chunk)
    assert copied(fast) == copied(slow)
    assert (fast.issues, fast.rejected) == (slow.issues, slow.rejected)
    assert len(fast.rejected) == 4 * 20


def test_a_pattern_that_is_too_large_is_none():
    choices = tuple(f"{number:060}" for number in range(40_000))
    column = ColumnSpec(1, "kind", "choice", options=ColumnOptions(choices=choices))
    judges = make_judges(DatasetSpec(1, "t", "T", (column,), ()), [Match(0, "kind", "c1", "exact", 100)])
    assert row_pattern(judges, 1, grammar_of(",", '"')) is None


@pytest.mark.parametrize("quote", ['"', "'", ""])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~", "#", "\x1f", "/"])
def test_every_delimiter_and_quote_reaches_the_database(orders: Dataset, delimiter: str, quote: str):
    note = f"{quote}a{delimiter}b{quote}" if quote else "a"
    rows = [("id", "status", "amount", "note"), ("1", "new", "1.5", note), ("+2", "paid", "2.50", "it")]
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    job = import_text(orders, text, overrides={"delimiter": delimiter, "quote": quote or "none"})
    assert job.rejected_rows == 0
    assert [row[2:] for row in records(orders)] == [
        (Decimal("1.50"), f"a{delimiter}b" if quote else "a"), (Decimal("2.50"), "it"),
    ]  # fmt: skip
