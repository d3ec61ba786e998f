"""Where things stand: rows, columns, sheets, merged and hidden parts, tables."""

from __future__ import annotations

from importer.tests.corpus_xlsx.case import Case, cell
from importer.tests.workbooks import number, parts, rows, sheet, text

HEAD = text("A1", "id") + text("B1", "name") + text("C1", "qty")


def filled(row: int, *values: str) -> str:
    return "".join(
        text(f"{letter}{row}", value) for letter, value in zip("ABCDEFG", values, strict=False) if value
    )


def table(*lines: tuple[str, ...]) -> str:
    return rows(*(filled(at, *values) for at, values in enumerate(lines, start=1)))


def merged(*refs: str) -> str:
    return "<mergeCells>" + "".join(f'<mergeCell ref="{ref}"/>' for ref in refs) + "</mergeCells>"


SIMPLE = table(("id", "name"), ("1", "a"), ("2", "b"))
WANTED = [["id", "name"], ["1", "a"], ["2", "b"]]

WIDTHS = (
    Case("a header above shorter rows", parts(table(("id", "name", "qty"), ("1",), ("2", "b"))),
         [["id", "name", "qty"], ["1", "", ""], ["2", "b", ""]]),
    Case("a cell beyond the last label", parts(table(("id", "name"), ("1", "a", "", "extra"), ("2",))),
         [["id", "name"], ["1", "a", "", "extra"], ["2", "", "", ""]]),
    Case("a title above the header", parts(table(("Report",), (), ("id", "name"), ("1", "a"))),
         [["Report"], [], ["id", "name"], ["1", "a"]]),
    Case("a title above the header that stands further right",
         parts(table(("", "", "", "Printed today"), ("id", "name"), ("1", "a"), ("2", "b", "", "extra"), ("3",))),
         [["", "", "", "Printed today"], ["id", "name"], ["1", "a"], ["2", "b", "", "extra"], ["3", "", "", ""]]),
    Case("a header that a person chose below a wider row",
         parts(table(("a", "b", "c", "d"), ("id", "name"), ("1", "x"), ("2", "y", "", "extra"))),
         [["a", "b", "c", "d"], ["id", "name"], ["1", "x"], ["2", "y", "", "extra"]], header_row=2),
    Case("no header",
         parts(rows(number("A1", "1") + number("B1", "7"), number("A2", "2") + number("B2", "8") + text("C2", "b"))),
         [["1", "7", ""], ["2", "8", "b"]]),
    Case("a table that begins in column C", parts(rows(text("C1", "id") + text("D1", "n"), number("C2", "1"))),
         [["", "", "id", "n"], ["", "", "1", ""]]),
    Case("blank rows between", parts('<row r="1"><c r="A1"><v>1</v></c></row><row r="4"><c r="A4"><v>2</v></c></row>'),
         [["1"], [], [], ["2"]]),
    Case("rows with formats only", parts(SIMPLE + '<row r="9"><c r="A9" s="0"/></row>'), WANTED),
    Case("a row without cells", parts(SIMPLE + '<row r="3000" spans="1:2"/>'), WANTED),
    Case("a column empty but for its label", parts(table(("id", "none", "name"), ("1", "", "a"))),
         [["id", "none", "name"], ["1", "", "a"]]),
    Case("column Z and AA", parts(rows(text("Z1", "z") + text("AA1", "aa"))), [[""] * 25 + ["z", "aa"]]),
    Case("line breaks in a label", parts(rows(text("A1", "full\nname") + text("B1", "id"))), [["full\nname", "id"]]),
    Case("a header with the same label twice", parts(table(("id", "id"), ("1", "2"))), [["id", "id"], ["1", "2"]]),
    Case("a last row with a total", parts(table(("id", "qty"), ("1", "5"), ("Total", "5"))),
         [["id", "qty"], ["1", "5"], ["Total", "5"]]),
)  # fmt: skip

