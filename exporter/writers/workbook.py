"""XLSX: one sheet, each text a text, numbers, days and truths as such. Never a formula, never a link.

What a spreadsheet program would not keep is written as text: numbers of more than 15 digits, days before 1901,
fractions of a millisecond. What no cell can hold is refused. The envelope (styles, header, the parts around the
sheet) is made by xlsxwriter; the rows stream into the archive, with nothing on disk. Pure: no Django.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from datasets.columntypes.decimal import size_of
from datasets.escaping import BEGINNINGS
from exporter.form import FileForm
from exporter.writers.base import Column, NotWritable, Out, Table
from exporter.writers.frames import FrameWriter, days_of, moments_of, times_of

if TYPE_CHECKING:
    import polars as pl

MOST_RECORDS = 1_048_575  # and the header
MOST_CHARACTERS = 32_767  # of a cell, counted in UTF-16
MOST_SHEET_BYTES = (1 << 31) - (1 << 24)  # larger parts take a kind of archive that Excel warns of
EXACT_DIGITS = 15
FIRST_DAY = dt.date(1901, 1, 1)
EPOCH = 25_569  # 1970-01-01 as spreadsheets count days
DAY_US, MS = 86_400_000_000, 1_000
SHEET = "xl/worksheets/sheet1.xml"
# No part of XML, or changed when it is read. A workbook writes them as _x000D_, and so an underscore before an x.
_UNSEEN = {chr(code): f"_x{code:04X}_" for code in (*range(1, 9), *range(11, 32), 0xFFFE, 0xFFFF)}
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "_x": "_x005F_x", **_UNSEEN}
_NEEDS_ESCAPE = "[&<>\\x{1}-\\x{8}\\x{B}-\\x{1F}\\x{FFFE}\\x{FFFF}]|_x"
_BEYOND = r"[\x{10000}-\x{10FFFF}]"  # two in UTF-16
_NOT_IN_A_NAME = dict.fromkeys(map(ord, "[]:*?/\\"), " ")
_FORMATS = {"date": "yyyy-mm-dd", "time": "hh:mm:ss", "timestamp": "yyyy-mm-dd hh:mm:ss", "integer": "0"}
_STYLE = re.compile(rb' s="([0-9]+)"')
MADE_AT = dt.datetime(2000, 1, 1)  # noqa: DTZ001 -- a workbook knows no zones; equal records make equal bytes


class WorkbookWriter(FrameWriter):
    """Writes rows of XML, made of whole columns at a time, into the archive's one large part."""

    block_bytes = 1024 * 1024  # its XML is several times as large, and there are several copies
    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, table: Table, form: FileForm, out: Out) -> None:
        super().__init__(table, form, out)
        self._target = _Target(out)
        self._sheet: IO[bytes] | None = None
        self._archive = zipfile.ZipFile(self._target, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def begin(self) -> None:
        super().begin()
        envelope = zipfile.ZipFile(io.BytesIO(_envelope(self.table)))
        for name in envelope.namelist():
            if name != SHEET:
                self._archive.writestr(_part(name), envelope.read(name), zipfile.ZIP_DEFLATED, 1)
        sheet = envelope.read(SHEET)
        # It names the cells that there are, which nobody knows yet; it may be left out.
        sheet = re.sub(rb"<dimension[^>]*/>", b"", sheet)
        head, _, row = sheet.partition(b'<row r="2"')
        styles, _, self._tail = row.partition(b"</row>")
        self._styles = [int(found) for found in _STYLE.findall(styles)]
        self._sheet = self._archive.open(_part(SHEET), "w")
        self._size = 0
        self._write(head)

    def take(self, frame: pl.DataFrame, first: int) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        if first + frame.height - 1 > MOST_RECORDS:
            raise NotWritable(
                f"The dataset has more records than a sheet has rows: {MOST_RECORDS:,}. Export it as CSV or Parquet."
            )
        number = pl.int_range(first + 1, first + 1 + frame.height, eager=True).cast(pl.String).alias("n")
        texts = [column for column in self.table.columns if column.spec.value_type not in _KINDS]
        self._check_lengths(frame, texts, first)
        frame = frame.with_columns(number, *_xml_safe(frame, texts))
        cells = [
            _cell(column, letters_of(at), style)
            for at, (column, style) in enumerate(zip(self.table.columns, self._styles, strict=True))
        ]
        row = pl.concat_str(pl.lit('<row r="'), pl.col("n"), pl.lit('">'), *cells, pl.lit("</row>"))
        data = frame.select(row.str.join("")).item().encode()
        self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._sheet is not None
        self._size += len(data)
        if self._size > MOST_SHEET_BYTES:
            raise NotWritable("The sheet would be larger than 2 GiB. Export the dataset as CSV or Parquet.")
        self._sheet.write(data)

    def finish(self) -> None:
        super().finish()
        self._write(self._tail)
        assert self._sheet is not None
        self._sheet.close()
        self._archive.close()

    def abort(self) -> None:
        """Close the archive into nothing, or it would do so when it is thrown away."""
        self._target.is_given_up = True
        with suppress(OSError, ValueError):
            if self._sheet is not None:
                self._sheet.close()
            self._archive.close()

    def _check_lengths(self, frame: pl.DataFrame, texts: list[Column], first: int) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        for column in texts:
            values = pl.col(column.spec.name)
            if (frame.select(values.str.len_bytes().max()).item() or 0) <= MOST_CHARACTERS:
                continue
            lengths = frame.select(values.str.len_chars() + values.str.count_matches(_BEYOND)).to_series()
            if (lengths.max() or 0) > MOST_CHARACTERS:  # type: ignore[operator] # a number, or None
                at = (lengths > MOST_CHARACTERS).arg_true()[0]
                raise self.refuse(
                    frame, column.spec.name, at, first,
                    f"is {lengths[at]:,} characters long; a cell of a workbook holds {MOST_CHARACTERS:,}."
                    " Export the dataset as CSV or Parquet, or shorten the text.",
                )  # fmt: skip


class _Target(io.RawIOBase):
    """The archive's file: it can only go forward, so the archive writes sizes behind its parts."""

    def __init__(self, out: Out) -> None:
        super().__init__()
        self._out = out
        self.is_given_up = False

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        held = bytes(data)  # type: ignore[call-overload] # any buffer
        if not self.is_given_up:
            self._out(held)
        return len(held)


def _part(name: str) -> zipfile.ZipInfo:
    part = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    part.compress_type = zipfile.ZIP_DEFLATED
    part.create_system = 0
    return part


def _envelope(table: Table) -> bytes:
    """Return a workbook with the header, and a second row whose cells have the columns' styles."""
    from xlsxwriter import Workbook  # slow import  # noqa: PLC0415

    made = io.BytesIO()
    book = Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"created": MADE_AT})
    bold = book.add_format({"bold": True, "num_format": "@"})
    sheet = book.add_worksheet(sheet_name(table.title))
    sheet.freeze_panes(1, 0)
    for at, column in enumerate(table.columns):
        sheet.write_string(0, at, column.label, bold)
        sheet.write_blank(1, at, None, book.add_format({"num_format": _format(column)}))
    book.close()
    return made.getvalue()


