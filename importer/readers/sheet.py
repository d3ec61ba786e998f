"""One sheet of a workbook as canonical CSV: one record for each row from row 1, in bounded memory.

What shows a value but holds none to trust (errors, formulas without a result, numbers of more digits than
are kept) is written as the word it shows and named as a hazard, so that nothing becomes an empty cell.

Pure: no Django.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from importer.header import looks_like_data
from importer.issues import WorkbookRefused
from importer.readers.archive import damaged
from importer.readers.celltext import number_text, plain_text, quoted, serial_text
from importer.readers.grammar import grammar_of
from importer.readers.workbook import Attributes, Workbook, feed

MAX_ROWS = 1_048_576
MAX_COLUMNS = 1_600  # PostgreSQL's own limit
MAX_CELLS = 25_000_000
MAX_HAZARDS = 100_000
SHOWN_FORMULA = 100
_LETTERS = re.compile(r"[A-Z]{1,3}")


class SheetWriter:
    """Handlers of the sheet's XML, and the rows they make."""

    def __init__(self, book: Workbook, out: BinaryIO) -> None:
        self.book, self.out = book, out
        self.rows = self.width = self.cells = self.formulas = 0
        self.widths: list[tuple[int, int]] = []  # (first row, how wide rows are written from there on)
        self.hazards: dict[tuple[int, int], str] = {}
        self._columns: dict[str, int] = {}
        self._row, self._row_text, self._column = 0, "", -1
        self._line: dict[int, str] = {}
        self._type, self._kind = "n", ""
        self._value: list[str] = []
        self._formula: list[str] | None = None
        self._taking: list[str] | None = None
        self._is_spoken = False

    def attach(self, parser: expat.XMLParserType) -> None:
        """Handle the events of `parser`. The first element tells the prefix of all the others."""
        parser.buffer_text = True

        def first(name: str, _: Attributes) -> None:
            prefix = name.rpartition(":")[0]
            self._bind(parser, prefix + ":" if prefix else "")

        parser.StartElementHandler = first

    def _bind(self, parser: expat.XMLParserType, prefix: str) -> None:
        row, cell = prefix + "row", prefix + "c"
        starts = {
            row: self._start_row,
            cell: self._start_cell,
            prefix + "v": self._start_value,
            prefix + "t": self._start_value,
            prefix + "f": self._start_formula,
            prefix + "rPh": self._start_spoken,
        }
        ends = {row: self._end_row, cell: self._end_cell, prefix + "rPh": self._end_spoken}

        def start(name: str, attributes: Attributes) -> None:
            if handle := starts.get(name):
                handle(attributes)

        def end(name: str) -> None:
            self._taking = None
            if handle := ends.get(name):
                handle()

        def characters(data: str) -> None:
            if self._taking is not None:
                self._taking.append(data)

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = characters

    def _start_value(self, _: Attributes) -> None:
        if not self._is_spoken:
            self._taking = self._value

    def _start_formula(self, _: Attributes) -> None:
        self._formula = self._taking = []

    def _start_spoken(self, _: Attributes) -> None:
        self._is_spoken = True

    def _end_spoken(self) -> None:
        self._is_spoken = False

    def _start_row(self, attributes: Attributes) -> None:
        number = attributes.get("r")
        row = self._row + 1 if number is None else _whole(number)
        if row <= self._row:
            raise damaged(f"row {row} comes after row {self._row}")
        if row > MAX_ROWS:
            raise damaged(f"row {row} is beyond the last row of a sheet")
        self._row, self._row_text, self._column = row, str(row), -1
        self._line = {}

    def _start_cell(self, attributes: Attributes) -> None:
        reference = attributes.get("r")
        if reference is None:
            self._column += 1
        else:
            letters = reference.rstrip("0123456789")
            column = self._columns.get(letters)
            if column is None:
                column = self._columns[letters] = _column_of(letters)
            if reference[len(letters) :] != self._row_text:
                raise damaged(f"cell {reference!r} stands in row {self._row}")
            self._column = column
        if self._column in self._line:
            raise damaged(f"two cells of row {self._row} stand in column {self._column + 1}")
        self._line[self._column] = ""
        self._type = attributes.get("t", "n")
        style = attributes.get("s")
        self._kind = self._kind_of(style) if style else ""
        self._value, self._formula = [], None

    def _kind_of(self, style: str) -> str:
        at = int(style) if style.isdecimal() and len(style) < 9 else -1
        return self.book.kinds[at] if 0 <= at < len(self.book.kinds) else ""

    def _end_cell(self) -> None:
        raw = "".join(self._value)
        if self._formula is not None:
            if not raw and self._type != "str":
                self._hazard("=" + "".join(self._formula)[:SHOWN_FORMULA])
                return
            self.formulas += 1
        if not raw:
            return
        cell = self._text_of(raw)
        if cell is None:
            self._hazard(raw if self._type != "s" else "_x broken text")
        elif cell:
            self._put(cell)

    def _text_of(self, raw: str) -> str | None:
        """Return a cell of canonical CSV, or None for a hazard."""
        kind = self._type
        if kind == "n":
            if self._kind:
                return serial_text(raw, self._kind, from_1904=self.book.from_1904)
            return number_text(raw)
        if kind == "s":
            at = int(raw) if raw.isdecimal() and len(raw) < 10 else -1
            if not 0 <= at < len(self.book.texts):
                raise damaged(f"a cell of row {self._row} refers to text {raw}, which is not there")
            return self.book.texts[at]
        if kind in ("str", "inlineStr"):
            text = plain_text(raw)
            return None if text is None else quoted(text)
        if kind == "b":
            return {"1": "true", "0": "false", "true": "true", "false": "false"}.get(raw)
        return quoted(raw.removesuffix("T00:00:00")) if kind == "d" else None

    def _hazard(self, word: str) -> None:
        if self._type == "e" and not word.startswith("#"):
            word = "#" + word
        if len(self.hazards) >= MAX_HAZARDS:
            raise WorkbookRefused(
                f"More than {MAX_HAZARDS:,} cells of the sheet hold errors or formulas without a result. "
                "Open the workbook, let it calculate, save it and upload it again."
            )
        self.hazards[self._row, self._column] = word
        self._put(quoted(word))

    def _put(self, cell: str) -> None:
        if self._column >= MAX_COLUMNS:
            raise WorkbookRefused(
                f"The sheet is too large: column {self._column + 1:,} holds a value; at most {MAX_COLUMNS:,} may."
            )
        self._line[self._column] = cell

    def _end_row(self) -> None:
        last = max((column for column, cell in self._line.items() if cell), default=-1)
        if last < 0:
            return
        self.cells += last + 1
        if self.cells > MAX_CELLS:
            raise WorkbookRefused(f"The sheet has more than {MAX_CELLS:,} cells. Upload it as CSV instead.")
        if last + 1 > self.width:
            self.width = last + 1
            self.widths.append((self._row, self.width))
        self.out.write(b"\n" * (self._row - self.rows - 1))
        self.rows = self._row
        get = self._line.get
        self.out.write((",".join([get(column, "") for column in range(self.width)]) + "\n").encode())


