"""Some of a list of allowed texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.choice import explain_choice
from datasets.columntypes.grammar import any_of, matches, sql_literal, stripped, sure
from datasets.columntypes.text import check_characters

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

MARK = ";"  # between choices; none may hold it
SEPARATOR = "; "
# Choices, and characters of them all: the pattern grows with the square of both.
MOST_IN_PATTERN, MOST_CHARACTERS = 16, 200


class MultiChoice(ColumnType):
    """`new; urgent`: each of the column's choices at most once, in the order the column lists them.

    Kept as that very text, so that file, form, history and export show one form. In SQL,
    `string_to_array(c7, '; ')` is the list, and can be indexed.
    """

    name: ClassVar[str] = "multi_choice"
    title: ClassVar[str] = "Several choices"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        check_characters(raw)
        choices = column.options.choices
        named = dict.fromkeys(part for each in raw.split(MARK) if (part := stripped(each)))
        if not named:
            raise BadValue(f"Write choices with “{MARK}” between them, or leave the cell empty.")
        if other := next((part for part in named if part not in choices), None):
            raise BadValue(explain_choice(other, choices, shows_value=True), code="constraint-error")
        return SEPARATOR.join(choice for choice in choices if choice in named)

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        """Return one check: the text is that of exactly the choices it names, in their order."""
        if not column.options.choices:
            return ("{c} IS NULL",)
        parts = f"string_to_array({{c}}, {sql_literal(SEPARATOR)})"
        named = ", ".join(
            f"CASE WHEN {literal} = ANY ({parts}) THEN {literal} END"
            for literal in (f"{sql_literal(choice)}::text" for choice in column.options.choices)
        )
        return (f"{{c}} <> '' AND {{c}} = array_to_string(ARRAY[{named}], {sql_literal(SEPARATOR)})",)

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        choices = _plain(column)
        few = _in_order(choices, "") if _are_few(choices) else None
        fits = values.is_in(choices)
        return sure(fits if few is None else fits | matches(values, few), values, reading)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        choices = _plain(column)
        several = _in_order(choices, marks) if _are_few(choices) and MARK not in marks else None
        return several or any_of(choices, marks)

    def guess(self, values: list[str]) -> bool:
        return False  # which values are allowed is a decision, not an observation


def parts_of(canonical: str) -> list[str]:
    """Return the choices that a value names."""
    return canonical.split(SEPARATOR)


def _plain(column: ColumnSpec) -> list[str]:
    return [
        choice for choice in column.options.choices if choice == stripped(choice) != "" and MARK not in choice
    ]


def _are_few(choices: list[str]) -> bool:
    return len(choices) <= MOST_IN_PATTERN and sum(map(len, choices)) <= MOST_CHARACTERS


def _in_order(choices: list[str], marks: str) -> str | None:
    """Return the pattern of one or more of the choices, each at most once and in their order."""
    words = [word for choice in choices if (word := any_of([choice], marks))]
    forms = [
        word + "".join(f"(?:{SEPARATOR}{later})?" for later in words[at + 1 :])
        for at, word in enumerate(words)
    ]
    return f"(?:{'|'.join(forms)})" if forms else None
