"""Workbooks as canonical CSV: nothing lost, nothing silently empty, nothing that brings the process down."""

from __future__ import annotations

import csv
import string
import warnings
import zipfile

import openpyxl
import pytest

from importer.issues import WorkbookRefused
from importer.readers.xlsx import Sheet, hazards_from_json, sheets, to_csv
from importer.tests.workbooks import number, parts, rows, sheet, text, write

LETTERS = string.ascii_uppercase
LAUGHS = '<!DOCTYPE worksheet [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.fixture
def convert(tmp_path):
    def run(contents, name=None):
        path, out = tmp_path / "book.xlsx", tmp_path / "out.csv"
        write(path, contents if isinstance(contents, dict) else parts(contents))
        converted = to_csv(path, name, out)
        with out.open(newline="") as file:
            return converted, list(csv.reader(file))

    return run


@pytest.fixture
def refuse(tmp_path):
    def run(contents, message):
        path = contents
        if not hasattr(contents, "open"):
            path = write(tmp_path / "book.xlsx", contents if isinstance(contents, dict) else parts(contents))
        with pytest.raises(WorkbookRefused, match=message):
            to_csv(path, None, tmp_path / "out.csv")

    return run


def test_each_row_of_the_sheet_is_one_record_as_wide_as_the_widest_so_far(convert):
    data = (
        '<row r="2">'
        + text("A2", "Title")
        + '</row><row r="4">'
        + text("A4", "id")
        + text("C4", "a,b\n&quot;c&quot;")
        + "</row>"
    )
    converted, records = convert(data)
    assert records == [[], ["Title"], [], ["id", "", 'a,b\n"c"']]
    assert (converted.rows, converted.width, converted.hazards) == (4, 3, {})


def test_a_cell_beyond_the_last_label_widens_no_header(convert):
    lines = (
        text("A1", "id") + text("B1", "name"), number("A2", "1") + text("B2", "a") + text("D2", "extra"),
        number("A3", "2"),
    )  # fmt: skip
    assert convert(rows(*lines))[1] == [["id", "name"], ["1", "a", "", "extra"], ["2", "", "", ""]]


def test_without_labels_every_row_is_as_wide_as_the_widest(convert):
    data = rows(
        number("A1", "1") + number("B1", "7"), number("A2", "2") + number("B2", "8") + text("C2", "b")
    )
    assert convert(data)[1] == [["1", "7", ""], ["2", "8", "b"]]


@pytest.mark.case("X24")
@pytest.mark.case("X25")
def test_errors_and_formulas_without_a_result_are_named_and_never_empty(convert):
    cells = (
        '<c r="A1" t="e"><v>#DIV/0!</v></c><c r="B1"><f>A1+1</f></c>'
        '<c r="C1"><f>1+1</f><v></v></c><c r="D1" t="e"><f>X</f><v>#N/A</v></c>'
    )
    converted, records = convert(rows(cells))
    assert converted.hazards == {(1, 0): "#DIV/0!", (1, 1): "=A1+1", (1, 2): "=1+1", (1, 3): "#N/A"}
    assert records == [["#DIV/0!", "=A1+1", "=1+1", "#N/A"]]
    assert hazards_from_json(converted.hazards_to_json()) == converted.hazards


@pytest.mark.case("X26")
@pytest.mark.case("X27")
def test_a_formulas_result_is_used_and_noted_and_text_like_a_formula_is_text(convert):
    converted, records = convert(
        rows('<c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>T("")</f><v></v></c>' + text("C1", "=1+1"))
    )
    assert (records, converted.hazards) == ([["2", "", "=1+1"]], {})
    assert converted.notes == ("2 cells hold formulas; their stored results are used.",)


@pytest.mark.case("X32")
@pytest.mark.parametrize(
    ("serial", "from_1904", "day"),
    [("1", False, "1900-01-01"), ("59", False, "1900-02-28"), ("61", False, "1900-03-01"),
     ("45322", False, "2024-01-31"), ("2958465", False, "9999-12-31"), ("43860", True, "2024-01-31"),
     ("0", True, "1904-01-01")],
)  # fmt: skip
def test_days_are_right_in_both_ways_to_count(convert, serial, from_1904, day):
    _, records = convert(parts(rows(number("A1", serial, 1)), formats=("yyyy-mm-dd",), from_1904=from_1904))
    assert records == [[day]]


@pytest.mark.case("X32")
def test_serials_that_are_no_day_are_hazards(convert):
    line = "".join(
        number(f"{letter}1", serial, 1)
        for letter, serial in zip("ABCD", ("0", "60", "-1", "2958466"), strict=True)
    )
    converted, _ = convert(parts(rows(line), formats=("dd/mm/yyyy",)))
    assert sorted(converted.hazards) == [(1, 0), (1, 1), (1, 2), (1, 3)]


