"""Text: any Unicode that PostgreSQL can hold, kept byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

MAX_CHARACTERS = 1024 * 1024  # in one cell
LONG_CHARACTERS = 200  # what no longer reads well in one line of a form or a list


def check_characters(raw: str) -> None:
    """Refuse what no text column can hold.

    :raises BadValue: NUL, half of a surrogate pair, or more than 1,048,576 characters.
    """
    if len(raw) > MAX_CHARACTERS:
        raise BadValue(f"A cell holds at most {MAX_CHARACTERS:,} characters.", code="constraint-error")
    if "\0" in raw:
        raise BadValue("Remove the NUL character from the cell.")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise BadValue("Remove the broken character (half of a surrogate pair) from the cell.") from None


class Text(ColumnType):
    """A line of text. Spaces, line breaks and every normal form of Unicode stay as they are."""

    name = "text"
    title = "Text"
    holds_text = True

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        check_characters(raw)
        limit = column.options.max_length
        if limit is not None and len(raw) > limit:
            raise BadValue(
                f"Use at most {limit:,} characters; these are {len(raw):,}.", code="constraint-error"
            )
        return raw

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        limit = column.options.max_length
        return () if limit is None else (f"char_length({{c}}) <= {limit:d}",)

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        limit = column.options.max_length
        allowed = MAX_CHARACTERS if limit is None else min(limit, MAX_CHARACTERS)
        # Bytes are at least the characters, and far cheaper to count.
        short = values.str.len_bytes() <= allowed
        if limit is not None:
            short = short | (values.str.len_chars() <= allowed)
        fits = short & (values.str.len_bytes() > 0) & ~values.str.contains("\0", literal=True)
        return sure(fits, values, reading)

    def guess(self, values: list[str]) -> bool:
        return not any(len(value) > LONG_CHARACTERS or "\n" in value or "\r" in value for value in values)
