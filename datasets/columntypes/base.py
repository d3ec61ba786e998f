"""What a column type is: one grammar for file, form, API and command.

Pure: no Django, no storage, no clock. `parse` is the one truth about a value; the vectorised `screen` may
only pass what `parse` would surely accept unchanged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from datasets.spec import ColumnSpec

if TYPE_CHECKING:
    import polars as pl


class BadValue(ValueError):
    """A raw value that the column cannot hold.

    `code` is an issue code (`type-error` or `constraint-error`), `rule` a sentence that says what is
    allowed and, where one is known, what to write instead.
    """

    def __init__(self, rule: str, *, code: str = "type-error") -> None:
        super().__init__(rule)
        self.code = code
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Reading:
    """How one file column writes its values; the defaults are the canonical forms."""

    decimal_mark: str = "."
    group_mark: str = ""
    date_order: str = "YMD"  # or "DMY", "MDY": of 31/12/2026 and the like
    null_words: tuple[str, ...] = ()
    true_words: tuple[str, ...] = ()  # besides the ones every reading knows
    false_words: tuple[str, ...] = ()
    whole_days: bool = False  # a day and its midnight are one value, as in a workbook's cells


class ColumnType(ABC):
    """One type of column. Subclasses live one to a file and are stateless."""

    name: ClassVar[str]
    title: ClassVar[str]
    holds_text: ClassVar[bool] = False  # a value is text, byte for byte: "" is one, spaces count
    longest: ClassVar[int | None] = None  # bytes of a value which its pattern leaves to others to count

    @abstractmethod
    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        """Return the canonical text of `raw`, which is not empty: the text PostgreSQL reads into `sql_type`.

        :raises BadValue: the column cannot hold it.
        """

    @abstractmethod
    def sql_type(self, column: ColumnSpec) -> str:
        """Return the PostgreSQL type of the column."""

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        """Return the CHECK expressions of the column; `{c}` stands for its quoted name."""
        return ()

    def text_sql(self, quoted_name: str) -> str:
        """Return an SQL expression of the canonical text, as exports write it and `parse` reads it."""
        return f"{quoted_name}::text"

    def copy_sql(self, quoted_name: str) -> str:
        """Return an SQL expression that COPY writes as `text_sql`, in a session set to ISO dates and UTC.

        The value itself, where it can be: a cast of every cell costs as much as COPY does without it.
        """
        return quoted_name

    @abstractmethod
    def to_python(self, canonical: str) -> object:
        """Return the Python value of a canonical text."""

    @abstractmethod
    def to_text(self, value: object) -> str:
        """Return the canonical text of a stored Python value."""

    def takes_empty_text(self, column: ColumnSpec) -> bool:
        """Return whether an empty text is a value that the column's rules allow; only of types that hold text."""
        return True

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Return whether each value (a string, not null) is surely accepted and already canonical.

        None means nothing can be said: every cell goes through `parse`.
        """
        return None

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Return the canonical text of each value that is surely accepted, null where only `parse` can say.

        It knows more than `screen` where many files write a form that is plain but not canonical.
        """
        import polars as pl  # slow import  # noqa: PLC0415

        sure = self.screen(values, column, reading)
        return None if sure is None else pl.when(sure).then(values)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Return a pattern of texts that go to the database as they stand; None where there is none.

        Each text is surely accepted, PostgreSQL reads it into `sql_type` as it reads its canonical text, and none
        of the `marks` is part of it. In polars' regular expressions. Texts proper have none: any of theirs may.
        """
        return None

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr | None:
        """Return what is the same for any two values that PostgreSQL takes for equal; null where that is not sure.

        `values` are texts that go to the database: canonical ones, and others that `pattern` takes. None means
        that only the database can say. Texts are equal where their bytes are.
        """
        return values if self.sql_type(column) == "text" else None

    @abstractmethod
    def guess(self, values: list[str]) -> bool:
        """Return whether every one of these non-empty values fits the type in its plainest form."""
