"""Rows staged or rejected: exact rows and lines, every issue, and a fast path that agrees with the slow one."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.copied import copied
from datasets.columntypes import TYPES
from datasets.columntypes.base import Reading
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer import validation
from importer.dialect import Dialect
from importer.mapping import Match
from importer.readers.csv import read_chunks
from importer.validation import Rejected, Validator

COLUMNS = (
    ColumnSpec(1, "Id", "integer", is_required=True),
    ColumnSpec(2, "Name", "text", options=ColumnOptions(max_length=20)),
    ColumnSpec(3, "Price", "decimal", options=ColumnOptions(precision=8, scale=2)),
    ColumnSpec(4, "Open", "boolean"),
)
SPEC = DatasetSpec(1, "things", "Things", COLUMNS, ("c1",))
MATCHES = tuple(Match(at, f"l{at}", f"c{at + 1}", "chosen", 100) for at in range(4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def check(folder):
    def run(content, *, spec=SPEC, matches=MATCHES, dialect=None, hazards=None, slowly=False, size=1 << 20):
        path = folder / "file.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        dialect = dialect or Dialect()
        validator = Validator(spec, matches, dialect, hazards)
        look = validator.check_slowly if slowly else validator.check
        return [look(chunk) for chunk in read_chunks(path, dialect, size=size)]

    return run


def staged(checked):
    return [row for part in checked for row in copied(part)]


def issues(checked):
    return [
        (issue.code, issue.row, issue.line, issue.column, issue.value)
        for part in checked
        for issue in part.issues
    ]


def outcome(checked):
    return (
        staged(checked),
        issues(checked),
        [r for part in checked for r in part.rejected],
        sum(p.blank for p in checked),
    )


HEAD = "id,name,price,open\n"


def test_good_rows_are_staged_with_their_number_as_they_stand(check):
    checked = check(HEAD + '1,Åse,2.5,yes\n2,"",,\n+3,"a,""b""",1.005,no\n')
    assert staged(checked) == [["2", "1", "Åse", "2.50", "true"], ["3", "2", "", None, None]]
    assert issues(checked) == [("constraint-error", 4, 4, "l2", "1.005")]
    assert checked[0].staged.decode().splitlines() == ["2,1,Åse,2.5,yes", '3,2,"",,']


def test_every_issue_of_a_row_is_collected_and_the_raw_cells_kept(check):
    (checked,) = check(HEAD + "x,name,y,z\n")
    assert [issue.column for issue in checked.issues] == ["l0", "l2", "l3"]
    assert checked.rejected == [Rejected(2, 2, ("x", "name", "y", "z"))]


def test_rows_count_records_and_lines_count_lines(check):
    content = (
        "Title\n\n" + HEAD + '1,"a\nb",1,yes\n\nx,c,1,yes\n2,"d\r\ne",1,yes\ny,"f\ng",1,yes\nz,h,1,yes\n'
    )
    checked = check(content, dialect=Dialect(header_row=3))
    assert [(issue.row, issue.line) for issue in checked[0].issues] == [(6, 7), (8, 10), (9, 12)]
    assert [row[0] for row in staged(checked)] == ["4", "7"]
    assert (checked[0].rows, checked[0].blank) == (5, 1)
    assert outcome(check(content, dialect=Dialect(header_row=3), slowly=True)) == outcome(checked)


