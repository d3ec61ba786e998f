"""The form of an export file: what is in it, in which format, written how. What a file says it was written as.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import RowhouseError
from datasets.escaping import needs_sign
from datasets.spec import ColumnSpec, DatasetSpec

FORMATS = ("csv", "csv.gz", "xlsx", "jsonl", "parquet")
EXACT, SPREADSHEET = MODES = ("EXACT", "SPREADSHEET")
DELIMITERS = (",", ";", "\t", "|")
# Of CSV alone. What a file in one of them cannot say is refused, never replaced.
ENCODINGS = {
    "utf-8": "Unicode (UTF-8)",
    "utf-8-sig": "Unicode (UTF-8 with a byte order mark)",
    "utf-16": "Unicode (UTF-16 with a byte order mark)",
    "cp1252": "Western European (Windows-1252)",
    "iso8859-1": "Western European (ISO 8859-1)",
    "iso8859-15": "Western European with € (ISO 8859-15)",
    "cp1250": "Central European (Windows-1250)",
    "iso8859-2": "Central European (ISO 8859-2)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp1257": "Baltic (Windows-1257)",
    "cp932": "Japanese (Shift JIS)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean (Windows-949)",
}


class BadForm(RowhouseError):
    """No file can be written in this form."""

    code = "bad-form"


@dataclass(frozen=True, slots=True)
class FormColumn:
    """One column of a file: the primary key of the dataset's column, and the label above it."""

    column: int
    label: str


@dataclass(frozen=True, slots=True)
class FileForm:
    """All that reading a file back takes, but for its dataset's definition.

    `format`: csv, csv.gz, xlsx, jsonl or parquet. `mode`: EXACT or SPREADSHEET. `delimiter`, `null_word` (what
    stands for no value; "" is an empty cell, an empty text is then `""`) and `encoding` are of CSV alone.
    """

    columns: tuple[FormColumn, ...]
    format: str = "csv"
    mode: str = "EXACT"
    delimiter: str = ","
    null_word: str = ""
    encoding: str = "utf-8"

    @property
    def is_for_spreadsheets(self) -> bool:
        return self.mode == SPREADSHEET

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"columns": [[one.column, one.label] for one in self.columns]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> FileForm:
        columns = tuple(FormColumn(*one) for one in stored["columns"])
        return cls(**{**stored, "columns": columns})

    def specs(self, spec: DatasetSpec) -> list[ColumnSpec]:
        """Return the columns of the file as the dataset defines them, in the file's order."""
        by_pk = {column.pk: column for column in spec.columns}
        return [by_pk[one.column] for one in self.columns]


def form_columns(spec: DatasetSpec, wanted: Sequence[dict[str, Any]]) -> tuple[FormColumn, ...]:
    """Return the columns a file gets: the wanted ones that still exist, or without any all of the dataset's.

    A column added after the choice was made is not in it; an empty label means the dataset's own.
    """
    by_pk = {column.pk: column for column in spec.columns}
    chosen = [
        FormColumn(one["column"], one.get("label") or by_pk[one["column"]].label)
        for one in wanted
        if one["column"] in by_pk
    ]
    return tuple(chosen) or tuple(FormColumn(column.pk, column.label) for column in spec.columns)


def check_form(values: Mapping[str, Any]) -> None:
    """Refuse what no file can be written as. `values` are fields of `FileForm` but for its columns; others are none.

    :raises BadForm: there is no such format, mode, delimiter or encoding, or the word for no value would be
        taken for something else.
    """
    for name, known in (
        ("format", FORMATS), ("mode", MODES), ("delimiter", DELIMITERS), ("encoding", tuple(ENCODINGS)),
    ):  # fmt: skip
        if name in values and values[name] not in known:
            shown = ", ".join("tab" if one == "\t" else one for one in known)
            raise BadForm(f"{values[name]!r} is no {name} of export files. Choose one of: {shown}.")
    word = str(values.get("null_word", ""))
    if (
        word != word.strip()
        or not word.isprintable()
        or any(mark in word for mark in (*DELIMITERS, '"', "\\"))
    ):
        raise BadForm(
            "The word for no value can hold no delimiter, quote or backslash, and no blanks around it."
        )
    if needs_sign(word):
        raise BadForm("The word for no value cannot begin with =, +, -, @ or an apostrophe.")
    try:
        word.encode(str(values.get("encoding", "utf-8")))
    except UnicodeEncodeError:
        raise BadForm("The word for no value does not exist in the chosen encoding.") from None