def write_sheet(archive: zipfile.ZipFile, part: str, book: Workbook, out: Path) -> SheetWriter:
    """Write a sheet as canonical CSV to `out`, each row as wide as the widest so far.

    So a cell beyond the header's last label makes its row too wide for the header, as in any CSV. Where the
    first row looks like data there is no header, and every row is as wide as the widest.

    :raises WorkbookRefused: the sheet is damaged or larger than its limits.
    """
    narrow = out.with_name(out.name + ".narrow")
    try:
        with narrow.open("wb") as file:
            writer = SheetWriter(book, file)
            parser = expat.ParserCreate()
            writer.attach(parser)
            feed(archive, part, parser)
        if len(writer.widths) > 1 and _begins_with_data(narrow):
            _widen(narrow, out, writer)
        else:
            narrow.replace(out)
    finally:
        narrow.unlink(missing_ok=True)
    return writer


def _begins_with_data(path: Path) -> bool:
    """Return whether the first row that holds anything reads as data rather than as labels."""
    with path.open("rb") as file:
        head = file.read(1 << 20).lstrip(b"\n")
    end = grammar_of(",", '"').first_end(head)
    return end > 0 and looks_like_data(next(grammar_of(",", '"').records(head[:end].decode())).cells, ())


def _widen(narrow: Path, out: Path, writer: SheetWriter) -> None:
    """Copy the rows, with the delimiters that those above the first row of full width still lack."""
    grammar = grammar_of(",", '"')
    steps = [*writer.widths[1:], (MAX_ROWS + 1, 0)]
    at, width, row, tail = 0, writer.widths[0][1], 0, b""
    with narrow.open("rb") as source, out.open("wb") as target:
        while piece := source.read(1 << 20):
            data = tail + piece
            done = 0
            for begin, end in grammar.bounds(data):
                row += 1
                if row >= steps[at][0]:
                    width, at = steps[at][1], at + 1
                missing = writer.width - width
                is_filled = missing and end - begin > 1
                target.write(data[begin : end - 1] + b"," * missing + b"\n" if is_filled else data[begin:end])
                done = end
            tail = data[done:]


def _whole(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 10:
        raise damaged(f"{text[:20]!r} is no row number")
    return int(text)


def _column_of(letters: str) -> int:
    """Return the column's position from 0: A is 0, XFD 16,383."""
    if not _LETTERS.fullmatch(letters):
        raise damaged(f"{letters[:20]!r} is no column")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    if column > 16_384:
        raise damaged(f"column {letters} is beyond the last column of a sheet")
    return column - 1
