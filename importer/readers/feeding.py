"""A large part of a workbook, streamed: what is plain goes to a quick reader, everything else to expat.

Between two elements of one kind (rows, shared texts) the quick reader may take as many whole ones as it
understands; expat never sees these. What it does see is then still well-formed, and everything the quick
reader does not know by heart is read by the one true parser.

Pure: no Django.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from xml.parsers import expat

from importer.readers.archive import READ_BYTES, damaged, open_part

KEPT_BYTES = 4 * 1024 * 1024  # of an element that does not end; larger ones are streamed
type Quick = Callable[[bytes, int, int], int]


class Feeder:
    """Feeds a parser and a quick reader in turns.

    `end` is the end tag of the elements, `quick(data, at, stop)` takes whole elements from `at` on and
    returns where it stopped. The parser's handler of that end tag calls `mark`.
    """

    def __init__(self, parser: expat.XMLParserType, end: bytes, quick: Quick) -> None:
        self._parser, self._end, self._quick = parser, end, quick
        self._fed, self._boundary = 0, -1

    def mark(self) -> None:
        """Note where the end tag that is being handled ends: there, and nowhere else, an element may begin."""
        self._boundary = self._parser.CurrentByteIndex + len(self._end)

    def feed(self, archive: zipfile.ZipFile, name: str) -> None:
        """Feed a part, piece by piece.

        :raises WorkbookRefused: it is missing, no XML, or declares a document type.
        """

        def refuse(*_: object) -> None:
            raise damaged(f"part {name!r} declares a document type")

        self._parser.StartDoctypeDeclHandler = refuse
        rest = b""
        with open_part(archive, name) as part:
            try:
                while piece := part.read(READ_BYTES):
                    rest = self._take(rest + piece)
                self._parse(rest)
                self._parser.Parse(b"", True)
            except expat.ExpatError as error:
                raise damaged(f"part {name!r} is no XML ({error})") from error

    def _take(self, data: bytes) -> bytes:
        """Return what is left of `data`: the beginning of an element."""
        at, stop = 0, data.rfind(self._end) + len(self._end)
        is_plain = stop >= len(self._end) and _is_text(data[:stop])
        while at < stop >= len(self._end):
            if is_plain and self._is_between:
                at = self._quick(data, at, stop)
                if at >= stop:
                    break
            end = data.find(self._end, at) + len(self._end)
            self._parse(data[at:end])
            at = end
        rest = data[at:] if at else data
        if self._is_between and len(rest) < KEPT_BYTES:
            return rest
        self._parse(rest)
        return b""

    @property
    def _is_between(self) -> bool:
        return self._boundary == self._fed

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        self._parser.Parse(data, False)


def _is_text(data: bytes) -> bool:
    """Return whether expat would find nothing wrong with the characters: UTF-8, and nothing XML forbids in it."""
    if data.isascii():
        return b"]]>" not in data
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"]]>" not in data and b"\xef\xbf\xbe" not in data and b"\xef\xbf\xbf" not in data