@pytest.mark.case("X33")
def test_times_and_long_durations_are_their_text(convert):
    line = (
        number("A1", "0.5208333333333334", 1)
        + number("B1", "1.5625", 2)
        + number("C1", "45322.52083333333", 3)
    )
    _, records = convert(parts(rows(line), formats=("hh:mm", "[h]:mm", "yyyy-mm-dd hh:mm")))
    assert records == [["12:30:00", "37:30:00", "2024-01-31T12:30:00"]]


@pytest.mark.case("X34")
@pytest.mark.case("X35")
def test_values_and_not_formats_are_read(convert):
    line = (
        number("A1", "0.5", 1)
        + number("B1", "1.1000000000000001", 2)
        + '<c r="C1" t="b"><v>1</v></c><c r="D1" t="b"><v>0</v></c>'
        + number("E1", "3.0")
        + number("F1", "1E-2")
    )
    _, records = convert(parts(rows(line), formats=("0%", "#,##0.00 €")))
    assert records == [["0.5", "1.1", "true", "false", "3", "0.01"]]


def test_numbers_of_more_digits_than_are_kept_are_hazards(convert):
    converted, _ = convert(
        rows(number("A1", "1.2345678901234567E+19") + number("B1", "NaN") + number("C1", "123456789012345"))
    )
    assert sorted(converted.hazards) == [(1, 0), (1, 1)]


@pytest.mark.case("X11")
@pytest.mark.case("X18")
@pytest.mark.parametrize("dimension", ["A1:XFD1048576", "A1:A1", "A0:B5"])
def test_a_wrong_dimension_changes_nothing(convert, dimension):
    body = sheet(
        rows(text("A1", "a") + text("B1", "b"), text("B2", "c")), before=f'<dimension ref="{dimension}"/>'
    )
    assert convert(body)[1] == [["a", "b"], ["", "c"]]


def test_shared_texts_with_formats_spoken_forms_and_escapes(convert):
    texts = (
        "<si><r><t>ri</t></r><r><t>ch</t></r><rPh><t>spoken</t></rPh></si>"
        "<si><t>a_x000D_b_x005F_x0041_</t></si><si><t>_xD83D__xDE00_</t></si>"
    )
    cells = "".join(f'<c r="{letter}1" t="s"><v>{at}</v></c>' for at, letter in enumerate("ABC"))
    assert convert(parts(rows(cells), texts=texts))[1] == [["rich", "a\rb_x0041_", "😀"]]


@pytest.mark.case("X37")
def test_half_of_a_surrogate_pair_is_a_hazard_or_refused(convert, refuse):
    assert convert(rows(text("A1", "a_xD800_")))[0].hazards == {(1, 0): "a_xD800_"}
    refuse(rows(text("A1", "&#xD800;")), "no XML")


@pytest.mark.case("X29")
def test_the_first_visible_sheet_with_a_value_is_read_unless_one_is_chosen(convert, tmp_path):
    contents = parts(
        sheets={
            "Empty": rows('<c r="A1" s="0"/>'),
            "Secret": rows(text("A1", "s")),
            "Data": rows(text("A1", "d")),
        },
        hidden=("Secret",),
    )
    assert convert(contents)[0].sheet == "Data"
    assert convert(contents, "Secret")[1] == [["s"]]
    assert sheets(tmp_path / "book.xlsx") == (
        Sheet("Empty", 0, False),
        Sheet("Secret", 1, True),
        Sheet("Data", 1, False),
    )
    with pytest.raises(WorkbookRefused, match="no sheet named 'June'"):
        convert(contents, "June")


def test_a_workbook_of_openpyxl_is_read_whole(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "name", None, "qty"])
    book.active.append([1, "Åse", None, 2.5])
    book.save(tmp_path / "book.xlsx")
    to_csv(tmp_path / "book.xlsx", None, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "id,name,,qty\n1,Åse,,2.5\n"


@pytest.mark.case("X10")
@pytest.mark.case("X15")
@pytest.mark.case("X13")
@pytest.mark.case("X17")
@pytest.mark.case("X19")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f'<row r="1048576">{text("XFD1048576", "x")}</row>', "too large"),
        (rows("".join(number(f"{a}{b}{c}1", "1") for a in "AB" for b in LETTERS for c in LETTERS))
         + f'<row r="2">{number("XFD2", "1")}</row>', "too large"),
        ('<row r="4294967297"><c r="A4294967297"><v>1</v></c></row>', "beyond the last row"),
        ('<row r="0"/>', "row 0 comes after row 0"),
        ('<row r="1"><c r="ZZZZZ1"><v>1</v></c></row>', "is no column"),
        (f'<row r="3">{number("A3", "1")}</row><row r="2">{number("A2", "1")}</row>', "row 2 comes after row 3"),
        (rows(number("A1", "1") + number("A1", "2")), "two cells of row 1"),
        (rows('<c r="A1" t="s"><v>99999</v></c>'), "refers to text 99999"),
        (rows('<c r="A1" t="s"><v>-1</v></c>'), "refers to text -1"),
    ],
)  # fmt: skip
def test_places_that_cannot_be_are_refused(refuse, data, message):
    refuse(data, message)


