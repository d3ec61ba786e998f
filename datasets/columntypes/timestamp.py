"""Moments: a day and a time of day, kept in UTC."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.bounded import BoundedType
from datasets.columntypes.grammar import (
    ASCII_SPACES,
    MIDNIGHT,
    SURE_DATE,
    SURE_TIME,
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

_MOMENT = re.compile(
    r"([0-9./-]{8,10})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}(?::[0-9]{2})?)?"
)
_SHAPE = "Write the time as 2026-12-31T14:00:00Z, or 2026-12-31 14:00:00 for UTC."
LONGEST_DATE = 10
_SURE_FRACTION = r"(?:\.[0-9]{0,5}[1-9])?"
_SURE_SHAPE = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:Z|[+-][0-9]{2}(?::[0-9]{2})?)?"
)
_COMPARED = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?)?"
_SURE_YEARS = "(?:1[0-9]{3}|[2-8][0-9]{3}).*"
_MINUTE = "%Y-%m-%dT%H:%M"


class Timestamp(BoundedType):
    """`2026-08-26T14:00:00Z`; with a space, a fraction, an offset, or none of them, which is UTC."""

    name: ClassVar[str] = "timestamp"
    title: ClassVar[str] = "Date and time"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        if reading.whole_days and len(text) <= LONGEST_DATE:
            text += MIDNIGHT
        moment = _read_moment(text, reading)
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

    def copy_sql(self, quoted_name: str) -> str:
        utc = f"({quoted_name} AT TIME ZONE 'UTC')"
        return f"({utc}::date || 'T' || {utc}::time || 'Z')"

    def to_python(self, canonical: str) -> dt.datetime:
        return dt.datetime.fromisoformat(canonical)

    def to_text(self, value: object) -> str:
        if not isinstance(value, dt.datetime):
            raise TypeError(f"Expected datetime, not {type(value).__name__}")
        return _canonical(value if value.tzinfo else value.replace(tzinfo=dt.UTC))

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        fits = matches(values, f"{SURE_DATE}T{SURE_TIME}{_SURE_FRACTION}Z")
        low, high = column.options.minimum, column.options.maximum
        # Without the Z, canonical times sort as text: `…:00` before `…:00.5`.
        if low is not None:
            fits = fits & (values.str.strip_suffix("Z") >= low.removesuffix("Z"))
        if high is not None:
            fits = fits & (values.str.strip_suffix("Z") <= high.removesuffix("Z"))
        return sure(fits, values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take every order, zone and precision of the grammar too: PostgreSQL's own text among them."""
        import polars as pl  # slow import  # noqa: PLC0415

        bare = values.str.strip_chars(ASCII_SPACES)
        texts = iso_day(bare, reading)
        if reading.whole_days:
            texts = pl.when(matches(texts, SURE_DATE)).then(texts + pl.lit(MIDNIGHT)).otherwise(texts)
        moments = _in_utc(texts)
        fits = sure(self.screen(moments, column, Reading()), values, reading) & sure(
            bare.is_not_null(), bare, reading
        )
        return pl.when(fits).then(moments)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """In UTC. Where the bounds fall within a year, its moments are left to `parse`."""
        low, high = column.options.minimum or "", column.options.maximum or ""
        days = days_between(low.removesuffix(f"{MIDNIGHT}Z"), high)
        time = rf"[T ]{SURE_TIME}(?:\.[0-9]{{1,6}})?Z?"
        return f"{days}(?:{time})?" if reading.whole_days else days + time

    def compared(self, values: pl.Expr, column: ColumnSpec) -> pl.Expr:
        """As they are in UTC, where nobody writes another zone; a day alone is its midnight."""
        import polars as pl  # slow import  # noqa: PLC0415

        time = values.str.slice(LONGEST_DATE + 1).str.strip_suffix("Z")
        is_fraction = time.str.contains(".", literal=True)
        shortest = time.str.strip_chars_end("0").str.strip_chars_end(".")
        time = pl.when(is_fraction).then(shortest).otherwise(time)
        time = pl.when(time == "").then(pl.lit(MIDNIGHT[1:])).otherwise(time)
        fits = matches(values, _COMPARED)
        return pl.when(fits).then(values.str.slice(0, LONGEST_DATE) + pl.lit("T") + time)

    def guess(self, values: list[str]) -> bool:
        return all(_is_moment(value) for value in values)


def _in_utc(texts: pl.Expr) -> pl.Expr:
    """Return moments whose day comes first as `2026-08-26T14:00:00.5Z`; null where they are none, or doubtful.

    An offset is whole minutes, so the seconds stay as they are written.
    """
    import polars as pl  # slow import  # noqa: PLC0415

    minute = texts.str.slice(0, 10) + pl.lit("T") + texts.str.slice(11, 5)
    seconds = texts.str.slice(16).str.extract(r"\A(:[0-9]{2}(?:\.[0-9]+)?)", 1).fill_null(":00")
    zone = texts.str.slice(16).str.extract(r"([+-][0-9]{2}(?::[0-9]{2})?)\z", 1).fill_null("+00")
    minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(4, 2).cast(
        pl.Int64, strict=False
    ).fill_null(0)
    ahead = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    moved = minute.str.to_datetime(_MINUTE, strict=False) - pl.duration(minutes=ahead)
    # Around the first and the last year the truth decides, and of offsets that nobody uses.
    is_plain = matches(zone, "[+-](?:0[0-9]|1[0-5])(?::[0-5][0-9])?") & matches(texts, _SURE_YEARS)
    utc = pl.when(minutes == 0).then(minute).when(is_plain).then(moved.dt.strftime(_MINUTE))
    return pl.when(matches(texts, _SURE_SHAPE)).then(utc + seconds + pl.lit("Z"))


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