def sheet_name(title: str) -> str:
    """Return the title as a sheet may be called: 31 characters, and never like a formula.

    >>> sheet_name("Orders: 2026/27"), sheet_name("=cmd()"), sheet_name("'")
    ('Orders  2026 27', '_=cmd()', 'Records')
    """
    name = title.translate(_NOT_IN_A_NAME).strip(" '")
    name = "".join(char if char.isprintable() else " " for char in name).strip(" '")
    if name[:1] in BEGINNINGS and name:
        name = "_" + name
    return name[:31].rstrip(" '") or "Records"


def _format(column: Column) -> str:
    if column.spec.value_type == "decimal":
        scale = size_of(column.spec)[1]
        return "0." + "0" * min(scale, EXACT_DIGITS) if scale else "0"
    return _FORMATS.get(column.spec.value_type, "General" if column.spec.value_type == "boolean" else "@")


def letters_of(at: int) -> str:
    """Return the name of a sheet's column, counted from 0.

    >>> letters_of(0), letters_of(25), letters_of(26), letters_of(701), letters_of(702)
    ('A', 'Z', 'AA', 'ZZ', 'AAA')
    """
    name = ""
    at += 1
    while at:
        at, letter = divmod(at - 1, 26)
        name = chr(65 + letter) + name
    return name


