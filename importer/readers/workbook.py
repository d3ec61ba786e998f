"""The parts of a workbook that stand beside its cells: the list of sheets, the formats, merged cells, tables.

Pure: no Django. Only parts of the archive are read; what points outside is never followed.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.parsers import expat

from importer.issues import WorkbookRefused
from importer.readers.archive import (
    MAX_DEPTH,
    READ_BYTES,
    XML_ENDINGS,
    damaged,
    open_part,
    part_key,
    too_deep,
)
from importer.readers.celltext import BUILT_IN, format_kind

WORKSHEET = "/worksheet"
MAX_FORMATS = 100_000

Attributes = dict[str, str]
type Start = Callable[[str, Attributes], None]
type Links = dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SheetPart:
    """One sheet of the workbook and the part of the archive that holds it."""

    name: str
    part: str
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class TotalRows:
    """The total rows of a table: `ref` is the table's area, its last `rows` rows are totals."""

    table: str
    ref: str
    rows: int


@dataclass(slots=True)
class Workbook:
    """What reading a sheet needs. `kinds` says for each format whether it shows days, times or neither."""

    main: str
    sheets: list[SheetPart] = field(default_factory=list)
    from_1904: bool = False
    kinds: list[str] = field(default_factory=list)


def is_true(text: str | None) -> bool:
    return text in ("1", "true")


def parse(
    archive: zipfile.ZipFile, name: str, start: Start, end: Callable[[str], None] | None = None
) -> None:
    """Parse one part as a stream; names come without their prefix.

    :raises WorkbookRefused: it is missing, no XML, nested too deeply, or declares a document type.
    """

    def refuse(*_: object) -> None:
        raise damaged(f"part {name!r} declares a document type")

    depth = 0

    def begin(tag: str, attributes: Attributes) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise too_deep()
        start(tag.rpartition(":")[2], attributes)

    def finish(tag: str) -> None:
        nonlocal depth
        depth -= 1
        if end is not None:
            end(tag.rpartition(":")[2])

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, finish
    parser.StartDoctypeDeclHandler = refuse
    with open_part(archive, name) as part:
        try:
            while piece := part.read(READ_BYTES):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise damaged(f"part {name!r} is no XML ({error})") from error


def read_workbook(archive: zipfile.ZipFile) -> Workbook:
    """Return the list of worksheets and the way days are counted; charts and macro sheets are left out."""
    main = next((part for kind, part in links(archive, "").values() if kind.endswith("/officeDocument")), "")
    if not main:
        if any(part_key(name).endswith("xl/workbook.bin") for name in archive.namelist()):
            raise WorkbookRefused(
                "This is a binary workbook (.xlsb). Open it, save it as .xlsx and upload that."
            )
        raise damaged("no part is named as the workbook")
    book = Workbook(main)
    found = links(archive, main)

    def start(name: str, attributes: Attributes) -> None:
        if name == "workbookPr":
            book.from_1904 = is_true(attributes.get("date1904"))
        elif name == "sheet":
            link = next((value for key, value in attributes.items() if key.rpartition(":")[2] == "id"), "")
            kind, part = found.get(link, ("", ""))
            if kind.endswith(WORKSHEET):
                hidden = attributes.get("state", "visible") != "visible"
                book.sheets.append(SheetPart(attributes.get("name", ""), part, hidden))

    parse(archive, main, start)
    if not book.sheets:
        raise WorkbookRefused("The workbook has no worksheet. Upload a workbook with a table in it.")
    return book


def shared_texts_part(archive: zipfile.ZipFile, book: Workbook) -> str | None:
    """Return the part that holds the shared texts, if there is one."""
    found = links(archive, book.main).values()
    return next((part for kind, part in found if kind.endswith("/sharedStrings")), None)


def read_formats(archive: zipfile.ZipFile, book: Workbook) -> None:
    """Read the kind of each cell format into `book`."""
    for kind, part in links(archive, book.main).values():
        if kind.endswith("/styles"):
            _read_kinds(archive, part, book)


def read_total_rows(archive: zipfile.ZipFile, sheet: SheetPart) -> list[TotalRows]:
    """Return the total rows of the sheet's tables."""
    found: list[TotalRows] = []

    def start(name: str, attributes: Attributes) -> None:
        rows = _number(attributes.get("totalsRowCount")) if name == "table" else 0
        if rows:
            title = attributes.get("displayName") or attributes.get("name", "")
            found.append(TotalRows(title, attributes.get("ref", ""), rows))

    for kind, part in links(archive, sheet.part).values():
        if kind.endswith("/table"):
            parse(archive, part, start)
    return found


def links(archive: zipfile.ZipFile, part: str) -> Links:
    """Return id -> (kind, part of the archive) of what a part refers to; outside targets are left out."""
    folder, name = posixpath.split(part.replace("\\", "/"))
    found: Links = {}
    names = {part_key(name): name for name in archive.namelist()}
    own = names.get(part_key(posixpath.join(folder, "_rels", name + ".rels")))
    if own is None:
        return found

    def start(tag: str, attributes: Attributes) -> None:
        if tag != "Relationship" or attributes.get("TargetMode") == "External":
            return
        target = attributes.get("Target", "").replace("\\", "/")
        for spelt in (target, unquote(target)):
            key = part_key(posixpath.normpath(posixpath.join("/" + folder, spelt)))
            if key in names and key.endswith(XML_ENDINGS):  # others were not checked
                found[attributes.get("Id", "")] = (attributes.get("Type", ""), names[key])
                return

    parse(archive, own, start)
    return found


def _read_kinds(archive: zipfile.ZipFile, part: str, book: Workbook) -> None:
    codes: dict[int, str] = {}
    in_formats = False

    def start(name: str, attributes: Attributes) -> None:
        nonlocal in_formats
        if name == "numFmt":
            codes[_number(attributes.get("numFmtId"))] = format_kind(attributes.get("formatCode", ""))
        elif name == "cellXfs":
            in_formats = True
        elif name == "xf" and in_formats:
            number = _number(attributes.get("numFmtId"))
            book.kinds.append(codes.get(number, BUILT_IN.get(number, "")))
        if len(book.kinds) + len(codes) > MAX_FORMATS:
            raise damaged(f"it has more than {MAX_FORMATS:,} formats")

    def end(name: str) -> None:
        nonlocal in_formats
        if name == "cellXfs":
            in_formats = False

    parse(archive, part, start, end)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else 0
