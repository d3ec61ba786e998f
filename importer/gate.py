"""What kind of file this is, by its content; its name and the browser's word for it are not believed.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import codecs
from typing import Literal

from importer.issues import EmptyFile, WrongKind

HEAD_BYTES = 262_144  # what `file_kind` and `dialect.sniff` want to see of a file

type Kind = Literal["csv", "xlsx"]

ZIP = b"PK\x03\x04"
WORKBOOK_PART = b"xl/"
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"{\\rtf", "an RTF document"),
)
MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
)
UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b\x1a\x1c\x1d\x1e\x1f"))
FEW = 3  # as many may stand in a file however small
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def file_kind(head: bytes, name: str) -> Kind:
    """Return the kind of the file that begins with `head` (its first HEAD_BYTES).

    A workbook is only recognised here, not opened; `readers.xlsx` checks the archive before reading it.

    :raises EmptyFile: there are no bytes.
    :raises WrongKind: it is neither delimited text nor an .xlsx workbook.
    """
    if not head.strip():
        raise EmptyFile(f"The file {name!r} is empty. Upload a file that has a header row.")
    if head.startswith(ZIP):
        return _zip_kind(head, name)
    if head.startswith(OLD_OFFICE):
        raise WrongKind(
            f"{name!r} is an old .xls file or a password-protected workbook. "
            "Open it in a spreadsheet program and save it as .xlsx without a password."
        )
    _refuse_known(head, name)
    _refuse_binary(head, name)
    return "csv"


def _zip_kind(head: bytes, name: str) -> Kind:
    """Return "xlsx" when the archive's first entries, or its directory, name a workbook's parts."""
    if WORKBOOK_PART in head or b"[Content_Types].xml" in head:
        if b"word/document.xml" in head or b"ppt/presentation.xml" in head:
            raise WrongKind(f"{name!r} is an Office document, but not a workbook. Upload .xlsx or CSV.")
        return "xlsx"
    if b"mimetypeapplication/vnd.oasis" in head[:120]:
        raise WrongKind(f"{name!r} is an OpenDocument file. Save the sheet as .xlsx or CSV and upload that.")
    raise WrongKind(f"{name!r} is a zip archive. Unpack it and upload the CSV or .xlsx file inside.")


def _refuse_known(head: bytes, name: str) -> None:
    for magic, what in REFUSED:
        if head.startswith(magic):
            raise WrongKind(f"{name!r} is {what}. Upload a CSV or .xlsx file.")
    start = head[:1024].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for magic, what in MARKUP:
        if start.startswith(magic):
            raise WrongKind(f"{name!r} is {what}. Upload a CSV or .xlsx file.")


def _refuse_binary(head: bytes, name: str) -> None:
    """Refuse what is full of NUL bytes; a lone NUL is an issue of its row, and UTF-16 is full of them."""
    if head.startswith(UTF32):
        raise WrongKind(f"{name!r} is UTF-32 text. Save it as UTF-8 and upload that.")
    if head.startswith(WIDE) or looks_like_utf16(head):
        return
    nuls, controls = head.count(0), len(head) - len(head.translate(None, CONTROLS))
    if (nuls > FEW and nuls * 100 > len(head)) or (controls > FEW and controls * 20 > len(head)):
        raise WrongKind(f"{name!r} is a binary file, not a table. Upload a CSV or .xlsx file.")


def looks_like_utf16(head: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" when NUL bytes stand in one half of the byte pairs only.

    Text of other scripts has few of them: then delimiters and line ends must be among them, and all of it be text.
    """
    sample = head[: 4096 & ~1]
    if len(sample) < 4:
        return None
    sample = sample[: len(sample) & ~1]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    pairs = len(sample) // 2
    if odd * 10 > pairs * 3 and even * 20 < odd:
        return "utf-16-le"
    if even * 10 > pairs * 3 and odd * 20 < even:
        return "utf-16-be"
    likely = [name for name in ("utf-16-le", "utf-16-be") if (odd or even) and _is_table(sample, name)]
    return likely[0] if len(likely) == 1 else None


def _is_table(sample: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    marks = sum(text.count(mark) for mark in ",;|\t")
    ends = text.count("\n") or text.count("\r")
    is_text = all(char.isprintable() or char in "\r\n\t" for char in text)
    return is_text and marks > 0 and ends > 0 and (marks + ends) * 50 > len(text)
