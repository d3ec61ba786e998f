"""How programs write workbooks: namespaces, prefixes, places left out, parts missing or spelt otherwise."""

from __future__ import annotations

import io

import openpyxl

from importer.tests.corpus_xlsx.case import Case, cell
from importer.tests.corpus_xlsx.layout import SIMPLE, WANTED
from importer.tests.workbooks import MAIN, OFFICE, parts, rows, sheet, text

STRICT = {
    MAIN: "http://purl.oclc.org/ooxml/spreadsheetml/main",
    OFFICE: "http://purl.oclc.org/ooxml/officeDocument/relationships",
}
SHEET = "xl/worksheets/sheet1.xml"
LINKS = "xl/_rels/workbook.xml.rels"


def changed(book: dict[str, str], **words: str) -> dict[str, str]:
    """Return the parts with some words replaced everywhere."""
    done = {}
    for name, body in book.items():
        for old, new in words.items():
            body = body.replace(old, new)
        done[name] = body
    return done


def strict(book: dict[str, str]) -> dict[str, str]:
    for old, new in STRICT.items():
        book = changed(book, **{old: new})
    return book


def prefixed(data: str) -> str:
    body = data
    for tag in ("row", "c", "v", "is", "t", "f"):
        for mark in (" ", ">", "/"):
            body = body.replace(f"<{tag}{mark}", f"<x:{tag}{mark}")
        body = body.replace(f"</{tag}>", f"</x:{tag}>")
    return (
        f'<?xml version="1.0"?><x:worksheet xmlns:x="{MAIN}"><x:sheetData>{body}</x:sheetData></x:worksheet>'
    )


def by_openpyxl(*, write_only: bool) -> bytes:
    book = openpyxl.Workbook(write_only=write_only)
    page = book.create_sheet("Data") if write_only else book.active
    for row in (["id", "name", None, "open"], [1, " Åse ", None, True], [2.5, "=1", None, False]):
        page.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


PLACES_LEFT_OUT = (
    "<row><c t='inlineStr'><is><t>id</t></is></c><c t='inlineStr'><is><t>name</t></is></c></row>"
    "<row><c><v>1</v></c><c/></row><row><c/><c t='str'><v>b</v></c></row>"
)
PRETTY = f"""<?xml version="1.0" encoding="UTF-8"?>
<worksheet xmlns="{MAIN}">
  <!-- made by hand: <row r="1"><c r="A1"><v>9</v></c></row> -->
  <sheetData>
    <row r="1">
      <c r="A1" t="inlineStr">
        <is>
          <t>id</t>
        </is>
      </c>
    </row>
    <row r="2">
      <c r="A2">
        <v>
          7
        </v>
      </c>
    </row>
    <!-- </row> --><?pi <row r="3"> ?>
    <row r="3"><c r="A3"><v>8</v></c></row>
  </sheetData>
</worksheet>"""
WITHOUT = parts(SIMPLE)
for _name in ("xl/sharedStrings.xml", "xl/styles.xml"):
    del WITHOUT[_name]
BACKSLASHES = {name.replace("/", "\\"): body for name, body in parts(SIMPLE).items()}
UNUSUAL_CASE = {name.replace("sheet1", "Sheet1"): body for name, body in parts(SIMPLE).items()}
SPACED = changed(parts(SIMPLE), **{"worksheets/sheet1": "worksheets/my%20sheet"}) | {
    "xl/worksheets/my sheet.xml": parts(SIMPLE)[SHEET]
}
ABSOLUTE = changed(parts(SIMPLE), **{'Target="worksheets': 'Target="/xl/worksheets'})
CHART = parts(sheets={"Chart": "", "Data": SIMPLE})
CHART[LINKS] = CHART[LINKS].replace(
    '/worksheet" Target="worksheets/sheet1', '/chartsheet" Target="worksheets/sheet1'
)
EXTENDED = sheet(
    SIMPLE.replace(
        '<row r="2">', '<row r="2" spans="1:2" ht="12.8" x14ac:dyDescent="0.25" customHeight="1">'
    ),
    before='<sheetPr filterMode="1"/><dimension ref="A1:B3"/><sheetViews><sheetView workbookViewId="0"/></sheetViews>',
    after='<extLst><ext uri="x"><x14:f xmlns:x14="y">A1</x14:f></ext></extLst>',
).replace(f'xmlns="{MAIN}"', f'xmlns="{MAIN}" xmlns:x14ac="z"')

CASES = (
    Case("strict namespaces", strict(parts(SIMPLE)), WANTED),
    Case("strict namespaces, days as ISO text", strict(parts(rows(cell("A1", "2024-01-31", kind="d")))),
         [["2024-01-31"]]),
    Case("prefixed tags", parts(sheets={"Data": prefixed(SIMPLE)}), WANTED),
    Case("no places given", parts(PLACES_LEFT_OUT), [["id", "name"], ["1", ""], ["", "b"]]),
    Case("written by hand over many lines", parts(PRETTY), [["id"], ["7"], ["8"]]),
    Case("a byte order mark before the sheet", parts(SIMPLE) | {SHEET: "\ufeff" + sheet(SIMPLE)}, WANTED),
    Case("extensions and attributes of later versions", parts(EXTENDED), WANTED),
    Case("a dimension that is too large", parts(sheet(SIMPLE, before='<dimension ref="A1:XFD1048576"/>')), WANTED,
         ids=("X11",)),
    Case("a dimension that is too small", parts(sheet(SIMPLE, before='<dimension ref="A1"/>')), WANTED, ids=("X18",)),
    Case("a dimension that is none", parts(sheet(SIMPLE, before='<dimension ref="A0:B5"/>')), WANTED, ids=("X18",)),
    Case("no shared texts and no formats", WITHOUT, WANTED),
    Case("formats that are not there", parts(rows(cell("A1", "45322", style=7))), [["45322"]]),
    Case("no list of content types", {name: body for name, body in parts(SIMPLE).items() if name[0] != "["}, WANTED),
    Case("parts named with backslashes", BACKSLASHES, WANTED),
    Case("a part in another case than its name", UNUSUAL_CASE, WANTED),
    Case("a part whose name is escaped", SPACED, WANTED),
    Case("targets from the root", ABSOLUTE, WANTED, ids=("X22",)),
    Case("a chart before the sheet", CHART, WANTED),
    Case("a workbook with macros", parts(SIMPLE) | {"xl/vbaProject.bin": "MZ"}, WANTED, ids=("X39",)),
    Case("connections and external links", parts(SIMPLE)
         | {"xl/connections.xml": "<c/>", "xl/externalLinks/e.xml": "<e/>"},
         WANTED, ids=("X40",)),
    Case("a path out of the archive", parts(SIMPLE) | {"../../evil.xml": "<a/>"}, WANTED, ids=("X23",)),
    Case("a row of many cells after many narrow ones", parts(
        rows(text("A1", "id"), *(cell(f"A{at}", str(at)) for at in range(2, 300)),
             "".join(cell(f"{letter}300", "1") for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))),
        [["id"], *([str(at)] for at in range(2, 300)), ["1"] * 26]),
    Case("openpyxl", by_openpyxl(write_only=False),
         [["id", "name", "", "open"], ["1", " Åse ", "", "true"], ["2.5", "=1", "", "false"]],
         {"B3": "=1"}),
    Case("openpyxl, write-only", by_openpyxl(write_only=True),
         [["id", "name", "", "open"], ["1", " Åse ", "", "true"], ["2.5", "=1", "", "false"]],
         {"B3": "=1"}),
)  # fmt: skip
