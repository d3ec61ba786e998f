"""Text: any Unicode that PostgreSQL can hold, kept byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets.columntypes import patterns
from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import WHITE_SPACE, sql_literal, sure

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


def most_characters(column: ColumnSpec) -> int | None:
    """Return how many characters a text column takes, or None for as many as any: a pattern has a limit of its own."""
    limit = column.options.max_length
    if column.options.pattern is None:
        return limit
    return min(limit or patterns.MAX_VALUE_CHARACTERS, patterns.MAX_VALUE_CHARACTERS)


def _explain(pattern: str, raw: str) -> str:
    bare = raw.strip(WHITE_SPACE)
    if bare != raw and bare and patterns.fits(pattern, bare):
        return "Remove the white space around the value."
    shown = patterns.example(pattern)
    return f"Write it in the form {pattern}" + (f", for example {shown}." if shown else ".")


class Text(ColumnType):
    """A line of text. Spaces, line breaks and every normal form of Unicode stay as they are."""

    name = "text"
    title = "Text"
    holds_text = True

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        check_characters(raw)
        least, limit, pattern = column.options.min_length, most_characters(column), column.options.pattern
        if limit is not None and len(raw) > limit:
            raise BadValue(
                f"Use at most {limit:,} characters; these are {len(raw):,}.", code="constraint-error"
            )
        if least is not None and len(raw) < least:
            raise BadValue(
                f"Use at least {least:,} characters; these are {len(raw):,}.", code="constraint-error"
            )
        if pattern is not None and not patterns.fits(pattern, raw):
            raise BadValue(_explain(pattern, raw), code="constraint-error")
        return raw

    def takes_empty_text(self, column: ColumnSpec) -> bool:
        least, pattern = column.options.min_length, column.options.pattern
        return not least and (pattern is None or patterns.compiled(pattern).least == 0)

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        least, limit, pattern = column.options.min_length, most_characters(column), column.options.pattern
        checks = [] if limit is None else [f"char_length({{c}}) <= {limit:d}"]
        if least is not None:
            checks.append(f"char_length({{c}}) >= {least:d}")
        if pattern is not None:
            # In this order, whatever else is checked: a longer text is never tried.
            checks.append(
                f"CASE WHEN char_length({{c}}) > {limit:d} THEN false ELSE"
                f' {{c}} COLLATE "C" ~ {sql_literal(patterns.compiled(pattern).postgres)} END'
            )
        return tuple(checks)

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        limit, least, pattern = most_characters(column), column.options.min_length, column.options.pattern
        allowed = MAX_CHARACTERS if limit is None else min(limit, MAX_CHARACTERS)
        # Bytes are at least the characters, and far cheaper to count.
        short = values.str.len_bytes() <= allowed
        if limit is not None:
            short = short | (values.str.len_chars() <= allowed)
        fits = short & (values.str.len_bytes() > 0) & ~values.str.contains("\0", literal=True)
        if least is not None:
            fits = fits & (values.str.len_chars() >= least)
        if pattern is not None:
            fits = fits & patterns.all_fit(values, pattern)
        return sure(fits, values, reading)

    def guess(self, values: list[str]) -> bool:
        return not any(len(value) > LONG_CHARACTERS or "\n" in value or "\r" in value for value in values)
