"""Exact decimal numbers with a fixed number of decimals."""

from __future__ import annotations

import re
from decimal import Decimal as Number
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

DEFAULT_PRECISION, DEFAULT_SCALE = 28, 6
MOST_DIGITS = 38  # of a polars decimal
MAX_PRECISION = 1000  # PostgreSQL's own limit
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?")


def _whole(digits: int) -> str:
    """Return the pattern of a whole part above 0."""
    return f"[1-9][0-9]{{0,{digits - 1}}}"


def size_of(column: ColumnSpec) -> tuple[int, int]:
    """Return (digits in all, digits after the point) of a decimal column."""
    options = column.options
    scale = DEFAULT_SCALE if options.scale is None else options.scale
    return (max(DEFAULT_PRECISION, scale) if options.precision is None else options.precision), scale


class Decimal(BoundedType):
    """A number in full, never rounded. Its canonical text has exactly `scale` decimals: `1.50`."""

    name: ClassVar[str] = "decimal"
    title: ClassVar[str] = "Decimal number"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        found = number_pattern(reading.decimal_mark, reading.group_mark).fullmatch(text)
        if found is None:
            raise BadValue(explain_number(text, reading))
        precision, scale = size_of(column)
        whole = digits_of(found["whole"] or "0")
        fraction = (found["fraction"] or found["only"] or "").rstrip("0")
        if len(fraction) > scale:
            raise BadValue(
                f"Too many decimals: this column holds {scale}. Round the number yourself.",
                code="constraint-error",
            )
        if len(whole) > precision - scale and whole != "0":
            raise BadValue(
                f"Too large: this column holds {precision - scale} digits before the decimal mark.",
                code="constraint-error",
            )
        number = f"{whole}.{fraction.ljust(scale, '0')}" if scale else whole
        is_zero = whole == "0" and not fraction
        return self.hold_bounds("-" + number if found["sign"] == "-" and not is_zero else number, column)

    def sql_type(self, column: ColumnSpec) -> str:
        precision, scale = size_of(column)
        return f"numeric({precision:d},{scale:d})"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        return ("{c} <> 'NaN'::numeric", *self.bound_checks(column))

    def to_python(self, canonical: str) -> Number:
        return Number(canonical)

    def to_text(self, value: object) -> str:
        number = Number(value) if isinstance(value, int | str) else value
        if not isinstance(number, Number):
            raise TypeError(f"Expected Decimal, not {type(value).__name__}")
        if not number.is_finite() or abs(number.adjusted()) > MAX_PRECISION:
            raise ValueError("Not a number that a decimal column can hold")
        return format(number or abs(number), "f")

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        if reading.decimal_mark != ".":
            return None
        precision, scale = size_of(column)
        whole = f"(?:0|-?{_whole(precision - scale)})" if precision > scale else "0"
        fits = matches(values, whole + (rf"\.[0-9]{{{scale}}}" if scale else ""))
        return sure(fits & self._within(values, column), values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take the reading's marks too, and pad missing decimals: most files leave trailing zeros out."""
        import polars as pl  # slow import  # noqa: PLC0415

        precision, scale = size_of(column)
        numbers = plain_number(values, reading)
        whole = f"(?:0|{_whole(precision - scale)})" if precision > scale else "0"
        fits = matches(numbers, f"-?{whole}" + (rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""))
        fits = fits & ~matches(numbers, r"-[0.]*") & self._within(numbers, column)
        if scale:
            head = numbers.str.replace(r"\..*\z", "")
            fraction = numbers.str.extract(r"\.(.*)\z", 1).fill_null("").str.pad_end(scale, "0")
            numbers = pl.concat_str(head, pl.lit("."), fraction)
        return pl.when(sure(fits, values, reading)).then(numbers)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Also with fewer decimals than the column has: PostgreSQL pads them."""
        precision, scale = size_of(column)
        has_fraction = bool(scale) and reading.decimal_mark == "."
        low, high = (
            None if bound is None else Number(bound)
            for bound in (column.options.minimum, column.options.maximum)
        )
        whole = signed(low, high, 10 ** (precision - scale) - 1, with_fraction=has_fraction)
        return whole + (rf"(?:\.[0-9]{{1,{scale}}})?" if has_fraction else "")

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        """Without the zeros at the end of a fraction."""
        import polars as pl  # slow import  # noqa: PLC0415

        is_fraction = values.str.contains(".", literal=True)
        shortest = values.str.strip_chars_end("0").str.strip_chars_end(".")
        numbers = pl.when(is_fraction).then(shortest).otherwise(values)
        zero = pl.when(numbers == "-0").then(pl.lit("0")).otherwise(numbers)
        return pl.when(matches(values, r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")).then(zero)

    def _within(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        """Return whether plain numbers of the column's size are surely within its bounds."""
        import polars as pl  # slow import  # noqa: PLC0415

        low, high = column.options.minimum, column.options.maximum
        if low is None and high is None:
            return pl.lit(value=True)
        precision, scale = size_of(column)
        if precision > MOST_DIGITS:
            return pl.lit(value=False)
        kind = pl.Decimal(MOST_DIGITS, scale)
        numbers = values.cast(kind, strict=False)
        is_over = numbers >= pl.lit(low).cast(kind) if low is not None else pl.lit(value=True)
        return is_over & (numbers <= pl.lit(high).cast(kind)) if high is not None else is_over

    def guess(self, values: list[str]) -> bool:
        return all(_PLAIN.fullmatch(value) for value in values)
