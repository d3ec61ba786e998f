"""The form of an export file: what is in it, in which format, written how. What a file says it was written as.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasets.spec import ColumnSpec, DatasetSpec


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