MERGED = (
    Case("merged cells down a column",
         parts(sheet(table(("region", "id"), ("north", "1"), ("", "2"), ("south", "3")), after=merged("A2:A3"))),
         [["region", "id"], ["north", "1"], ["", "2"], ["south", "3"]],
         notes=("1 merged cell covers 1 other: the value counts for the first cell only, "
                "the other is read as empty.",)),
    Case("a merged cell that covers values",
         parts(sheet(table(("region", "id"), ("north", "1"), ("unseen", "2")), after=merged("A2:A3", "D1:E2"))),
         [["region", "id"], ["north", "1"], ["", "2"]],
         notes=("2 merged cells cover 4 others: the value counts for the first cell only, "
                "the others are read as empty.",
                "1 covered cell holds a value that nobody sees in the sheet and that is not read. "
                "Unmerge the cells to keep it.")),
    Case("a merged cell that covers two values",
         parts(sheet(table(("region", "id"), ("north", "1"), ("unseen", "2"), ("unseen", "3")), after=merged("A2:A4"))),
         [["region", "id"], ["north", "1"], ["", "2"], ["", "3"]],
         notes=("1 merged cell covers 2 others: the value counts for the first cell only, "
                "the others are read as empty.",
                "2 covered cells hold values that nobody sees in the sheet and that are not read. "
                "Unmerge the cells to keep them.")),
    Case("an error under a merged cell", parts(sheet(
         rows(text("A1", "id") + text("B1", "x"), text("A2", "1") + cell("B2", "#N/A", kind="e")),
         after=merged("A2:B2"))),
         [["id", "x"], ["1", ""]],
         notes=("1 merged cell covers 1 other: the value counts for the first cell only, "
                "the other is read as empty.",
                "1 covered cell holds a value that nobody sees in the sheet and that is not read. "
                "Unmerge the cells to keep it.")),
    Case("a merged title", parts(sheet(table(("Report",), ("id", "name"), ("1", "a")), after=merged("A1:B1"))),
         [["Report"], ["id", "name"], ["1", "a"]],
         notes=("1 merged cell covers 1 other: the value counts for the first cell only, "
                "the other is read as empty.",)),
)  # fmt: skip

HIDDEN = (
    Case("hidden rows", parts(
         f'<row r="1">{filled(1, "id")}</row><row r="2" hidden="1">{filled(2, "1")}</row>'
         f'<row r="3" hidden="true">{filled(3, "2")}</row><row r="4" hidden="0">{filled(4, "3")}</row>'
         '<row r="5" hidden="1"/>'),
         [["id"], ["1"], ["2"], ["3"]], notes=("2 hidden rows are read like all others.",)),
    Case("rows that a filter hides", parts(sheet(
         f'<row r="1">{filled(1, "id")}</row><row r="2" hidden="1">{filled(2, "1")}</row>',
         after='<autoFilter ref="A1:A2"><filterColumn colId="0"/></autoFilter>')),
         [["id"], ["1"]], notes=("1 hidden row is read like any other.",)),
    Case("hidden columns", parts(sheet(table(("id", "secret", "name"), ("1", "s", "a")), before=(
         '<cols><col min="1" max="1" width="9"/><col min="2" max="2" hidden="1"/>'
         '<col min="9" max="16384" hidden="1"/></cols>'))),
         [["id", "secret", "name"], ["1", "s", "a"]], notes=("1 hidden column is read like any other.",)),
    Case("a hidden sheet first", parts(sheets={"Old": table(("x",)), "Data": SIMPLE}, hidden=("Old",)), WANTED,
         notes=("1 other sheet is not read: “Old” (hidden).",), ids=("X29",)),
    Case("a hidden sheet that is chosen", parts(sheets={"Data": SIMPLE, "Old": table(("x",))}, hidden=("Old",)),
         [["x"]], sheet="Old", notes=("The sheet “Old” is hidden.", "1 other sheet is not read: “Data”.")),
    Case("hidden sheets only", parts(sheets={"Data": SIMPLE}, hidden=("Data",)), WANTED,
         notes=("The sheet “Data” is hidden.",)),
    Case("empty sheets first", parts(sheets={"A": "", "B": '<row r="1"><c r="A1" s="0"/></row>', "C": SIMPLE}), WANTED,
         ids=("X29",)),
    Case("a chosen sheet", parts(sheets={"A": table(("x",)), "B &amp; C": SIMPLE}), WANTED, sheet="B & C",
         notes=("1 other sheet is not read: “A”.",)),
    Case("an empty workbook", parts(""), []),
)  # fmt: skip

TABLES = (
    Case("a table with a total row", parts(
         table(("id", "qty"), ("1", "5"), ("2", "6")) + '<row r="4">' + text("A4", "Total")
         + cell("B4", "11", formula="SUBTOTAL(109,T[qty])") + text("D4", "beside") + "</row>",
         tables=('displayName="Sales" ref="A1:B4" totalsRowCount="1"',)),
         [["id", "qty"], ["1", "5"], ["2", "6"], ["", "", "", "beside"]],
         notes=("The total row of the table “Sales” (A1:B4) is left out: totals are no records.",)),
    Case("a table without a total row", parts(SIMPLE, tables=('displayName="T" ref="A1:B3" totalsRowShown="0"',)),
         WANTED),
    Case("rows below a total row", parts(
         table(("id",), ("1",), ("Total",), ("2",)), tables=('displayName="T" ref="A1:A3" totalsRowCount="1"',)),
         [["id"], ["1"], [], ["2"]],
         notes=("The total row of the table “T” (A1:A3) is left out: totals are no records.",)),
)  # fmt: skip

CASES = (*WIDTHS, *MERGED, *HIDDEN, *TABLES)
