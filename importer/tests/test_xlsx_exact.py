"""No cell is lost, whoever reads it: the quick reader against expat's, and random workbooks against themselves."""

from __future__ import annotations

import datetime as dt
import io
import re
import tempfile
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from importer.issues import WorkbookRefused
from importer.readers import feeding, quickrows
from importer.readers.areas import Areas, letters_of, read_merges
from importer.readers.grammar import grammar_of
from importer.readers.sheet import write_sheet
from importer.readers.texts import Texts, TextsReader
from importer.readers.workbook import read_formats, read_workbook
from importer.readers.xlsx_child import answer
from importer.tests.workbooks import parts, sheet

SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
WORDS = (
    "a", " a ", "", "a,b", 'q"q', "x\ny", "a_x000D_b", "_xD800_", "ü", "&amp;", "&lt;v&gt;", "]]&gt;", "\u2028",
    "&#233;", "<![CDATA[<v>]]>", "x" * 300, "=1", "&#xE9;&#x1F600;", "&quot;&apos;&gt;", "&#44;&#10;", "&#13;&#9;",
    "_&#120;000D_", "&amp;lt;", "&#95;xD800_", "&#65533;", "&#0000065;",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "007", "1.5", "1.50", "-0", "-0.0", "0.1", "1.1000000000000001", "123456789012345", "1e5",
    "1E-7", "1234567890123456", "NaN", " 7 ", "45322", "45322.5", "60", "0.75", "", "1_0", "+4", ".5", "5.",
    "99999999999999.5", "0.30000000000000004", "-45322", "&#49;", "1.0", "-0.5", "123456789.123456", "0.00001",
    "1\n2", "7\n", "\t7",
)  # fmt: skip
FORMULAS = (
    "",
    "<f>A1</f>",
    "<f>A1&amp;B1</f>",
    '<f t="shared" si="0"/>',
    '<f t="shared" ref="A1" si="0">A1</f>',
    "<f/>",
)
ATTRIBUTES = (
    "", "", "", ' s="0"', ' s="1"', ' s="2"', ' s="3"', ' s="9"', ' t="n"', ' t="str"', ' t="b"', ' t="e"',
    ' t="str" s="1"', ' t="d"', ' t="x"', ' cm="1"', " s='1'",
)  # fmt: skip
ROW_ATTRIBUTES = ("", ' spans="1:3"', ' hidden="1"', ' hidden="0"', ' ht="12.8" x:y="1" hidden="true"')
# What makes a sheet damaged: one of them in some sheets, so that most are read to their end.
BAD_WORDS = ("&bad;", "]]>", "\ufffe", "&#0;", "&#xFFFE;", "&#55296;", "&#1114112;", "&#x;", "&#11;")
BAD_ATTRIBUTES = (' s="1" s="1"', ' t="s"')
BAD_ROW_ATTRIBUTES = (' spans="1:3" ht="1" spans="1:3"',)
BAD_FORMULAS = ('<f t="shared" si="0" t="shared"/>',)
BETWEEN = ("", "", "", "\n", "  ", "<!-- </row> -->", "<row/>", "<?pi </row> ?>")


def one(draw: st.DrawFn, *usual: str, bad: tuple[str, ...] = ()) -> str:
    return draw(st.sampled_from(bad if bad and draw(st.integers(0, 400)) == 7 else usual))


