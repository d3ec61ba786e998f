"""Corrected rows: a file read with them is read as a file that has their cells."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.copied import copied
from datasets.columntypes.base import Reading
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer.dialect import Dialect
from importer.mapping import Match
from importer.readers.csv import read_chunks
from importer.recipes import Recipe
from importer.validation import Validator

COLUMNS = (
    ColumnSpec(1, "Code", "text", is_required=True),
    ColumnSpec(2, "Day", "date"),
    ColumnSpec(3, "Price", "decimal", options=ColumnOptions(precision=8, scale=2, minimum="0.00")),
    ColumnSpec(4, "Note", "text"),
)
SPEC = DatasetSpec(1, "things", "Things", COLUMNS, ("c1",))
LABELS = ("code", "day", "price")
MATCHES = (
    Match(0, "code", "c1", "chosen", 100),
    Match(1, "day", "c2", "chosen", 100, Reading(date_order="DMY")),
    Match(2, "price", "c3", "chosen", 100),
    Match(0, "code", "c4", "chosen", 100, recipe=Recipe(joined=(2,), case="upper")),
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "file.csv"

    def run(content, *, fixes=None, hazards=None, slowly=False, size=1 << 20):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        validator = Validator(SPEC, MATCHES, Dialect(), hazards, labels=LABELS, fixes=fixes)
        look = validator.check_slowly if slowly else validator.check
        return [look(chunk) for chunk in read_chunks(path, Dialect(), size=size)]

    return run


HEAD = "code,day,price\n"


def staged(checked):
    return [row for part in checked for row in copied(part)]


def outcome(checked):
    return (
        staged(checked),
        [issue for part in checked for issue in part.issues],
        [issue for part in checked for issue in part.warnings],
        [row for part in checked for row in part.rejected],
        [(part.rows, part.blank, part.staged_rows) for part in checked],
    )


@pytest.mark.parametrize("slowly", [False, True])
def test_a_corrected_row_is_staged_in_its_place_and_no_other_changes(read, slowly):
    content = HEAD + "a,1/2/2026,1\nb,soon,x\nc,,3\n"
    checked = read(content, fixes={3: ["b", None, "2"]}, slowly=slowly)
    assert staged(checked) == [
        ["2", "a", "2026-02-01", "1.00", "A 1"],
        ["3", "b", None, "2.00", "B 2"],
        ["4", "c", None, "3.00", "C 3"],
    ]
    assert checked[0].issues == []


@pytest.mark.parametrize("slowly", [False, True])
def test_what_the_file_has_in_a_corrected_row_is_forgiven(read, slowly):
    content = HEAD.encode() + b'a\nb,,1,2,3\ncaf\xe9,,1\n"d,,1\n#N/A,,1\n\n'
    fixes = {row: [f"k{row}", None, "1"] for row in (2, 3, 4, 5, 6, 7)}
    checked = read(content, fixes=fixes, hazards={(6, 0): "#N/A"}, slowly=slowly)
    assert [row[:2] for row in staged(checked)] == [[str(row), f"k{row}"] for row in fixes]
    assert (checked[0].issues, checked[0].rejected, checked[0].blank) == ([], [], 0)


@pytest.mark.parametrize("slowly", [False, True])
def test_a_correction_may_be_wrong_itself_or_empty_or_as_wide_as_it_likes(read, slowly):
    content = HEAD + "a,,1\nb,,2\nc,,3\nd,,4\n"
    fixes = {2: ["a", None, "-1"], 3: [None, None, None], 4: ["c", None, "3", None, ""], 5: ["d"]}
    (checked,) = read(content, fixes=fixes, slowly=slowly)
    assert staged([checked]) == [["4", "c", None, "3.00", "C 3"]]
    assert [(issue.code, issue.row, issue.value) for issue in checked.issues] == [
        ("constraint-error", 2, "-1"), ("missing-cell", 5, ""),
    ]  # fmt: skip
    assert [(row.row, row.cells) for row in checked.rejected] == [(2, ("a", None, "-1")), (5, ("d",))]
    assert (checked.rows, checked.blank) == (3, 1)


CELLS = st.sampled_from(
    [
        None,
        "",
        "a",
        "b ",
        "é\ufffd",
        "1/2/2026",
        "31/12/2026",
        "2026-02-30",
        "1",
        "1.5",
        "-1",
        "x",
        " ",
        "a,b",
    ]
)
ROWS = st.lists(
    st.one_of(st.lists(CELLS, min_size=3, max_size=3), st.lists(CELLS, min_size=1, max_size=5)), max_size=8
)


def written(rows):
    def cell(text):
        return "" if text is None else '"' + text.replace('"', '""') + '"'

    return HEAD + "".join(",".join(map(cell, row)) + "\n" for row in rows)


@settings(deadline=None, max_examples=80)
@given(
    rows=ROWS, fixes=st.dictionaries(st.integers(2, 10), st.lists(CELLS, min_size=1, max_size=5), max_size=4)
)
def test_a_file_with_corrections_reads_as_a_file_that_has_them(read, rows, fixes):
    corrected = [fixes.get(row, cells) for row, cells in enumerate(rows, start=2)]
    expected = outcome(read(written(corrected)))
    assert outcome(read(written(rows), fixes=fixes)) == expected
    assert outcome(read(written(rows), fixes=fixes, slowly=True)) == expected
