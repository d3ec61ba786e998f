"""One sheet of a workbook as canonical CSV: one record for each row from row 1, in bounded memory.

What shows a value but holds none to trust (errors, formulas without a result, numbers of more digits than
are kept) is written as the word it shows and named as a hazard, so that nothing becomes an empty cell.

Pure: no Django.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from importer.readers.archive import MAX_DEPTH, damaged, too_deep
from importer.readers.areas import MAX_ROWS, Areas, column_of
from importer.readers.celltext import MAX_CELL_BYTES, cell_of, iso_text, number_text, quoted, serial_text
from importer.readers.feeding import Feeder
from importer.readers.quickrows import QuickRows
from importer.readers.records import Records, widen
from importer.readers.texts import Texts
from importer.readers.workbook import Attributes, Workbook, is_true

SHOWN_FORMULA = 100


class SheetReader:
    """Handlers of the sheet's XML: the one truth about a row, whoever wrote it."""

    def __init__(self, book: Workbook, texts: Texts, records: Records, areas: Areas) -> None:
        self._book, self._texts, self._records, self._areas = book, texts, records, areas
        self._quick = QuickRows(book, texts, records, areas)
        self._row_text, self._column = "", -1
        self._is_in_row = self._is_in_cell = self._is_hidden = self._has_areas = self._has_value = False
        self._line: dict[int, bytes] = {}
        self._type, self._kind = "n", ""
        self._value: list[str] = []
        self._formula: list[str] | None = None
        self._taking: list[str] | None = None
        self._size = 0
        self._is_spoken = self._is_kept = False

    def read(self, archive: zipfile.ZipFile, part: str, *, is_quick: bool = True) -> None:
        """Read a sheet. The first element tells the prefix of all the others."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        feeder = Feeder(parser, b"</row>", self._quick.take if is_quick else lambda _, at, __: at)

        def first(name: str, _: Attributes) -> None:
            prefix = name.rpartition(":")[0]
            self._bind(parser, prefix + ":" if prefix else "", feeder.mark)

        parser.StartElementHandler = first
        feeder.feed(archive, part)

    def _bind(self, parser: expat.XMLParserType, prefix: str, mark: Callable[[], None]) -> None:
        row, cell = prefix + "row", prefix + "c"
        starts: dict[str, Callable[[Attributes], None]] = {
            row: self._start_row,
            cell: self._start_cell,
            prefix + "v": self._start_value,
            prefix + "t": self._start_text,
            prefix + "f": self._start_formula,
            prefix + "rPh": self._start_spoken,
            prefix + "col": self._start_column,
        }
        ends = {row: self._end_row, cell: self._end_cell, prefix + "rPh": self._end_spoken}

        depth = 1  # of the elements read one by one; the rows read quickly are whole

        def start(name: str, attributes: Attributes) -> None:
            nonlocal depth
            depth += 1
            if depth > MAX_DEPTH:
                raise too_deep()
            if handle := starts.get(name):
                handle(attributes)

        def end(name: str) -> None:
            nonlocal depth
            depth -= 1
            self._taking = None
            if handle := ends.get(name):
                handle()
                if name == row:
                    mark()

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = self._characters

    def _characters(self, data: str) -> None:
        if self._taking is None:
            return
        self._size += len(data)
        if self._size > MAX_CELL_BYTES:
            raise damaged(f"a cell of row {self._quick.row:,} is larger than 1 MiB")
        self._taking.append(data)

    def _start_column(self, attributes: Attributes) -> None:
        if is_true(attributes.get("hidden")):
            first, last = _whole(attributes.get("min", "")), _whole(attributes.get("max", ""))
            self._records.hidden_columns.append((first, last))

    def _start_value(self, _: Attributes) -> None:
        if self._is_in_cell and not self._is_spoken:
            self._taking, self._has_value = self._value, True

    def _start_text(self, attributes: Attributes) -> None:
        self._start_value(attributes)
        self._is_kept = attributes.get("xml:space") == "preserve"

    def _start_formula(self, _: Attributes) -> None:
        if self._is_in_cell:
            self._formula = self._taking = []

    def _start_spoken(self, _: Attributes) -> None:
        self._is_spoken = True

    def _end_spoken(self) -> None:
        self._is_spoken = False

    def _start_row(self, attributes: Attributes) -> None:
        last = self._quick.row
        number = attributes.get("r")
        row = last + 1 if number is None else _whole(number)
        if row <= last or self._is_in_row:
            raise damaged(
                f"row {row} comes after row {last}" if row <= last else f"row {row} stands in another"
            )
        if row > MAX_ROWS:
            raise damaged(f"row {row} is beyond the last row of a sheet")
        self._quick.row, self._row_text, self._column = row, str(row), -1
        self._line, self._is_in_row = {}, True
        self._is_hidden = is_true(attributes.get("hidden"))
        self._has_areas = self._areas.touch(row)

    def _start_cell(self, attributes: Attributes) -> None:
        reference = attributes.get("r")
        if not self._is_in_row or self._is_in_cell:
            raise damaged(f"cell {reference!r} stands outside of a row")
        if reference is None:
            self._column += 1
        else:
            letters = reference.rstrip("0123456789")
            self._column = column_of(letters)
            if reference[len(letters) :] != self._row_text:
                raise damaged(f"cell {reference!r} stands in row {self._row_text}")
        if self._column in self._line:
            raise damaged(f"two cells of row {self._row_text} stand in column {self._column + 1}")
        self._line[self._column] = b""
        self._is_in_cell = True
        self._type = attributes.get("t", "n")
        style = attributes.get("s")
        self._kind = self._kind_of(style) if style else ""
        self._value, self._formula, self._size, self._has_value = [], None, 0, False
        self._is_kept = False

    def _kind_of(self, style: str) -> str:
        at = int(style) if style.isdecimal() and len(style) < 9 else -1
        return self._book.kinds[at] if 0 <= at < len(self._book.kinds) else ""

    def _end_cell(self) -> None:
        self._is_in_cell = False
        raw = "".join(self._value)
        if self._type not in ("str", "inlineStr"):
            raw = raw.strip()
        # The result of a formula may be a text without letters, but it must be there.
        is_result = self._formula is None or (self._type == "str" and self._has_value)
        is_lacking = not raw and (self._type == "e" or not is_result)
        if not raw and not is_lacking:
            self._records.formulas += self._formula is not None
            # Nobody says that blanks of nothing be kept but who means an empty text: our exports do.
            if self._type == "inlineStr" and self._is_kept and not self._has_areas:
                self._line[self._column] = b'""'
            return
        if self._has_areas and self._areas.hide(self._quick.row, self._column):
            return
        if is_lacking:
            self._hazard("=" + "".join(self._formula or ["?"])[:SHOWN_FORMULA])
            return
        self._records.formulas += self._formula is not None
        cell = self._cell_of(raw)
        if cell is None:
            self._hazard(self._word_of(raw))
        else:
            self._line[self._column] = cell

    def _cell_of(self, raw: str) -> bytes | None:
        """Return a cell of canonical CSV, or None for a hazard."""
        kind = self._type
        if kind == "s":
            return self._shared(raw)
        if kind in ("str", "inlineStr"):
            return cell_of(raw)
        if kind == "n" and self._kind:
            text = serial_text(raw, self._kind, from_1904=self._book.from_1904)
        elif kind == "n":
            text = number_text(raw)
        elif kind == "b":
            text = {"1": "true", "0": "false", "true": "true", "false": "false"}.get(raw)
        else:
            text = iso_text(raw, self._kind) if kind == "d" else None
        return None if text is None else text.encode()

    def _shared(self, raw: str) -> bytes | None:
        at = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) < 10 else -1
        if not 0 <= at < len(self._texts):
            raise damaged(f"a cell of row {self._row_text} refers to text {raw[:20]}, which is not there")
        return self._texts.cell(str(at).encode())

    def _word_of(self, raw: str) -> str:
        if self._type == "s":
            return self._texts.broken[int(raw)]
        return "#" + raw if self._type == "e" and not raw.startswith("#") else raw

    def _hazard(self, word: str) -> None:
        if self._type == "e" and not word.startswith("#"):
            word = "#" + word
        self._records.add_hazard(self._quick.row, self._column, word)
        self._line[self._column] = quoted(word).encode()

    def _end_row(self) -> None:
        self._is_in_row = False
        line = [b""] * (max((column for column, cell in self._line.items() if cell), default=-1) + 1)
        for column, cell in self._line.items():
            if cell:
                line[column] = cell
        self._records.write(self._quick.row, line, is_hidden=self._is_hidden)


def write_sheet(
    archive: zipfile.ZipFile,
    part: str,
    book: Workbook,
    texts: Texts,
    out: Path,
    *,
    areas: Areas | None = None,
    header_row: int | None = None,
    is_quick: bool = True,
) -> Records:
    """Write a sheet as canonical CSV to `out`; how wide its rows are, `Records` says.

    Where there is no header, every row is as wide as the widest.

    :raises WorkbookRefused: the sheet is damaged or larger than its limits.
    """
    narrow = out.with_name(out.name + ".narrow")
    try:
        with narrow.open("wb") as file:
            records = Records(file, header_row)
            SheetReader(book, texts, records, areas or Areas()).read(archive, part, is_quick=is_quick)
            records.finish()
        if len(records.widths) > 1 and records.header_row == 0:
            widen(narrow, out, records)
        else:
            narrow.replace(out)
    finally:
        narrow.unlink(missing_ok=True)
    return records


def _whole(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 10:
        raise damaged(f"{text[:20]!r} is no row number")
    return int(text)