@st.composite
def cells(draw: st.DrawFn, row: int, column: int) -> str:
    own = f' r="{letters_of(column)}{row}"'
    place = one(draw, own, bad=("", f' r="A{row}"', f' r="B{row + 1}"'))
    attributes = one(draw, *ATTRIBUTES, bad=BAD_ATTRIBUTES)
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.sampled_from((f"<c{place}{attributes}/>", f"<c{place}{attributes} />", "")))
        case 1 | 2 | 3:
            word = one(draw, *WORDS, bad=BAD_WORDS)
            inner = draw(
                st.sampled_from(
                    (
                        "<is><t>{}</t></is>",
                        '<is><t xml:space="preserve">{}</t></is>',
                        '<is><t xml:space="preserve"></t></is>',
                        "<is><r><t>{}</t></r></is>",
                    )
                )
            )
            return f'<c{place} t="inlineStr">{inner.format(word)}</c>'
        case 4:
            return f'<c{place} t="str">{draw(st.sampled_from(FORMULAS))}<v>{draw(st.sampled_from(WORDS))}</v></c>'
        case 5:
            return f'<c{place} t="s"><v>{one(draw, *"012345", bad=("6", "-1", "x"))}</v></c>'
        case _:
            value = draw(st.sampled_from(("<v>{}</v>", "<v>{}</v>", "<v/>", "<v />")))
            formula = one(draw, *[""] * 6, *FORMULAS, bad=BAD_FORMULAS)
            return f"<c{place}{attributes}>{formula}{value.format(draw(st.sampled_from(NUMBERS)))}</c>"


@st.composite
def sheets(draw: st.DrawFn) -> str:
    pieces, row = [], 0
    for _ in range(draw(st.integers(1, 12))):
        row += draw(st.sampled_from((1, 1, 1, 1, 2, 5)))
        filled = "".join(draw(cells(row, column)) for column in range(draw(st.integers(0, 5))))
        attributes = one(draw, *[""] * 8, *ROW_ATTRIBUTES, bad=BAD_ROW_ATTRIBUTES)
        between = draw(st.sampled_from(BETWEEN))
        pieces.append(f'<row r="{row}"{attributes}>{filled}</row>{between}')
        row += between == "<row/>"
    area = draw(st.sampled_from(("", "", "A1:B2", "A3:B4", "B5:C7", "A9:A20")))
    after = f'<mergeCells><mergeCell ref="{area}"/></mergeCells>' if area else ""
    return sheet("".join(pieces), after=after)


def read(data: str, *, is_quick: bool, piece: int) -> tuple[object, ...]:
    """Return everything that reading a sheet says."""
    words = ("<t>one</t>", "<t>a,b</t>", "<r><t>rich</t></r>", "<t>_xD800_</t>", "<t/>", "<t>ü &amp;</t>")
    texts = "".join(f"<si>{word}</si>" for word in words)
    contents = parts(sheets={"Data": data}, texts=texts, formats=("yyyy-mm-dd", "hh:mm", "[h]:mm"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, body in contents.items():
            archive.writestr(name, body)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed) as archive:
        with patch.object(feeding, "READ_BYTES", piece):
            out = Path(folder) / "out.csv"
            book, shared = read_workbook(archive), Texts(Path(folder))
            read_formats(archive, book)
            TextsReader(shared).read(archive, TEXTS)
            areas = Areas(read_merges(archive, SHEET))
            try:
                done = write_sheet(archive, SHEET, book, shared, out, areas=areas, is_quick=is_quick)
            except WorkbookRefused as refused:
                return (refused.message.partition("(")[0],)  # the place of the error differs
        return (
            out.read_bytes(), done.hazards, done.formulas, done.hidden_rows, done.rows, done.width, areas.hidden_values,
        )  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=sheets(), piece=st.sampled_from((1, 7, 64, 300, 100_000)), first=st.sampled_from((1, 3, 100)))
def test_the_quick_reader_says_what_expat_says(data: str, piece: int, first: int) -> None:
    with patch.object(quickrows, "FIRST_AT_ONCE", first):
        quick = read(data, is_quick=True, piece=piece)
    assert quick == read(data, is_quick=False, piece=piece)


@pytest.mark.parametrize(
    "row",
    [
        '<row r="1"><c r="A1" s="1" s="1"/></row>',
        '<row r="1" spans="1:1" ht="1" spans="1:1"><c r="A1"><v>1</v></c></row>',
        '<row r="1"><c r="A1"><f t="shared" si="0" t="shared"/><v>1</v></c></row>',
    ],
)
def test_an_attribute_twice_is_damage_to_both_readers(row: str) -> None:
    head = '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c></row>'
    data = sheet(head + row.replace('r="1"', 'r="2"').replace("A1", "A2"))
    quick, slow = (read(data, is_quick=is_quick, piece=10_000) for is_quick in (True, False))
    assert quick == slow
    assert len(slow) == 1, "refused, with a sentence"


