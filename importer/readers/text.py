r"""From the bytes of a file to UTF-8, and back to offsets in the file.

A byte that is no text in the file's encoding travels as half of a surrogate pair (which UTF-8 proper has
no place for), so that it is found again record by record and the file's other bytes are counted right.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import BinaryIO

BOMS: dict[str, bytes] = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


@dataclass(frozen=True, slots=True)
class BadBytes:
    """Why a row cannot be read: bytes that are no text, unless `rule` says something else under another `code`.

    `offset` is where they stand in the file, `word` how they are shown; `position` is the cell, -1 if unknown.
    """

    offset: int
    word: str
    code: str = "encoding-error"
    rule: str = ""
    position: int = -1


class TextSource:
    """A file read as UTF-8 from `offset` on, up to `stop`; `offset` moves behind a byte order mark."""

    def __init__(self, file: BinaryIO, encoding: str, offset: int, stop: int | None = None) -> None:
        self._file = file
        self._stop = stop
        self._encoding = encoding
        self.offset = offset
        self.is_at_end = False
        mark = BOMS.get(encoding, b"")
        if offset == 0 and mark and file.read(len(mark)) == mark:
            self.offset = len(mark)
        file.seek(self.offset)
        self.is_utf8 = encoding == "utf-8"
        self._errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=self._errors)

    def read(self, size: int) -> bytes:
        """Return about `size` bytes more of the text; nothing is left when `is_at_end` is set."""
        if self._stop is not None:
            size = max(0, min(size, self._stop - self._file.tell()))
        raw = self._file.read(size)
        self.is_at_end = len(raw) < size or (self._stop is not None and self._file.tell() >= self._stop)
        if self.is_utf8:
            return raw
        try:
            text = self._decoder.decode(raw, final=self.is_at_end)
        except UnicodeDecodeError:  # UTF-16 that ends within a character
            text = self._decoder.decode(raw[:-1]) + "".join(chr(0xDC00 + byte) for byte in raw[-1:])
        return text.encode("utf-8", "surrogatepass")

    def raw_length(self, data: bytes) -> int:
        """Return how many bytes of the file `data`, a part of what `read` returned, stands for."""
        if self.is_utf8 or not data:
            return len(data)
        return len(data.decode("utf-8", "surrogatepass").encode(self._encoding, self._errors))


def is_utf8(data: bytes) -> bool:
    """Return whether all of it is text: what `data.decode()` says, several times as fast."""
    import polars as pl  # slow import  # noqa: PLC0415

    if data.isascii():
        return True
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return True


def escape_bad_bytes(record: bytes) -> tuple[bytes, int, str]:
    r"""Return a record with `\xe9` for each bad byte, where the first one stands, and how it is shown.

    The word is empty when nothing is bad.
    """
    try:
        record.decode()
    except UnicodeDecodeError as error:
        at = error.start
        word = record[at : error.end].decode("ascii", "backslashreplace")
    else:
        return record, 0, ""
    try:
        text = record.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # the file's own bytes: it is read as UTF-8
        return record.decode("utf-8", "backslashreplace").encode(), at, word
    bad = record[at : at + 3].decode("utf-8", "surrogatepass")
    return "".join(_escaped(char) for char in text).encode(), at, _escaped(bad)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else char