@pytest.mark.case("X04")
@pytest.mark.case("X07")
@pytest.mark.parametrize(
    "part",
    [
        "xl/worksheets/sheet1.xml",
        "xl/sharedStrings.xml",
        "xl/workbook.xml",
        "docProps/app.xml",
        "xl/_rels/workbook.xml.rels",
    ],
)
def test_a_document_type_in_any_part_is_refused_unread(refuse, part):
    contents = parts(rows(text("A1", "a")))
    attributes = "".join(f"<!ATTLIST c a{n} CDATA #IMPLIED>" for n in range(2_000))
    head = LAUGHS.replace("[", "[" + attributes)
    contents[part] = head + contents.get(part, "<a/>").replace('<?xml version="1.0"?>', "")
    refuse(contents, "document type")


@pytest.mark.case("X08")
def test_a_bomb_is_refused_by_its_size(refuse):
    refuse(rows(text("A1", " " * 30_000_000)), "times its packed size")


@pytest.mark.case("X09")
def test_a_lying_directory_and_a_wrong_checksum_are_refused(refuse, tmp_path):
    path = write(tmp_path / "lies.xlsx", parts(rows(text("A1", "a" * 5_000))))
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("xl/worksheets/sheet1.xml")
    at = raw.rfind(b"xl/worksheets/sheet1.xml") - 46
    short = raw[: at + 24] + (50).to_bytes(4, "little") + raw[at + 28 :]
    path.write_bytes(short)
    refuse(path, "damaged")
    path.write_bytes(raw[: at + 16] + b"\x00\x00\x00\x01" + raw[at + 20 :])
    refuse(path, "damaged")
    first = raw.rfind(b"[Content_Types].xml") - 46
    path.write_bytes(raw[: at + 42] + raw[first + 42 : first + 46] + raw[at + 46 :])
    refuse(path, "damaged")
    assert entry.file_size > 5_000


@pytest.mark.case("X20")
@pytest.mark.parametrize("name", ["xl/workbook.xml", "XL/Workbook.xml"])
def test_a_part_twice_is_refused(refuse, tmp_path, name):
    path = write(tmp_path / "twice.xlsx", parts(rows(text("A1", "a"))))
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, "<workbook/>")
    refuse(path, "duplicate part")


@pytest.mark.case("X12")
def test_a_declared_count_of_texts_reserves_nothing(convert):
    contents = parts(rows('<c r="A1" t="s"><v>0</v></c>'), texts="<si><t>a</t></si>")
    name = "xl/sharedStrings.xml"
    contents[name] = contents[name].replace("<sst ", '<sst uniqueCount="4000000000" count="4000000000" ')
    assert convert(contents)[1] == [["a"]]


@pytest.mark.case("X22")
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "http://127.0.0.1:1/sheet.xml"])
def test_targets_outside_the_workbook_are_not_followed(refuse, target):
    contents = parts(rows(text("A1", "a")))
    name = "xl/_rels/workbook.xml.rels"
    contents[name] = contents[name].replace("worksheets/sheet1.xml", target)
    refuse(contents, "no worksheet")


@pytest.mark.case("X23")
@pytest.mark.case("X39")
@pytest.mark.case("X40")
def test_paths_out_of_the_archive_and_macros_write_nothing(convert, tmp_path):
    contents = parts(rows(text("A1", "a"))) | {
        "../../evil.xml": "<a/>",
        "xl/vbaProject.bin": "MZ",
        "xl/connections.xml": "<c/>",
    }
    assert convert(contents)[1] == [["a"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.xlsx", "out.csv"]
    assert not (tmp_path.parent / "evil.xml").exists()


@pytest.mark.case("X02")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 truncated", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 600, "password or is an old .xls"),
        (b"<html>", "damaged"),
        (b"", "damaged"),
    ],
)
def test_what_is_no_archive_is_refused(refuse, tmp_path, content, message):
    path = tmp_path / "book.xlsx"
    path.write_bytes(content)
    refuse(path, message)


@pytest.mark.parametrize(
    "end", ["import os; os.abort()", "import time; time.sleep(60)", "bytearray(1 << 40)"]
)
def test_a_child_that_dies_hangs_or_runs_out_of_memory_is_a_refusal(refuse, tmp_path, monkeypatch, end):
    (tmp_path / "dying_child.py").write_text(end)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("importer.readers.xlsx.CHILD", "dying_child")
    monkeypatch.setattr("importer.readers.xlsx.WALL_SECONDS", 0.5)
    refuse(rows(text("A1", "a")), "within the limits of memory and time")
