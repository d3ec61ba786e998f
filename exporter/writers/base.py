"""What every format has in common: a statement that reads the records, and what its output becomes.

A writer is fed what COPY gives, in pieces that end anywhere, and hands on the bytes of the file. It holds a few
megabytes at most.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from core.errors import RowhouseError
from datasets.columntypes import type_of
from datasets.spec import ColumnSpec, DatasetSpec
from exporter.form import FileForm

type Out = Callable[[bytes], object]

SHOWN_CHARACTERS = 40


class NotWritable(RowhouseError):
    """A record holds what the format or the encoding cannot say exactly."""

    code = "not-writable"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file: its label there, and what it holds."""

    label: str
    spec: ColumnSpec
    table: str = "r"  # its name in the statement

    @property
    def sql(self) -> str:
        """The column in the statement."""
        return f'"{self.table}"."{self.spec.name}"'

    @property
    def text_sql(self) -> str:
        """An expression of its values' canonical text."""
        return type_of(self.spec).text_sql(self.sql)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file. `source` is an item of FROM, named `r`, that has the columns; `order` what sorts it.

    `key` are the columns of the file that name a record to people.
    """

    title: str
    columns: tuple[Column, ...]
    source: str
    order: str
    key: tuple[Column, ...] = ()

    def select(self, cells: list[str]) -> str:
        """Return the query of these expressions, one for each column."""
        ordered = f" ORDER BY {self.order}" if self.order else ""
        return f"SELECT {', '.join(cells)} FROM {self.source}{ordered}"


def table_of(spec: DatasetSpec, form: FileForm) -> Table:
    """Return every record of a dataset, in the key's order (without a key: as they were added)."""
    columns = tuple(
        Column(one.label, column) for one, column in zip(form.columns, form.specs(spec), strict=True)
    )
    # By the table's columns: a bare name would mean the text in the list before, and 10 come before 9.
    order = ", ".join(f'r."{name}"' for name in spec.key) or 'r."id"'
    key = tuple(column for name in spec.key for column in columns if column.spec.name == name)
    return Table(spec.title, columns, f'"{spec.table}" AS r', order, key)


class FileWriter(ABC):
    """Makes one file. `rows` counts the records it has seen, where it looks at them one by one: else None."""

    content_type: ClassVar[str]

    def __init__(self, table: Table, form: FileForm, out: Out) -> None:
        self.table = table
        self.form = form
        self.out = out
        self.rows: int | None = None

    @abstractmethod
    def statement(self) -> str:
        """Return the COPY that is to feed the writer."""

    def begin(self) -> None:
        """Write what stands before the records."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Take some of what COPY gave.

        :raises NotWritable: a record cannot be written.
        """

    def finish(self) -> None:
        """Write what is left, and what stands behind the records."""

    def abort(self) -> None:
        """Let go of whatever is held; no more is written."""


def copy_csv(select: str, options: str = "") -> str:
    """Return the COPY of a query as CSV."""
    return f"COPY ({select}) TO STDOUT (FORMAT csv{options})"


def record_words(table: Table, number: int, texts: dict[str, str | None]) -> str:
    """Return how a record is called in an error: its number in the file, and its key if the file has that.

    `texts` are its cells by the physical name of the column.
    """
    key = ", ".join(
        f"{column.label} {(texts.get(column.spec.name) or '')[:SHOWN_CHARACTERS]}" for column in table.key
    )
    return f"record {number:,}" + (f" ({key})" if key else "")
