"""Whether an archive may be opened as a workbook: checked before any of its XML is parsed.

Pure: no Django. Reads the file only; nothing is unpacked to disk, nothing is fetched.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from importer.issues import WorkbookRefused

MAX_ENTRIES = 10_000
MAX_XML_BYTES = 1_500 * 1024 * 1024  # inflated, all XML parts together
MAX_RATIO = 100  # inflated to packed: a sheet is about 10, a bomb 1,000
SMALL_BYTES = 8 * 1024 * 1024  # below this a high ratio does no harm
MAX_GAP_BYTES = 4 * 1024 * 1024  # between two tags: no cell holds as much
READ_BYTES = 256 * 1024
MAX_DEPTH = 100  # of elements in each other; a workbook's stand a dozen deep
OVERLAP = 32  # of two pieces, so that a word on the border is seen
LOCAL_HEADER = struct.Struct("<4s22xHH")
DIRECTORY_ENTRY = b"PK\x01\x02"
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
XML_ENDINGS = (".xml", ".rels", ".vml")
_VALUE = re.compile(rb"""<(?:\w+:)?(?:v|is|f)[\s>]|\st=["']e["']""")


@dataclass(slots=True)
class Glance:
    """What is seen of a part while it is checked; `rows` is about how many rows with cells it has."""

    size: int = 0
    rows: int = 0
    has_value: bool = False
    has_merges: bool = False

    def look(self, piece: bytes, *, counts: bool = True) -> None:
        self.rows += counts * (piece.count(b"</row>") + piece.count(b":row>"))
        self.has_value = self.has_value or _VALUE.search(piece) is not None
        self.has_merges = self.has_merges or b"mergeCell " in piece


def damaged(what: str) -> WorkbookRefused:
    return WorkbookRefused(
        f"The workbook is damaged or not made by a spreadsheet program: {what}. "
        "Open it, save it again as .xlsx and upload that file."
    )


def too_deep() -> WorkbookRefused:
    return damaged(f"elements stand more than {MAX_DEPTH} deep in each other")


def check_file(path: Path) -> None:
    """Refuse what is no archive, or one of so many parts that reading its directory alone takes too long.

    :raises WorkbookRefused: with what is wrong.
    """
    found, tail = 0, b""
    with path.open("rb") as file:
        if file.read(len(OLD_OFFICE)) == OLD_OFFICE:
            raise WorkbookRefused(
                "The workbook is protected by a password or is an old .xls file. "
                "Save it as .xlsx without a password and upload that."
            )
        while piece := file.read(1 << 20):
            found += (tail + piece).count(DIRECTORY_ENTRY)
            tail = piece[1 - len(DIRECTORY_ENTRY) :]
            if found > MAX_ENTRIES:
                raise WorkbookRefused(f"The workbook has more than {MAX_ENTRIES:,} parts, which none needs.")


def check_archive(archive: zipfile.ZipFile) -> dict[str, Glance]:
    """Refuse what no spreadsheet program writes: bombs, doubled or overlapping parts, document types.

    Every XML part is inflated once, in pieces, so its size, checksum and content are the real ones.
    Returns what was seen of each.

    :raises WorkbookRefused: with what is wrong.
    """
    entries = archive.infolist()
    _check_names(entries)
    _check_places(archive, entries)
    parts = [entry for entry in entries if entry.filename.lower().endswith(XML_ENDINGS)]
    _check_sizes(parts)
    return {entry.filename: _check_xml(archive, entry) for entry in parts}


def part_key(name: str) -> str:
    """Return what names of the same part share: their case does not count, and some write backslashes."""
    return name.replace("\\", "/").lstrip("/").casefold()


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise WorkbookRefused(f"The workbook has more than {MAX_ENTRIES:,} parts, which none needs.")
    seen: set[str] = set()
    for entry in entries:
        name = part_key(entry.filename)
        if name in seen:
            raise damaged(f"duplicate part {entry.filename!r}")
        seen.add(name)
        if entry.flag_bits & 1:
            raise WorkbookRefused(
                "The workbook is protected by a password. Save it without one and upload that."
            )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(f"part {entry.filename!r} is packed in an unusual way")


def _check_places(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse entries that share bytes: a few packed bytes would be inflated many times."""
    file = archive.fp
    if file is None:
        raise damaged("the archive is closed")
    behind = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < behind:
            raise damaged(f"part {entry.filename!r} overlaps another")
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise damaged(f"part {entry.filename!r} is not where the directory says")
        _, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        behind = entry.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes + entry.compress_size
    if behind > archive.start_dir:
        raise damaged("the last part overlaps the directory")


def _check_sizes(parts: list[zipfile.ZipInfo]) -> None:
    """Refuse a bomb by what its directory admits. What it hides is never inflated: its checksum is wrong then."""
    sizes = [(entry.file_size, entry.compress_size) for entry in parts]
    unpacked, packed = sum(size for size, _ in sizes), sum(size for _, size in sizes)
    for what, size, from_size in [("A part of the", *size) for size in sizes] + [("The", unpacked, packed)]:
        if size > SMALL_BYTES and size > MAX_RATIO * max(1, from_size):
            raise WorkbookRefused(
                f"{what} workbook unpacks to {size / 2**20:,.0f} MiB, over {MAX_RATIO} times its packed size. "
                "Delete empty or repeated cells, or upload the sheet as CSV."
            )
    if unpacked > MAX_XML_BYTES:
        raise WorkbookRefused("The workbook unpacks to more than 1,500 MiB. Upload the sheet as CSV instead.")


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Glance:
    seen, tail, gap = Glance(), b"", 0
    with archive.open(entry) as part:
        while piece := part.read(READ_BYTES):
            if seen.size == 0 and (piece.startswith((b"\xfe\xff", b"\xff\xfe")) or b"\x00" in piece[:16]):
                raise damaged(f"part {entry.filename!r} is not in UTF-8")
            seen.size += len(piece)
            gap = 0 if b"<" in piece else gap + len(piece)
            if gap > MAX_GAP_BYTES:
                raise damaged(f"part {entry.filename!r} holds a text of more than 4 MiB")
            seen.look(piece)
            border = tail + piece[:OVERLAP]
            if b"<!DOCTYPE" in piece or b"<!DOCTYPE" in border:
                raise WorkbookRefused(
                    f"Part {entry.filename!r} of the workbook declares a document type, which no spreadsheet program "
                    "does. The file was not read further."
                )
            seen.look(border, counts=False)
            tail = piece[-OVERLAP:]
    return seen


def open_part(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Return a part of the workbook by its exact name.

    :raises WorkbookRefused: there is none.
    """
    try:
        return archive.open(name)
    except KeyError:
        raise damaged(f"part {name!r} is missing") from None
