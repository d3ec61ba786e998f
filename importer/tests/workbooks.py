"""A small builder of workbooks, sound and hostile, written part by part."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def rows(*lines: str) -> str:
    """Return sheet data: each line holds the cells' XML of one row."""
    return "".join(f'<row r="{at}">{cells}</row>' for at, cells in enumerate(lines, start=1))


def text(ref: str, value: str) -> str:
    return f'<c r="{ref}" t="inlineStr"><is><t>{value}</t></is></c>'


def number(ref: str, value: str, style: int = 0) -> str:
    return f'<c r="{ref}" s="{style}"><v>{value}</v></c>'


def sheet(data: str, *, before: str = "", head: str = "", after: str = "") -> str:
    body = f"{before}<sheetData>{data}</sheetData>{after}"
    return f'<?xml version="1.0"?>{head}<worksheet xmlns="{MAIN}">{body}</worksheet>'


def links(*targets: tuple[str, str, str]) -> str:
    body = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for name, kind, target in targets
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{PACKAGE}">{body}</Relationships>'


def _state(is_hidden: bool) -> str:
    return "hidden" if is_hidden else "visible"


def parts(
    data: str = "",
    *,
    sheets: Mapping[str, str] | None = None,
    hidden: tuple[str, ...] = (),
    texts: str = "",
    formats: tuple[str, ...] = (),
    from_1904: bool = False,
    tables: tuple[str, ...] = (),
) -> dict[str, str]:
    """Return the parts of a workbook: `data` in one sheet, or the sheets' data by name.

    `tables` are the attributes of the first sheet's tables.
    """
    sheets = {"Data": data} if sheets is None else sheets
    listed = "".join(
        f'<sheet name="{name}" sheetId="{at}" state="{_state(name in hidden)}" r:id="s{at}"/>'
        for at, name in enumerate(sheets, start=1)
    )
    codes = "".join(f'<numFmt numFmtId="{200 + at}" formatCode="{code}"/>' for at, code in enumerate(formats))
    kinds = "".join(f'<xf numFmtId="{200 + at}"/>' for at in range(len(formats)))
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": links(("r1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><workbookPr date1904="{int(from_1904)}"/>'
            f"<sheets>{listed}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": links(
            *((f"s{at}", "worksheet", f"worksheets/sheet{at}.xml") for at in range(1, len(sheets) + 1)),
            ("t", "sharedStrings", "sharedStrings.xml"),
            ("f", "styles", "styles.xml"),
        ),
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{texts}</sst>',
        "xl/styles.xml": (
            f'<styleSheet xmlns="{MAIN}"><numFmts>{codes}</numFmts>'
            f'<cellXfs><xf numFmtId="0"/>{kinds}</cellXfs></styleSheet>'
        ),
        **{
            f"xl/worksheets/sheet{at}.xml": body if body.startswith("<?xml") else sheet(body)
            for at, body in enumerate(sheets.values(), start=1)
        },
        **table_parts(tables),
    }


def table_parts(tables: tuple[str, ...]) -> dict[str, str]:
    """Return the parts of the tables that lie on the first sheet."""
    bodies = {
        f"xl/tables/table{at}.xml": f'<table xmlns="{MAIN}" {attributes}/>'
        for at, attributes in enumerate(tables, start=1)
    }
    targets = ((f"t{at}", "table", f"../tables/table{at}.xml") for at in range(1, len(tables) + 1))
    return bodies | ({"xl/worksheets/_rels/sheet1.xml.rels": links(*targets)} if tables else {})


def write(path: Path, contents: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in contents.items():
            archive.writestr(name, body)
    return path
