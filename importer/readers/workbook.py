"""The parts of a workbook that stand beside its sheets: their list, the shared texts and the formats.

Pure: no Django. Only parts of the archive are read; what points outside is never followed.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

from importer.issues import WorkbookRefused
from importer.readers.archive import READ_BYTES, damaged, open_part
from importer.readers.celltext import BUILT_IN, format_kind, plain_text, quoted

MAX_TEXT_BYTES = 256 * 1024 * 1024  # of shared texts in memory
WORKSHEET = "/worksheet"
_ROW = re.compile(rb"<(?:\w+:)?row[\s>/]")
_VALUE = re.compile(rb"<(?:\w+:)?(?:v|is|f)[\s>]")

Attributes = dict[str, str]
type Start = Callable[[str, Attributes], None]
type End = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SheetPart:
    """One sheet of the workbook and the part of the archive that holds it."""

    name: str
    part: str
    is_hidden: bool


@dataclass(slots=True)
class Workbook:
    """What reading a sheet needs; `texts` are canonical CSV cells, None where a text is broken."""

    sheets: list[SheetPart] = field(default_factory=list)
    from_1904: bool = False
    texts: list[str | None] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


def parse(archive: zipfile.ZipFile, name: str, start: Start, end: End, text: Callable[[str], None]) -> None:
    """Parse one part as a stream; names come without their prefix.

    :raises WorkbookRefused: it is missing, no XML, or declares a document type.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
    parser.CharacterDataHandler = text
    feed(archive, name, parser)


def feed(archive: zipfile.ZipFile, name: str, parser: expat.XMLParserType) -> None:
    """Feed a part to a parser, piece by piece."""

    def refuse(*_: object) -> None:
        raise damaged(f"part {name!r} declares a document type")

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
    book = Workbook()
    main = next((part for kind, part in _links(archive, "").values() if kind.endswith("/officeDocument")), "")
    links = _links(archive, main)

    def start(name: str, attributes: Attributes) -> None:
        if name == "workbookPr":
            book.from_1904 = attributes.get("date1904", "0") in ("1", "true")
        elif name == "sheet":
            link = next((value for key, value in attributes.items() if key.rpartition(":")[2] == "id"), "")
            kind, part = links.get(link, ("", ""))
            if kind.endswith(WORKSHEET):
                hidden = attributes.get("state", "visible") != "visible"
                book.sheets.append(SheetPart(attributes.get("name", ""), part, hidden))

    parse(archive, main, start, _ignore, _ignore)
    if not book.sheets:
        raise WorkbookRefused("The workbook has no worksheet. Upload a workbook with a table in it.")
    return book


def read_texts_and_formats(archive: zipfile.ZipFile, book: Workbook) -> None:
    """Read the shared texts and the kind of each cell format into `book`."""
    main = next(part for kind, part in _links(archive, "").values() if kind.endswith("/officeDocument"))
    for kind, part in _links(archive, main).values():
        if kind.endswith("/sharedStrings"):
            _read_texts(archive, part, book)
        elif kind.endswith("/styles"):
            _read_kinds(archive, part, book)


def count_rows(archive: zipfile.ZipFile, part: str) -> int:
    """Return about how many rows a sheet has, 0 when no cell holds anything, without parsing it."""
    rows, has_value, tail = 0, False, b""
    with open_part(archive, part) as file:
        while piece := file.read(READ_BYTES):
            piece = tail + piece
            cut = piece.rfind(b"<")
            tail, piece = piece[cut:], piece[:cut]
            if len(tail) > READ_BYTES:
                tail = b""
            rows += len(_ROW.findall(piece))
            has_value = has_value or _VALUE.search(piece) is not None
    return rows if has_value else 0


def _links(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return id -> (kind, part of the archive) of what a part refers to; outside targets are left out."""
    folder, name = posixpath.split(part)
    found: dict[str, tuple[str, str]] = {}
    names = set(archive.namelist())

    def start(tag: str, attributes: Attributes) -> None:
        if tag != "Relationship" or attributes.get("TargetMode") == "External":
            return
        target = posixpath.normpath(posixpath.join("/" + folder, attributes.get("Target", ""))).lstrip("/")
        if target in names:
            found[attributes.get("Id", "")] = (attributes.get("Type", ""), target)

    parse(archive, posixpath.join(folder, "_rels", name + ".rels"), start, _ignore, _ignore)
    return found


def _read_texts(archive: zipfile.ZipFile, part: str, book: Workbook) -> None:
    pieces: list[str] = []
    taking = spoken = False  # within <t>; within <rPh>, how a text is read aloud
    size = 0

    def start(name: str, _: Attributes) -> None:
        nonlocal taking, spoken
        if name == "si":
            pieces.clear()
        elif name == "rPh":
            spoken = True
        taking = name == "t" and not spoken

    def end(name: str) -> None:
        nonlocal taking, spoken, size
        taking = False
        if name == "rPh":
            spoken = False
        elif name == "si":
            text = plain_text("".join(pieces))
            size += 0 if text is None else len(text) + 50
            if size > MAX_TEXT_BYTES:
                raise WorkbookRefused(
                    "The workbook holds more than 256 MiB of text. Upload the sheet as CSV."
                )
            book.texts.append(None if text is None else quoted(text))

    def text(data: str) -> None:
        if taking:
            pieces.append(data)

    parse(archive, part, start, end, text)


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

    def end(name: str) -> None:
        nonlocal in_formats
        if name == "cellXfs":
            in_formats = False

    parse(archive, part, start, end, _ignore)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _ignore(*_: object) -> None:
    pass
