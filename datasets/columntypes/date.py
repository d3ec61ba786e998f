"""Days of the calendar."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.bounded import BoundedType
from datasets.columntypes.grammar import (
    MIDNIGHT,
    SURE_DATE,
    days_between,
    iso_day,
    matches,
    read_date,
    stripped,
    sure,
)

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec


class Date(BoundedType):
    """`2026-12-31` always; `31/12/2026` or `12/31/2026` when the reading says which."""

    name: ClassVar[str] = "date"
    title: ClassVar[str] = "Date"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        if reading.whole_days:
            text = text.removesuffix(MIDNIGHT)
        return self.hold_bounds(read_date(text, reading).isoformat(), column)

    def sql_type(self, column: ColumnSpec) -> str:
        return "date"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        # PostgreSQL also knows infinity, years before Christ and beyond 9999, which nothing else here does.
        years = ("{c} >= '0001-01-01'::date", "{c} <= '9999-12-31'::date")
        return (*years, *self.bound_checks(column))

    def text_sql(self, quoted_name: str) -> str:
        return f"to_char({quoted_name}, 'YYYY-MM-DD')"

    def to_python(self, canonical: str) -> dt.date:
        return dt.date.fromisoformat(canonical)

    def to_text(self, value: object) -> str:
        if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
            raise TypeError(f"Expected date, not {type(value).__name__}")
        return value.isoformat()

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        fits = matches(values, SURE_DATE)
        low, high = column.options.minimum, column.options.maximum
        if low is not None:
            fits = fits & (values >= low)  # canonical dates sort as text
        if high is not None:
            fits = fits & (values <= high)
        return sure(fits, values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take the reading's order too, and a day's midnight for the day where it says that they are one."""
        import polars as pl  # slow import  # noqa: PLC0415

        days = values.str.replace(MIDNIGHT + r"\z", "") if reading.whole_days else values
        days = iso_day(days, reading)
        return pl.when(sure(self.screen(days, column, reading), values, reading)).then(days)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Where the bounds fall within a year, its days are left to `parse`."""
        days = days_between(column.options.minimum or "", column.options.maximum or "")
        return f"{days}(?:{MIDNIGHT})?" if reading.whole_days else days

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        import polars as pl  # slow import  # noqa: PLC0415

        days = values.str.strip_suffix(MIDNIGHT)
        return pl.when(matches(days, "[0-9]{4}-[0-9]{2}-[0-9]{2}")).then(days)

    def guess(self, values: list[str]) -> bool:
        return all(_is_iso(value) for value in values)


def _is_iso(value: str) -> bool:
    try:
        read_date(value, Reading())
    except BadValue:
        return False
    return True
