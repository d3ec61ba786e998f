"""One of a list of allowed texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rapidfuzz import fuzz, process

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import any_of, sql_literal, stripped, sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

_COMPARED_CHARACTERS = 200
_LISTED = 5


class Choice(ColumnType):
    """Exactly one of the column's choices: case and accents count."""

    name: ClassVar[str] = "choice"
    title: ClassVar[str] = "Choice"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        choices = column.options.choices
        if raw in choices:
            return raw
        value = stripped(raw)
        if value in choices:
            return value
        raise BadValue(explain_choice(value, choices), code="constraint-error")

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        choices = ", ".join(sql_literal(choice) for choice in column.options.choices)
        return (f"{{c}} IN ({choices})",) if choices else ("{c} IS NULL",)

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        # With blanks around it, a choice may still be a word for no value.
        plain = [choice for choice in column.options.choices if choice and choice == stripped(choice)]
        return sure(values.is_in(plain), values, reading)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        return any_of((choice for choice in column.options.choices if choice == stripped(choice)), marks)

    def guess(self, values: list[str]) -> bool:
        return False  # which values are allowed is a decision, not an observation


def explain_choice(value: str, choices: tuple[str, ...], *, shows_value: bool = False) -> str:
    """Return the sentence that names the allowed choices nearest to `value`."""
    refused = f"“{value[:_COMPARED_CHARACTERS]}” is not" if shows_value else "Not"
    near = process.extract(
        value[:_COMPARED_CHARACTERS].casefold(),
        [choice[:_COMPARED_CHARACTERS].casefold() for choice in choices],
        scorer=fuzz.ratio,
        score_cutoff=60,
        limit=3,
    )
    if near:
        return (
            f"{refused} an allowed choice. The nearest: {_listed([choices[index] for _, _, index in near])}."
        )
    more = f" and {len(choices) - _LISTED} more" if len(choices) > _LISTED else ""
    return f"{refused} an allowed choice. Allowed: {_listed(choices[:_LISTED])}{more}."


def _listed(choices: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"“{choice[:_COMPARED_CHARACTERS]}”" for choice in choices)
