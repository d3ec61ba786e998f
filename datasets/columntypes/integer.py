"""Whole numbers of 64 bits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.bounded import BoundedType
from datasets.columntypes.grammar import (
    digits_of,
    explain_number,
    matches,
    number_pattern,
    plain_number,
    stripped,
    sure,
)
from datasets.columntypes.ranges import signed

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

LOWEST, HIGHEST = -(2**63), 2**63 - 1
SURE_LARGEST = 10**18 - 1
_SURE = "0|-?[1-9][0-9]{0,17}"  # 18 digits always fit
# Sixteen digits and more are card, account and parcel numbers, which nobody adds up.
_PLAIN = re.compile("0|-?[1-9][0-9]{0,14}")


class Integer(BoundedType):
    """`[+-]?[0-9]+`, with the reading's group mark between groups of three."""

    name: ClassVar[str] = "integer"
    title: ClassVar[str] = "Whole number"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        found = number_pattern(reading.decimal_mark, reading.group_mark).fullmatch(text)
        if found is None:
            raise BadValue(explain_number(text, reading))
        if found["whole"] is None or found["fraction"] is not None:
            raise BadValue("Write a whole number without decimals: 1, not 1.0.")
        digits = digits_of(found["whole"])
        sign = "-" if found["sign"] == "-" and digits != "0" else ""
        if len(digits) > 19 or not LOWEST <= int(sign + digits) <= HIGHEST:
            raise BadValue(f"Whole numbers go from {LOWEST} to {HIGHEST}; use a text column for longer ones.")
        return self.hold_bounds(sign + digits, column)

    def sql_type(self, column: ColumnSpec) -> str:
        return "bigint"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        return self.bound_checks(column)

    def to_python(self, canonical: str) -> int:
        return int(canonical)

    def to_text(self, value: object) -> str:
        if not isinstance(value, int):
            raise TypeError(f"Expected int, not {type(value).__name__}")
        return str(int(value))

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take blanks around a number, group marks, a plus and zeros in front away too."""
        import polars as pl  # slow import  # noqa: PLC0415

        numbers = plain_number(values, reading)
        return pl.when(sure(self.screen(numbers, column, reading), values, reading)).then(numbers)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        import polars as pl  # slow import  # noqa: PLC0415

        fits = matches(values, _SURE)
        low, high = column.options.minimum, column.options.maximum
        if low is not None:
            fits = fits & (values.cast(pl.Int64, strict=False) >= int(low))
        if high is not None:
            fits = fits & (values.cast(pl.Int64, strict=False) <= int(high))
        return sure(fits, values, reading)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        low, high = column.options.minimum, column.options.maximum
        return signed(None if low is None else int(low), None if high is None else int(high), SURE_LARGEST)

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        import polars as pl  # slow import  # noqa: PLC0415

        return values.cast(pl.Int64, strict=False)

    def guess(self, values: list[str]) -> bool:
        return all(_PLAIN.fullmatch(value) for value in values)
