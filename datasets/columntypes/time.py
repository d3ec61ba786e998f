"""Times of day, without a day and without a zone."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.bounded import BoundedType
from datasets.columntypes.grammar import ASCII_SPACES, SURE_TIME, matches, stripped, sure
from datasets.columntypes.ranges import NOTHING, same_length

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?")
_SHAPE = "Write the time of day as 14:00, 14:00:00 or 14:00:00.5."
_SURE_FRACTION = r"(?:\.[0-9]{0,5}[1-9])?"
_MIDNIGHT, _LAST = "00:00:00", "23:59:59.999999"


class Time(BoundedType):
    """`14:00:00`; also `9:30`, and up to six decimals of a second."""

    name: ClassVar[str] = "time"
    title: ClassVar[str] = "Time of day"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        return self.hold_bounds(_read(stripped(raw)), column)

    def sql_type(self, column: ColumnSpec) -> str:
        return "time without time zone"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        return ("{c} < '24:00:00'::time", *self.bound_checks(column))  # PostgreSQL knows 24:00 too

    def to_python(self, canonical: str) -> dt.time:
        return dt.time.fromisoformat(canonical)

    def to_text(self, value: object) -> str:
        if not isinstance(value, dt.time):
            raise TypeError(f"Expected time, not {type(value).__name__}")
        text = value.replace(tzinfo=None).isoformat()
        return text.rstrip("0") if "." in text else text

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        fits = matches(values, SURE_TIME + _SURE_FRACTION)
        low, high = column.options.minimum, column.options.maximum
        if low is not None:
            fits = fits & (values >= low)  # canonical times sort as text
        if high is not None:
            fits = fits & (values <= high)
        return sure(fits, values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take `9:30`, `09:30` and zeros behind the second too."""
        import polars as pl  # slow import  # noqa: PLC0415

        bare = values.str.strip_chars(ASCII_SPACES)
        fits = sure(matches(bare, _TIME.pattern), values, reading) & sure(bare.is_not_null(), bare, reading)
        full = bare.str.replace(r"\A([0-9]):", "0${1}:").str.replace(r"\A([0-9]{2}:[0-9]{2})\z", "${1}:00")
        times = full.str.replace(r"(\.[0-9]*?)0+\z", "${1}").str.strip_suffix(".")
        return pl.when(fits & self.screen(times, column, Reading())).then(times)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Where the bounds fall within an hour, its times are left to `parse`."""
        low, high = column.options.minimum or _MIDNIGHT, column.options.maximum or _LAST
        first = int(low[:2]) + (low[2:] != ":00:00")
        last = int(high[:2]) - (high[2:] != ":59:59.999999")
        if first > last:
            return NOTHING
        return rf"{same_length(f'{first:02}', f'{last:02}')}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?"

    def guess(self, values: list[str]) -> bool:
        return all(value[2:3] == ":" and _is_time(value) for value in values)


def _read(text: str) -> str:
    """Return the canonical text of a time of day.

    :raises BadValue: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadValue(_explain(text))
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    fraction = (found[4] or "").rstrip("0")
    if len(fraction) > 6:
        raise BadValue("A second has at most 6 decimals.", code="constraint-error")
    if hour > 23 or minute > 59 or second > 59:
        raise BadValue("The time of day goes from 00:00:00 to 23:59:59.")
    return f"{hour:02}:{minute:02}:{second:02}" + (f".{fraction}" if fraction else "")


def _explain(text: str) -> str:
    if re.fullmatch(r"[0-9:. ]{1,20}(?:[aApP]\.?[mM]\.?)", text):
        return "Write the hours from 0 to 23, without am or pm: 14:30, not 2:30 pm."
    if re.fullmatch(r"[0-9:.]{4,20} ?(?:Z|[+-][0-9:]{2,6})", text):
        return "A time of day has no zone. Leave it out, or use a column of date and time."
    if re.fullmatch(r"0?\.[0-9]{1,20}", text):
        return "This is a part of a day as a number. Give the workbook's cells the format of a time."
    return _SHAPE


def _is_time(value: str) -> bool:
    try:
        _read(value)
    except BadValue:
        return False
    return True
