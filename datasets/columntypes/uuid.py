"""Identifiers of 128 bits (RFC 9562)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import ASCII_SPACES, matches, stripped, sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec


def _hyphenated(digit: str) -> str:
    return "-".join(f"{digit}{{{count}}}" for count in (8, 4, 4, 4, 12))


# As databases, Microsoft's tools (braces), RFC 9562 (urn) and hexadecimal dumps (no hyphens) write one:
# each is the same 32 digits, so none can be read in two ways.
_FORMS = (
    _hyphenated("[0-9A-Fa-f]"),
    rf"\{{{_hyphenated('[0-9A-Fa-f]')}\}}",
    f"[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:{_hyphenated('[0-9A-Fa-f]')}",
    "[0-9A-Fa-f]{32}",
)
_ANY = re.compile("|".join(_FORMS))
_HYPHENATED = re.compile(_FORMS[0])
_SHAPE = "Write 32 hexadecimal digits with hyphens, as in 123e4567-e89b-12d3-a456-426614174000."
_LONGEST = 45  # of a urn


class Uuid(ColumnType):
    """Hyphenated in any case; also in braces, as a `urn:uuid:`, or without hyphens. Any version, the nil one too."""

    name: ClassVar[str] = "uuid"
    title: ClassVar[str] = "UUID"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        if len(text) > _LONGEST or not _ANY.fullmatch(text):
            raise BadValue(_SHAPE)
        return str(UUID(text.lower()))

    def sql_type(self, column: ColumnSpec) -> str:
        return "uuid"

    def to_python(self, canonical: str) -> UUID:
        return UUID(canonical)

    def to_text(self, value: object) -> str:
        if not isinstance(value, UUID):
            raise TypeError(f"Expected UUID, not {type(value).__name__}")
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        return sure(matches(values, _hyphenated("[0-9a-f]")), values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take every form."""
        import polars as pl  # slow import  # noqa: PLC0415

        bare = values.str.strip_chars(ASCII_SPACES)
        fits = sure(matches(bare, _ANY.pattern), values, reading) & sure(bare.is_not_null(), bare, reading)
        digits = bare.str.to_lowercase().str.replace(r"\Aurn:uuid:", "").str.replace_all(r"[{}-]", "")
        starts = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))
        canonical = pl.concat_str([digits.str.slice(at, count) for at, count in starts], separator="-")
        return pl.when(fits).then(canonical)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        return _FORMS[0]

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        import polars as pl  # slow import  # noqa: PLC0415

        lower = values.str.to_lowercase()
        return pl.when(matches(lower, _hyphenated("[0-9a-f]"))).then(lower)

    def guess(self, values: list[str]) -> bool:
        return all(_HYPHENATED.fullmatch(value) for value in values)