def test_the_quick_reader_is_quick_about_what_programs_write() -> None:
    """Else the property above would hold for nothing."""
    body = "".join(
        f'<row r="{at}" spans="1:4"><c r="A{at}" s="0"><v>{at}</v></c><c r="B{at}" t="s"><v>0</v></c>'
        f'<c r="C{at}" t="inlineStr"><is><t>ü &amp; &#252;</t></is></c><c r="D{at}" s="0"><f>A1</f><v>1.5</v></c>'
        "</row>"
        for at in range(1, 1_001)
    )
    taken = []
    real = quickrows.QuickRows._take_rows

    def counted(self: quickrows.QuickRows, data: bytes, rows: Sequence[re.Match[bytes]]) -> int:
        taken.append(done := real(self, data, rows))
        return done

    with patch.object(quickrows.QuickRows, "_take_rows", counted):
        read(sheet(body), is_quick=True, piece=10_000)
    assert sum(taken) == 999
    assert len(taken) < 100


def test_texts_are_the_same_in_memory_and_in_a_file(tmp_path: Path) -> None:
    words = [f"text {number}, ü" for number in range(500)]
    with patch("importer.readers.texts.KEPT_BYTES", 2_000):
        texts = Texts(tmp_path)
        for word in words:
            texts.add(word.encode())
        texts.finish()
    assert [texts.cell(str(number).encode()) for number in range(500)] == [word.encode() for word in words]
    assert (texts.cell(b"500"), texts.cell(b"-1"), texts.cell(b"")) == (None, None, None)
    texts.close()
    assert list(tmp_path.iterdir()) == []


VALUES = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=20).filter(
        lambda text: "_x" not in text and not any(mark in text for mark in "\ufffe\uffff")
    ),
    st.integers(-(10**14), 10**14),
    st.decimals(-1_000_000, 1_000_000, places=4).map(lambda number: number + 0),
    st.booleans(),
    st.dates(dt.date(1900, 3, 1), dt.date(9999, 12, 31)),
    st.datetimes(dt.datetime.fromisoformat("1900-03-01"), dt.datetime.fromisoformat("2900-12-31")).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.sampled_from(["=1+1", "=A1", "#N/A"]),
)


def shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case dt.datetime() | dt.date():
            return value.isoformat()
        case Decimal():
            return format(value.normalize() + 0, "f")
        case _:
            return str(value)


def is_hazard(value: object) -> bool:
    return value == "#N/A" or (isinstance(value, str) and value.startswith("=") and len(value) > 1)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=12))
@pytest.mark.case("X18")
@pytest.mark.case("X34")
def test_every_value_that_openpyxl_writes_is_in_the_csv(table: list[list[object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        book = openpyxl.Workbook()
        for line in table:
            book.active.append(line)
        book.save(Path(folder) / "book.xlsx")
        task = {"do": "convert", "sheet": None, "header_row": None}
        made = answer(task | {"path": f"{folder}/book.xlsx", "out": f"{folder}/out.csv"})
        records = [
            [cell or "" for cell in record.cells]
            for record in grammar_of(",", '"').records((Path(folder) / "out.csv").read_text("utf-8"))
        ]
    wanted = [[shown(value) for value in row] for row in table]
    for at, row in enumerate(wanted):
        read = records[at] if at < len(records) else []
        width = max(len(row), len(read))
        assert read + [""] * (width - len(read)) == row + [""] * (width - len(row))
    assert not any(any(record) for record in records[len(wanted) :])
    hazards = {
        (row, at) for row, line in enumerate(table, 1) for at, value in enumerate(line) if is_hazard(value)
    }
    assert {(row, at) for row, at, _ in made["hazards"]} == hazards
