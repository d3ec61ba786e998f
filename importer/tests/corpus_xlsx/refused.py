"""Workbooks that are refused as a whole: damaged or hostile, each by a sentence that says why."""

from __future__ import annotations

import io
import string
import warnings
import zipfile

from importer.tests.corpus_xlsx.case import Case, Parts, cell
from importer.tests.corpus_xlsx.layout import SIMPLE, merged
from importer.tests.workbooks import number, parts, rows, sheet, text

SHEET, LINKS, TEXTS = "xl/worksheets/sheet1.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml"
LETTERS = string.ascii_uppercase
LAUGHS = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
ENTITY = '<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE w SYSTEM "http://127.0.0.1:1/x.dtd">'
ATTLIST = "<!DOCTYPE w [" + "".join(f"<!ATTLIST c a{n} CDATA #IMPLIED>" for n in range(4_000)) + "]>"


def packed(contents: Parts) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in contents.items():
            archive.writestr(name, body)
    return out.getvalue()


def with_part_twice(name: str) -> bytes:
    out = io.BytesIO(packed(parts(SIMPLE)))
    with zipfile.ZipFile(out, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, "<workbook/>")
    return out.getvalue()


def patched(at: int, new: bytes) -> bytes:
    """Return a workbook with a field of the sheet's entry in the directory replaced."""
    raw = packed(parts(rows(text("A1", "a" * 5_000))))
    begin = raw.rfind(SHEET.encode()) - 46 + at
    return raw[:begin] + new + raw[begin + len(new) :]


def head(part: str, prolog: str) -> Parts:
    book = parts(rows(text("A1", "&b;")))
    return book | {part: prolog + book.get(part, "<a/>").replace('<?xml version="1.0"?>', "")}


def replaced(part: str, old: str, new: str) -> Parts:
    book = parts(SIMPLE)
    return book | {part: book[part].replace(old, new)}


def without(part: str) -> Parts:
    return {name: body for name, body in parts(SIMPLE).items() if name != part}


def a_sheet(name: str, data: str, refused: str, *ids: str) -> Case:
    return Case(name, parts(data), refused=refused, ids=ids)


WIDE_ROW = "".join(number(f"{a}{b}{c}1", "1") for a in "ABC" for b in LETTERS for c in LETTERS)
PLACES = (
    a_sheet("the last cell of a sheet", f'<row r="1048576">{text("XFD1048576", "x")}</row>', "too large", "X10"),
    a_sheet("sixteen thousand columns", rows(number("XFD1", "1")), "too large: column 16,384", "X15"),
    a_sheet("two thousand columns filled", rows(WIDE_ROW), "too large", "X15"),
    a_sheet("a row beyond the last", '<row r="4294967297"><c r="A4294967297"><v>1</v></c></row>', "beyond the last row",
            "X13"),
    a_sheet("row zero", '<row r="0"/>', "row 0 comes after row 0", "X13"),
    a_sheet("a row number that is none", '<row r="-1"/>', "is no row number", "X13"),
    a_sheet("a column beyond the last", '<row r="1"><c r="XFE1"><v>1</v></c></row>', "beyond the last column", "X13"),
    a_sheet("a column of five letters", '<row r="1"><c r="ZZZZZ1"><v>1</v></c></row>', "is no column", "X13"),
    a_sheet("a cell in another row", '<row r="1"><c r="A2"><v>1</v></c></row>', "stands in row 1", "X13"),
    a_sheet("rows out of order", '<row r="3"/><row r="2"/>', "row 2 comes after row 3", "X17"),
    a_sheet("a row twice", '<row r="2"/><row r="2"/>', "row 2 comes after row 2", "X17"),
    a_sheet("a row within a row", '<row r="1"><row r="2"/></row>', "row 2 stands in another", "X17"),
    a_sheet("a cell outside of a row", '<c r="A1"><v>1</v></c>', "outside of a row"),
    a_sheet("a cell within a cell", '<row r="1"><c r="A1"><c r="B1"/></c></row>', "outside of a row"),
    a_sheet("a place twice", rows(number("A1", "1") + number("A1", "2")), "two cells of row 1", "X19"),
    a_sheet("a shared text beyond the last", rows(cell("A1", "99999", kind="s")), "refers to text 99999"),
    a_sheet("a shared text below zero", rows(cell("A1", "-1", kind="s")), "refers to text -1"),
    a_sheet("half a pair by number", rows(text("A1", "&#xD800;")), "no XML", "X37"),
    a_sheet("a character that XML forbids", rows(text("A1", "\x02")), "no XML"),
    a_sheet("a sheet cut off", '<row r="1"><c r="A1">', "no XML"),
    a_sheet("tags that cross", '<row r="1"><c r="A1"><v>1</c></v></row>', "no XML"),
    a_sheet("a cell of more than 1 MiB", rows(text("A1", "ab" * 600_000)), "larger than 1 MiB"),
    a_sheet("a row of more than 1 MiB", rows(*["".join(text(f"{c}1", c * 300_000) for c in "ABCD")]),
            "larger than 1 MiB"),
    Case("a merged area that is none", parts(sheet(SIMPLE, after=merged("A0:ZZZ9"))), refused="column ZZZ is beyond"),
    Case("a table that lies nowhere", parts(SIMPLE, tables=('ref="x" totalsRowCount="1"',)), refused="is no area"),
    Case("area over area",
         parts(sheet("".join(f'<row r="{at}"/>' for at in range(1, 2_000)), after=merged(*["A1:B1048576"] * 150_000))),
         refused="too many merged cells"),
)  # fmt: skip

