"""Moments: a day and a time of day, kept in UTC."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.bounded import BoundedType
from datasets.columntypes.grammar import SURE_DATE, SURE_TIME, matches, read_date, stripped, sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

_MOMENT = re.compile(
    r"([0-9./-]{8,10})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}(?::[0-9]{2})?)?"
)
_SHAPE = "Write the time as 2026-12-31T14:00:00Z, or 2026-12-31 14:00:00 for UTC."
_SURE_FRACTION = r"(?:\.[0-9]{0,5}[1-9])?"


class Timestamp(BoundedType):
    """`2026-08-26T14:00:00Z`; with a space, a fraction, an offset, or none of them, which is UTC."""

    name: ClassVar[str] = "timestamp"
    title: ClassVar[str] = "Date and time"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        moment = _read_moment(stripped(raw), reading)
        return self.hold_bounds(_canonical(moment), column)

    def sql_type(self, column: ColumnSpec) -> str:
        return "timestamp with time zone"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        cast = "::timestamp with time zone"
        years = (
            f"{{c}} >= '0001-01-01 00:00:00+00'{cast}",
            f"{{c}} < '10000-01-01 00:00:00+00'{cast}",
        )
        return (*years, *self.bound_checks(column))

    def text_sql(self, quoted_name: str) -> str:
        shape = """'YYYY-MM-DD"T"HH24:MI:SS.US'"""
        utc = f"to_char({quoted_name} AT TIME ZONE 'UTC', {shape})"
        return f"(rtrim(rtrim({utc}, '0'), '.') || 'Z')"

    def to_python(self, canonical: str) -> dt.datetime:
        return dt.datetime.fromisoformat(canonical)

    def to_text(self, value: object) -> str:
        if not isinstance(value, dt.datetime):
            raise TypeError(f"Expected datetime, not {type(value).__name__}")
        return _canonical(value if value.tzinfo else value.replace(tzinfo=dt.UTC))

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        return self._sure(values, column, reading, f"{SURE_DATE}T{SURE_TIME}{_SURE_FRACTION}Z")

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take a space for the T and every way to write UTC too: PostgreSQL's own text among them."""
        import polars as pl  # slow import  # noqa: PLC0415

        fits = self._sure(
            values, column, reading, f"{SURE_DATE}[T ]{SURE_TIME}{_SURE_FRACTION}(?:Z|[+-]00(?::00)?)?"
        )
        return pl.when(fits).then(_local_text(values) + pl.lit("Z"))

    def _sure(self, values: pl.Expr, column: ColumnSpec, reading: Reading, pattern: str) -> pl.Expr:
        fits = matches(values, pattern)
        low, high = column.options.minimum, column.options.maximum
        # Without the Z, canonical times sort as text: `…:00` before `…:00.5`.
        if low is not None:
            fits = fits & (_local_text(values) >= low.removesuffix("Z"))
        if high is not None:
            fits = fits & (_local_text(values) <= high.removesuffix("Z"))
        return sure(fits, values, reading)

    def guess(self, values: list[str]) -> bool:
        return all(_is_moment(value) for value in values)


def _local_text(values: pl.Expr) -> pl.Expr:
    """Return the text of UTC times as `2026-08-26T14:00:00.5`, without the zone."""
    return values.str.replace(" ", "T", literal=True).str.replace(r"(?:Z|[+-]00(?::00)?)\z", "")


def _read_moment(text: str, reading: Reading) -> dt.datetime:
    """Return the moment `text` names, in UTC.

    :raises BadValue: it is no time of the grammar, or none of the calendar and the clock.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise BadValue(_SHAPE)
    local = dt.datetime.combine(read_date(found[1], reading), _time_of(found), dt.UTC)
    try:
        return local - _offset_of(found[6] or "Z")
    except OverflowError:
        raise BadValue("In UTC this time is outside the years 0001 to 9999.") from None


def _time_of(found: re.Match[str]) -> dt.time:
    """Return the time of day of a match of `_MOMENT`."""
    hour, minute, second = int(found[2]), int(found[3]), int(found[4] or 0)
    fraction = (found[5] or "").rstrip("0")
    if len(fraction) > 6:
        raise BadValue("A second has at most 6 decimals.", code="constraint-error")
    if hour > 23 or minute > 59 or second > 59:
        raise BadValue("The time of day goes from 00:00:00 to 23:59:59.")
    return dt.time(hour, minute, second, int(fraction.ljust(6, "0")))


def _offset_of(zone: str) -> dt.timedelta:
    if zone == "Z":
        return dt.timedelta()
    hours, minutes = int(zone[1:3]), int(zone[4:6] or 0)
    if hours > 15 or minutes > 59:
        raise BadValue("The offset from UTC goes from -15:59 to +15:59.")
    offset = dt.timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def _canonical(moment: dt.datetime) -> str:
    text = moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _is_moment(value: str) -> bool:
    try:
        _read_moment(value, Reading())
    except BadValue:
        return False
    return True
