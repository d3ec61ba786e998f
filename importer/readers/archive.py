"""Whether an archive may be opened as a workbook: checked before any of its XML is parsed.

Pure: no Django. Reads the file only; nothing is unpacked to disk, nothing is fetched.
"""

from __future__ import annotations

import struct
import zipfile
from typing import IO

from importer.issues import WorkbookRefused

MAX_ENTRIES = 10_000
MAX_XML_BYTES = 1_500 * 1024 * 1024  # inflated, all XML parts together
MAX_RATIO = 200  # inflated to packed: a sheet is about 10, a bomb 1,000
SMALL_PART_BYTES = 8 * 1024 * 1024  # below this a high ratio does no harm
READ_BYTES = 256 * 1024
LOCAL_HEADER = struct.Struct("<4s22xHH")
XML_ENDINGS = (".xml", ".rels", ".vml")


def damaged(what: str) -> WorkbookRefused:
    return WorkbookRefused(
        f"The workbook is damaged or not made by a spreadsheet program: {what}. "
        "Open it, save it again as .xlsx and upload that file."
    )


def check_archive(archive: zipfile.ZipFile) -> None:
    """Refuse what no spreadsheet program writes: bombs, doubled or overlapping parts, document types.

    Every XML part is inflated once, in pieces, so its size, checksum and content are the real ones.

    :raises WorkbookRefused: with what is wrong.
    """
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise WorkbookRefused(f"The workbook has {len(entries):,} parts; the limit is {MAX_ENTRIES:,}.")
    _check_names(entries)
    _check_places(archive, entries)
    left = MAX_XML_BYTES
    for entry in entries:
        if entry.filename.lower().endswith(XML_ENDINGS):
            _check_size(entry, left)
            left -= _check_xml(archive, entry)


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename.casefold()
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


def _check_size(entry: zipfile.ZipInfo, left: int) -> None:
    if entry.file_size > SMALL_PART_BYTES and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise WorkbookRefused(
            f"A part of the workbook unpacks to {entry.file_size / 2**20:,.0f} MiB, over {MAX_RATIO} times its packed "
            "size. Delete empty or repeated cells, or upload the sheet as CSV."
        )
    if entry.file_size > left:
        raise WorkbookRefused("The workbook unpacks to more than 1,500 MiB. Upload the sheet as CSV instead.")


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Return how large the part really is, inflated."""
    size, tail = 0, b""
    with archive.open(entry) as part:
        while piece := part.read(READ_BYTES):
            if size == 0 and (piece.startswith((b"\xfe\xff", b"\xff\xfe")) or b"\x00" in piece[:16]):
                raise damaged(f"part {entry.filename!r} is not in UTF-8")
            size += len(piece)
            if b"<!DOCTYPE" in tail + piece:
                raise WorkbookRefused(
                    f"Part {entry.filename!r} of the workbook declares a document type, which no spreadsheet program "
                    "does. The file was not read further."
                )
            tail = piece[-8:]
    return size


def open_part(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Return a part of the workbook by its exact name.

    :raises WorkbookRefused: there is none.
    """
    try:
        return archive.open(name)
    except KeyError:
        raise damaged(f"part {name!r} is missing") from None