KINDS = (
    Case("a document type that laughs", head(SHEET, LAUGHS), refused="document type", ids=("X04",)),
    Case("an external entity", head(SHEET, ENTITY), refused="document type", ids=("X04",)),
    Case("a remote document type", head("xl/workbook.xml", REMOTE), refused="document type", ids=("X04",)),
    Case("thousands of declared attributes", head(TEXTS, ATTLIST), refused="document type", ids=("X07",)),
    Case("a document type in a part nobody reads", head("docProps/app.xml", LAUGHS), refused="document type",
         ids=("X04",)),
    Case("a sheet in UTF-16", parts() | {SHEET: sheet(SIMPLE).encode("utf-16")}, refused="not in UTF-8"),
    Case("bytes that are no UTF-8", parts() | {SHEET: sheet(rows(text("A1", "a"))).encode().replace(b">a<", b">\xff<")},
         refused="no XML"),
    Case("a surrogate in UTF-8",
         parts() | {SHEET: sheet(rows(text("A1", "a"))).encode().replace(b">a<", b">\xed\xa0\x80<")},
         refused="no XML", ids=("X37",)),
    Case("bytes that are no UTF-8 in the shared texts", parts(rows(cell("A1", "0", kind="s"))) | {
         TEXTS: b"<sst><si><t>\xff</t></si></sst>"}, refused="no XML"),
    Case("a part twice", with_part_twice("xl/workbook.xml"), refused="duplicate part", ids=("X20",)),
    Case("a part twice in another case", with_part_twice("XL/Workbook.xml"), refused="duplicate part", ids=("X20",)),
    Case("a wrong checksum", patched(16, b"\x00\x00\x00\x01"), refused="damaged", ids=("X09",)),
    Case("a size that is too small", patched(24, (50).to_bytes(4, "little")), refused="damaged", ids=("X09",)),
    Case("a size that is too large", patched(24, (4_000_000_000).to_bytes(4, "little")), refused="unpacks to",
         ids=("X09",)),
    Case("entries that overlap", patched(42, (0).to_bytes(4, "little")), refused="damaged", ids=("X09",)),
    Case("an entry behind the end", patched(42, (1 << 30).to_bytes(4, "little")), refused="damaged", ids=("X09",)),
    Case("an entry packed otherwise", patched(10, (12).to_bytes(2, "little")), refused="unusual way"),
    Case("an encrypted entry", patched(8, (1).to_bytes(2, "little")), refused="password"),
    Case("an encrypted workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 2_000,
         refused="password or is an old .xls", ids=("X02",)),
    Case("a workbook cut in half", packed(parts(SIMPLE))[:900], refused="damaged"),
    Case("no archive", b"<html></html>", refused="damaged"),
    Case("nothing", b"", refused="damaged"),
    Case("a binary workbook", {
         name.replace("workbook.xml", "workbook.bin"): body.replace("xl/workbook.xml", "xl/workbook.bin")
         for name, body in parts(SIMPLE).items()}, refused="binary workbook .* save it as .xlsx"),
    Case("no list of links", without("_rels/.rels"), refused="no part is named as the workbook"),
    Case("no links of the workbook", without(LINKS), refused="no worksheet"),
    Case("a sheet that is not there", without(SHEET), refused="no worksheet"),
    Case("a sheet of another ending", parts() | {"xl/worksheets/s.bin": sheet(SIMPLE), LINKS: parts()[LINKS].replace(
         "sheet1.xml", "s.bin")}, refused="no worksheet"),
    Case("no shared texts but a reference", {name: body for name, body in parts(
         rows(cell("A1", "0", kind="s"))).items() if name != TEXTS}, refused="refers to text 0"),
    Case("a link to the machine's files", replaced(LINKS, "worksheets/sheet1.xml", "../../../../etc/passwd"),
         refused="no worksheet", ids=("X22",)),
    Case("a link to another machine", replaced(LINKS, "worksheets/sheet1.xml", "http://127.0.0.1:1/s.xml"),
         refused="no worksheet", ids=("X22",)),
    Case("a sheet of that name is missing", parts(SIMPLE), sheet="June", refused="no sheet named 'June'"),
)  # fmt: skip

CASES = (*PLACES, *KINDS)
# Those that stand for an attack: tried once more with a child process for each.
REFUSED_QUICKLY = tuple(case for case in CASES if case.ids)
