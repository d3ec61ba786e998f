"""The shared texts of a workbook: millions of them, in little memory.

Each is kept as the cell of canonical CSV it becomes, end to end with the others: in memory at first, in a
file beside the output when there are many.

Pure: no Django.
"""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from xml.parsers import expat

from importer.issues import WorkbookRefused
from importer.readers.archive import MAX_DEPTH, damaged, too_deep
from importer.readers.celltext import MAX_CELL_BYTES, TEXT, cell_of, cell_of_xml, plain_text
from importer.readers.feeding import Feeder

KEPT_BYTES = 48 * 1024 * 1024  # of texts in memory; further ones go to the file
MAX_BROKEN = 100_000
_PLAIN = re.compile(rb'<si><t(?: xml:space="preserve")?+>(' + TEXT + rb")</t></si>[ \n]*+")


class Texts:
    """Numbered texts. `broken` are those that no text can be made of, with how they are shown."""

    def __init__(self, folder: Path) -> None:
        self.broken: dict[int, str] = {}
        self._folder = folder
        self._kept = bytearray()
        self._ends = array("I", (0,))  # the limits of a part keep them below 4 GiB
        self._kept_count = 0  # so many of the first texts are in memory
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, cell: bytes) -> None:
        if self._file is None and len(self._kept) + len(cell) > KEPT_BYTES:
            self._kept_count = len(self)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 -- it lives as long as the texts
        if self._file is None:
            self._kept += cell
        else:
            self._file.write(cell)
        self._ends.append(self._ends[-1] + len(cell))

    def finish(self) -> None:
        """Make everything that was added readable."""
        if self._file is None:
            self._kept_count = len(self)
        else:
            self._file.flush()

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def cells(self, raw: Sequence[bytes]) -> list[bytes | None]:
        """Return the texts of cells as `cell` does of each."""
        if self._file is None and not self.broken and b"".join(raw).isdigit() and max(map(len, raw)) <= 10:
            ends, kept = self._ends, self._kept
            try:
                return [bytes(kept[ends[at] : ends[at + 1]]) for at in map(int, raw)]
            except IndexError:
                pass
        return [self.cell(one) for one in raw]

    def cell(self, raw: bytes) -> bytes | None:
        """Return the text of a cell that refers to number `raw`, or None when it is broken or not there."""
        if not raw.isdigit() or len(raw) > 10:
            return None
        at = int(raw)
        if at >= len(self._ends) - 1 or at in self.broken:
            return None
        begin, end = self._ends[at], self._ends[at + 1]
        if at < self._kept_count:
            return bytes(self._kept[begin:end])
        assert self._file is not None
        return os.pread(self._file.fileno(), end - begin, begin - len(self._kept))


class TextsReader:
    """Handlers of the shared texts' XML, and the quick reader of the plain ones."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._pieces: list[str] = []
        self._size = self._depth = 0
        self._is_taking = self._is_spoken = False  # within <t>; within <rPh>, how a text is read aloud
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._feeder = Feeder(self._parser, b"</si>", self._quick)

    def read(self, archive: zipfile.ZipFile, part: str) -> None:
        self._feeder.feed(archive, part)
        self._texts.finish()

    def _quick(self, data: bytes, at: int, stop: int) -> int:
        add = self._texts.add
        for found in iter(_PLAIN.scanner(data, at).match, None):  # type: ignore[attr-defined]
            text = found[1]
            cell = cell_of_xml(text) if len(text) <= MAX_CELL_BYTES else None
            if cell is None:
                break
            add(cell)
            at = found.end()
        return at

    def _start(self, tag: str, _: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_deep()
        name = tag.rpartition(":")[2]
        if name == "si":
            self._pieces, self._size = [], 0
        elif name == "rPh":
            self._is_spoken = True
        self._is_taking = name == "t" and not self._is_spoken

    def _end(self, tag: str) -> None:
        self._depth -= 1
        name = tag.rpartition(":")[2]
        self._is_taking = False
        if name == "rPh":
            self._is_spoken = False
        elif name == "si":
            self._finish_text()
            self._feeder.mark()

    def _characters(self, data: str) -> None:
        if self._is_taking:
            self._size += len(data)
            if self._size > MAX_CELL_BYTES:
                raise damaged(f"text {len(self._texts) + 1:,} is larger than 1 MiB")
            self._pieces.append(data)

    def _finish_text(self) -> None:
        raw = "".join(self._pieces)
        text = plain_text(raw)
        if text is None:
            self._texts.broken[len(self._texts)] = raw
            if len(self._texts.broken) > MAX_BROKEN:
                raise WorkbookRefused(
                    f"More than {MAX_BROKEN:,} texts hold half of a surrogate pair. Correct them and upload again."
                )
        self._texts.add(b"" if text is None else cell_of(raw) or b"")