def _xml_safe(frame: pl.DataFrame, texts: list[Column]) -> list[pl.Expr]:
    """Return the columns of texts that hold anything which is not written as it stands, so that it is."""
    import polars as pl  # slow import  # noqa: PLC0415

    names = [column.spec.name for column in texts]
    if not names:
        return []
    holds = frame.select(pl.col(names).str.contains(_NEEDS_ESCAPE).any()).row(0)
    return [
        pl.col(name).str.replace_many(_ESCAPES)
        for name, is_needed in zip(names, holds, strict=True)
        if is_needed
    ]


def _cell(column: Column, letters: str, style: int) -> pl.Expr:
    """Return the XML of a column's cells; nothing for no value."""
    import polars as pl  # slow import  # noqa: PLC0415

    texts = pl.col(column.spec.name)
    begin = [pl.lit(f'<c r="{letters}'), pl.col("n")]
    as_text = pl.concat_str(
        *begin,
        pl.lit(f'" s="{style}" t="inlineStr"><is><t xml:space="preserve">'),
        texts,
        pl.lit("</t></is></c>"),
    )
    kind = _KINDS.get(column.spec.value_type)
    if kind is None:
        return as_text.fill_null("")
    is_exact, value, shown = kind(texts)
    if column.spec.value_type == "boolean":
        as_value = pl.concat_str(*begin, pl.lit(f'" s="{style}" t="b"><v>'), value, pl.lit("</v></c>"))
        return as_value.fill_null("")
    as_value = pl.concat_str(*begin, pl.lit(f'" s="{style}"><v>'), value, pl.lit("</v></c>"))
    as_shown = pl.concat_str(
        *begin, pl.lit('" t="inlineStr"><is><t xml:space="preserve">'), shown, pl.lit("</t></is></c>")
    )
    return pl.when(is_exact).then(as_value).otherwise(as_shown).fill_null("")


def _number(texts: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    digits = texts.str.replace_all("[-.]", "").str.strip_chars_start("0").str.len_bytes()
    return (digits <= EXACT_DIGITS) & (texts.str.len_bytes() <= 2 * EXACT_DIGITS), texts, texts


def _truth(texts: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    import polars as pl  # slow import  # noqa: PLC0415

    return (
        pl.lit(value=True),
        texts.replace_strict({"true": "1", "false": "0"}, return_dtype=pl.String),
        texts,
    )


def _day(texts: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    import polars as pl  # slow import  # noqa: PLC0415

    days = days_of(texts)
    return days >= FIRST_DAY, (days.cast(pl.Int32) + EPOCH).cast(pl.String), texts


def _moment(texts: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    import polars as pl  # slow import  # noqa: PLC0415

    moments = moments_of(texts)
    us = moments.cast(pl.Int64)
    serial = (us / DAY_US + EPOCH).cast(pl.String)
    shown = pl.concat_str(texts.str.replace(" ", "T", literal=True), pl.lit("Z"))
    return (moments.dt.date() >= FIRST_DAY) & (us % MS == 0), serial, shown


def _time(texts: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    import polars as pl  # slow import  # noqa: PLC0415

    us = times_of(texts).cast(pl.Int64) // 1_000
    return us % MS == 0, (us / DAY_US).cast(pl.String), texts


# Whether a value stays exact as one, the value of the cell, and the text otherwise.
_KINDS = {
    "integer": _number, "decimal": _number, "boolean": _truth, "date": _day, "timestamp": _moment, "time": _time,
}  # fmt: skip