@pytest.mark.case("F24")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_ragged_row_is_rejected_and_shifts_no_other(check, end):
    content = end.join(
        [HEAD.strip(), "1,a,1,yes", "2,a,b,1,yes", "3,a", "4,b,1,yes", "5,a,1,yes,,x", "6,c,2,no"]
    )
    checked = check(content)
    assert issues(checked) == [
        ("extra-cell", 3, 3, "", "yes"), ("missing-cell", 4, 4, "l2", ""), ("extra-cell", 6, 6, "", "x"),
    ]  # fmt: skip
    assert checked[0].rejected[0] == Rejected(3, 3, ("2", "a", "b", "1", "yes"))
    assert [row[:3] for row in staged(checked)] == [["2", "1", "a"], ["5", "4", "b"], ["7", "6", "c"]]
    assert staged(checked)[0][4] == "true"


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("surplus", [",", ",,,", ',""', ',,"",'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_cells_beyond_the_last_label_are_forgiven(check, slowly, surplus, end):
    lines = ["1,a,+1,YES", "x,b,1,no", ",,,", "2,,,"]
    content = HEAD.strip() + end + "".join(line + surplus + end for line in lines)
    checked = check(content, slowly=slowly)
    assert staged(checked) == [["2", "1", "a", "1.00", "true"], ["5", "2", None, None, None]]
    assert checked[0].rejected == [Rejected(3, 3, ("x", "b", "1", "no"))]
    assert (issues(checked), checked[0].blank) == ([("type-error", 3, 3, "l0", "x")], 1)


def test_empty_cells_too_many_beside_cells_of_several_lines_are_forgiven(check):
    content = HEAD + '1,"a\nb",1,yes,,\n2,c,1,no,\n3,d,1,no,,x\n'
    checked = check(content)
    assert [row[:3] for row in staged(checked)] == [["2", "1", "a\nb"], ["3", "2", "c"]]
    assert issues(checked) == [("extra-cell", 4, 5, "", "x")]
    assert outcome(check(content, slowly=True)) == outcome(checked)


def test_one_cell_is_not_called_cells(check):
    (checked,) = check(HEAD + "1\n")
    assert checked.issues[0].rule.startswith("The row has 1 cell, the header 4.")


def test_rows_that_hold_nothing_are_blank_and_no_issue(check):
    (checked,) = check(HEAD + '1,a,1,yes\n\n,,,\n,\n"  "\n2,b,1,no\n')
    assert (checked.rows, checked.blank, checked.issues) == (2, 4, [])


@pytest.mark.case("F09")
def test_a_nul_is_an_issue_of_its_row_and_shown_as_text(check):
    (checked,) = check(HEAD + "1,a\x00b,1,yes\n2,c,1,yes\n")
    assert [(issue.code, issue.value) for issue in checked.issues] == [("type-error", "a\\x00b")]
    assert checked.rejected[0].cells[1] == "a\\x00b"
    assert checked.staged_rows == 1


@pytest.mark.case("F07")
def test_a_bad_byte_rejects_its_row_with_the_offset_and_no_other(check):
    content = HEAD.encode() + b"1,caf\xc3\xa9,1,yes\n2,caf\xe9,x,yes\n3,ok,1,yes\n"
    (checked,) = check(content)
    (issue,) = checked.issues
    assert (issue.code, issue.row, issue.column, issue.value) == ("encoding-error", 3, "l1", "caf\\xe9")
    assert f"byte {content.index(b'\xe9,'):,} " in issue.rule
    assert checked.staged_rows == 2


@pytest.mark.case("F20")
def test_a_second_header_is_an_issue_of_its_row(check):
    assert [issue[:3] for issue in issues(check(HEAD + "1,a,1,yes\n" + HEAD))] == [("repeated-header", 3, 3)]


@pytest.mark.case("F27")
def test_a_quote_that_closes_nowhere_costs_its_own_row_only(check):
    (checked,) = check(HEAD + '1,"a,1,yes\n2,b,1,yes\n3,"c,1,yes\n4,d,1,yes\n')
    assert issues([checked]) == [
        ("unterminated-quote", 2, 2, "l1", '"a'), ("unterminated-quote", 4, 4, "l1", '"c'),
    ]  # fmt: skip
    assert [row[:2] for row in staged([checked])] == [["3", "2"], ["5", "4"]]


@pytest.mark.case("F30")
def test_a_cell_of_a_megabyte_is_judged_by_its_type(check):
    (checked,) = check(HEAD + "1," + "a" * 900_000 + ",1,yes\n2,b,1,yes\n")
    assert (checked.issues[0].code, len(checked.issues[0].value)) == ("constraint-error", 200)
    assert checked.staged_rows == 1


@pytest.mark.case("V22")
def test_an_empty_key_is_an_issue_of_the_key(check):
    assert issues(check(HEAD + ',a,1,yes\n"",b,1,yes\n')) == [
        ("primary-key", 2, 2, "l0", ""), ("primary-key", 3, 3, "l0", ""),
    ]  # fmt: skip


@pytest.mark.case("V24")
def test_a_key_too_long_for_an_index_is_an_issue(check):
    spec = DatasetSpec(1, "t", "T", (ColumnSpec(1, "Code", "text", is_required=True),), ("c1",))
    content = "code\n" + "é" * 1_000 + "\n" + "é" * 1_001 + "\n"
    for slowly in (False, True):
        (checked,) = check(content, spec=spec, matches=MATCHES[:1], slowly=slowly)
        assert [(issue.code, issue.row) for issue in checked.issues] == [("constraint-error", 3)]


@pytest.mark.case("X24")
def test_hazards_of_a_workbook_are_issues_even_in_text(check):
    hazards = {(2, 1): "#N/A", (3, 1): "=A1", (3, 9): "#REF!"}
    checked = check(HEAD + "1,#N/A,1,yes\n2,=A1,1,yes\n3,#N/A,1,yes\n", hazards=hazards)
    assert [issue[:2] for issue in issues(checked)] == [("type-error", 2), ("type-error", 3)]
    assert "spreadsheet error #N/A" in checked[0].issues[0].rule
    assert [row[:3] for row in staged(checked)] == [["4", "3", "#N/A"]]


@pytest.mark.case("F42")
def test_a_file_of_bad_rows_ends_with_an_issue_for_each(check):
    (checked,) = check(HEAD + "".join(f"x{n},a,1,yes\n" for n in range(10_000)))
    assert (len(checked.issues), len(checked.rejected), checked.staged, checked.rows) == (
        10_000,
        10_000,
        b"",
        10_000,
    )


def test_unmapped_columns_are_kept_in_rejected_rows_only(check):
    matches = (MATCHES[0], Match(1, "x", None, "none", 0), Match(2, "n", "c2", "chosen", 100))
    (checked,) = check("id,x,n\n1,skip,a\nz,keep,b\n", matches=matches)
    assert staged([checked]) == [["2", "1", "a"]]
    assert checked.rejected[0].cells == ("z", "keep", "b")


def test_one_corrected_row_is_checked_alone():
    validator = Validator(SPEC, MATCHES, Dialect())
    assert validator.check_row(["7", "a", "1", "no"], row=9, line=12) == (["7", "a", "1.00", "false"], [])
    values, found = validator.check_row(["7", "a", "x", "no"], row=9, line=12)
    assert (values, [(issue.row, issue.line) for issue in found]) == (None, [(9, 12)])


WORDS = ["1", "-7", "+3", "007", "1.5", "1.50", "-0", "1e3", "abc", "é\u2028", "true", "YES", "", " 2 ", "NA", "a\x01b",
         "x" * 21, "1,5", "\\.", "2024-02-29", "2024-02-29T10:00:00Z", "2024-02-29 10:00", "#N/A",
         "99999999999999999999"]  # fmt: skip
CELL = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(lambda word: '"' + word.replace('"', '""') + '"'),
    st.sampled_from(
        ['"a,b"', '"a\nb"', '"a\r\nb"', '"a\rb"', '"say ""hi"""', '3" pipe', '"ab"c', '" "', '""', '"\n"']
    ),
    st.text(alphabet='a1., -é"\x00', max_size=6).filter(lambda text: text[:1] != '"'),
)
LINE = st.one_of(
    st.tuples(
        st.lists(CELL, min_size=7, max_size=7), st.lists(st.sampled_from(["", "", '""']), max_size=3)
    ).map(lambda parts: [*parts[0], *parts[1]]),
    st.lists(CELL, min_size=7, max_size=7),
    st.lists(CELL, min_size=0, max_size=10),
    st.just([""]),
    st.just([""] * 7),
).map(",".join)
WIDE = (
    ColumnSpec(1, "a", "integer", is_required=True),
    ColumnSpec(2, "b", "text", options=ColumnOptions(max_length=20)),
    ColumnSpec(3, "c", "decimal", options=ColumnOptions(precision=8, scale=2, minimum="-5.00")),
    ColumnSpec(4, "d", "boolean"),
    ColumnSpec(5, "e", "date"),
    ColumnSpec(6, "f", "timestamp"),
    ColumnSpec(7, "g", "text", is_required=True, is_unique=True),
)
WIDE_SPEC = DatasetSpec(1, "wide", "Wide", WIDE, ("c7", "c1"))
WIDE_MATCHES = tuple(
    Match(at, column.label, column.name, "chosen", 100, Reading(null_words=("NA",)))
    for at, column in enumerate(WIDE)
)


@settings(deadline=None, max_examples=60)
@given(
    lines=st.lists(LINE, max_size=8),
    ends=st.lists(st.sampled_from(["\n", "\n", "\r\n", "\r"]), min_size=9, max_size=9),
    uniform=st.booleans(),
)
def test_the_fast_path_and_the_scalar_path_agree(check_both, lines, ends, uniform):
    content = "".join(
        line + (ends[0] if uniform else end)
        for line, end in zip(["a,b,c,d,e,f,g", *lines], ends, strict=False)
    )
    fast, slow = check_both(content)
    assert fast == slow


@pytest.fixture(scope="module")
def check_both(folder):
    def run(content):
        path = folder / "both.csv"
        path.write_bytes(content.encode())
        validator = Validator(WIDE_SPEC, WIDE_MATCHES, Dialect())
        chunks = list(read_chunks(path, Dialect()))
        fast = outcome([validator.check(c) for c in chunks])
        validator.few_cells = 0
        assert outcome([validator.check(c) for c in chunks]) == fast
        return fast, outcome([validator.check_slowly(c) for c in chunks])

    return run


@pytest.mark.parametrize("kind", ["integer", "decimal", "boolean", "date", "timestamp"])
def test_a_screen_that_passes_too_much_would_be_caught(check_both, monkeypatch, kind):
    monkeypatch.setattr(
        type(TYPES[kind]), "screen", lambda _self, values, _column, _reading: values.is_not_null()
    )
    monkeypatch.setattr(validation, "row_pattern", lambda *_: None)
    monkeypatch.setattr(validation, "FEW_CELLS", 0)
    fast, slow = check_both("a,b,c,d,e,f,g\n007,x,01.5,yes,,2024-02-29 10:00,k\n7,x,1.5,true,2023-02-29,,k\n")
    assert fast != slow


def test_the_staged_text_is_what_the_csv_module_reads_too(check):
    (checked,) = check(HEAD + '1,"a\nb",1,yes\n2,"c""d",1,yes\n')
    assert [row[2] for row in csv.reader(io.StringIO(checked.staged.decode()))] == ["a\nb", 'c"d']


@pytest.mark.parametrize("slowly", [False, True])
def test_a_byte_order_mark_at_the_beginning_of_a_chunk_is_text(check, slowly):
    spec = DatasetSpec(1, "t", "T", (ColumnSpec(1, "Note", "text"),), ())
    checked = check("note\n\ufeffa\n\ufeff\n", spec=spec, matches=MATCHES[:1], slowly=slowly)
    assert staged(checked) == [["2", "\ufeffa"], ["3", "\ufeff"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_counted_over_cells_of_several_lines_and_rows_of_wrong_width(check, end):
    content = end.join(
        [
            HEAD.strip(),
            '1,"a\nb\r\nc\rd",1,yes',
            "x,e,1,yes",
            "2,f,1,yes,more",
            '"3",g',
            '4,"\n\n","1",no',
            "y,h,1,no",
            "",
        ]
    )
    checked = check(content)
    assert [(issue.row, issue.line) for issue in checked[0].issues] == [(3, 6), (4, 7), (5, 8), (7, 12)]
    assert [row[:3] for row in staged(checked)] == [["2", "1", "a\nb\r\nc\rd"], ["6", "4", "\n\n"]]
    assert outcome(check(content, slowly=True)) == outcome(checked)


def test_the_fast_path_reads_nuls_line_feeds_in_cells_and_rows_of_any_width(check, monkeypatch):
    monkeypatch.setattr(Validator, "_look_slowly", None)
    monkeypatch.setattr(validation, "FEW_CELLS", 0)
    (checked,) = check(HEAD + '1,"a\nb",1,yes\n2,n\x00l,1,yes\n3,c,1,yes,x\n4,d\n')
    assert (checked.staged_rows, [issue.row for issue in checked.issues]) == (1, [3, 4, 5])
