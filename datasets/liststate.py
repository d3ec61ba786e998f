"""What the address of a list of records asks for: conditions, search, sort, columns, page size. Pure.

One address, one list: everything a person chose stands in the query string, so that it can be shared, saved as a
view and exported. Columns are named by their physical names, which a renaming does not change:

======================  =================================================================================
``c7__from, c7__to``    a range, both ends included; either may be left out
``c7__contains``        texts: anywhere in them, in any case; ``c7__starts``: at their beginning
``c7__is``              exactly this value, or one of several; an empty one stands for no value
``c7__any, c7__all``    several choices: any of these is among them, or all are
``c7__when``            days and times: a period that moves on with the calendar, `last-30-days`
``c7__empty``           `yes`: no value; `no`: any value
``q``                   words to search for
``sort``                `c7.-c9`: by c7, then by c9 downwards
``cols``                `c7.c9`: these columns, in this order
``n``                   records on a page
======================  =================================================================================
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil, floor

from datasets.columntypes import type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.grammar import read_date
from datasets.spec import ColumnSpec

PAGE_SIZES = (25, 50, 100, 200)
DEFAULT_PAGE_SIZE = 50
MAX_VALUES = 100
MAX_CHARACTERS = 200
MAX_SORTS = 3
NO_VALUE = "(no value)"

OPERATORS = ("from", "to", "contains", "starts", "is", "any", "all", "when", "empty")
_NAMED = re.compile(rf"c([0-9]{{1,18}})__({'|'.join(OPERATORS)})", re.ASCII)
# Long enough for every bound, short enough that no exponent or digit flood costs anything.
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII)
_MINUTE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
_RANGED = ("integer", "decimal", "date", "timestamp", "time")
_TEXT_ALIKE = ("email", "url", "phone")
_SEVERAL = ("any", "all")  # of the choices of a value that has some
_OPAQUE = ("json",)  # its values are compared as a whole by nobody

Days = tuple[dt.date, dt.date]


class UnknownParameter(ValueError):
    """The address names a parameter that no list knows."""


# ---- periods that move with the calendar


def _month(today: dt.date, months: int) -> Days:
    """Return the first and last day of the month that lies `months` from today's."""
    number = today.year * 12 + today.month - 1 + months
    first = dt.date(number // 12, number % 12 + 1, 1)
    return first, _next_month(first) - dt.timedelta(1)


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=28) + dt.timedelta(4)).replace(day=1)


def _quarter(today: dt.date, quarters: int) -> Days:
    into = (today.month - 1) % 3
    first, _ = _month(today, quarters * 3 - into)
    _, last = _month(today, quarters * 3 - into + 2)
    return first, last


def _year(today: dt.date, years: int) -> Days:
    return dt.date(today.year + years, 1, 1), dt.date(today.year + years, 12, 31)


def _around(first: int, last: int) -> Callable[[dt.date], Days]:
    return lambda today: (today + dt.timedelta(first), today + dt.timedelta(last))


def _week(today: dt.date, weeks: int) -> Days:
    monday = today - dt.timedelta(today.weekday()) + dt.timedelta(weeks=weeks)
    return monday, monday + dt.timedelta(6)


PERIODS: Mapping[str, Callable[[dt.date], Days]] = {
    "today": _around(0, 0),
    "yesterday": _around(-1, -1),
    "tomorrow": _around(1, 1),
    "last-7-days": _around(-6, 0),
    "last-30-days": _around(-29, 0),
    "last-90-days": _around(-89, 0),
    "next-7-days": _around(1, 7),
    "next-30-days": _around(1, 30),
    "next-90-days": _around(1, 90),
    "this-week": lambda today: _week(today, 0),
    "last-week": lambda today: _week(today, -1),
    "next-week": lambda today: _week(today, 1),
    "this-month": lambda today: _month(today, 0),
    "last-month": lambda today: _month(today, -1),
    "next-month": lambda today: _month(today, 1),
    "this-quarter": lambda today: _quarter(today, 0),
    "last-quarter": lambda today: _quarter(today, -1),
    "next-quarter": lambda today: _quarter(today, 1),
    "this-year": lambda today: _year(today, 0),
    "last-year": lambda today: _year(today, -1),
    "next-year": lambda today: _year(today, 1),
}


def days_of(period: str, today: dt.date) -> Days:
    """Return the first and last day of a period, both included.

    >>> days_of("last-quarter", dt.date(2026, 2, 28))
    (datetime.date(2025, 10, 1), datetime.date(2025, 12, 31))
    >>> days_of("last-7-days", dt.date(2026, 3, 1))
    (datetime.date(2026, 2, 23), datetime.date(2026, 3, 1))
    """
    return PERIODS[period](today)


# ---- conditions


@dataclass(frozen=True, slots=True)
class Condition:
    """What one parameter asks of one column. With a `problem` it cannot be asked, and no record fits it.

    `values` are as typed. `column` is None where the address names one that is not there, or not for this person.
    """

    column: ColumnSpec | None
    name: str
    operator: str
    values: tuple[str, ...]
    problem: str = ""

    @property
    def parameter(self) -> str:
        return f"{self.name}__{self.operator}"

    def words(self) -> str:
        """Return the condition for people, without the column's label: `from 5`, `contains “Ada”`."""
        shown = " or ".join(f"“{_short(value)}”" if value else NO_VALUE for value in self.values[:5])
        if len(self.values) > 5:
            shown += f" or {len(self.values) - 5} more"
        first = self.values[0] if self.values else ""
        match self.operator:
            case "from" | "to":
                return f"{self.operator} {_short(first)}"
            case "when":
                return first.replace("-", " ")
            case "empty":
                return "has no value" if first == "yes" else "has a value"
            case "is":
                return f"is {shown}"
            case "any":
                return f"has {shown}"
            case "all":
                return f"has {shown.replace(' or ', ' and ')}"
            case "starts":
                return f"starts with {shown}"
        return f"contains {shown}"


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:39]}…"


def operators_of(column: ColumnSpec) -> tuple[str, ...]:
    """Return what can be asked of a column."""
    if column.value_type in ("date", "timestamp"):
        asked: tuple[str, ...] = ("from", "to", "when")
    elif column.value_type in _RANGED:
        asked = ("from", "to", "is")
    elif column.value_type in _OPAQUE:
        asked = ()
    elif column.value_type == "multi_choice":
        asked = _SEVERAL
    elif holds_words(column):
        asked = ("contains", "starts", "is")
    else:
        asked = ("is",)
    return asked if column.is_required else (*asked, "empty")


def holds_words(column: ColumnSpec) -> bool:
    """Return whether a column is searched and filtered as text."""
    return type_of(column).holds_text or column.value_type in _TEXT_ALIKE


def is_listed(column: ColumnSpec) -> bool:
    """Return whether a column's values are ticked from a list."""
    return column.value_type in ("choice", "multi_choice", "boolean")


def free(column: ColumnSpec) -> ColumnSpec:
    """Return the column without its limits: what no record can hold may still be asked for."""
    options = replace(
        column.options,
        minimum=None,
        maximum=None,
        max_length=None,
        min_length=None,
        pattern=None,
        default=None,
    )
    return replace(column, is_required=False, options=options)


def bound_of(column: ColumnSpec, raw: str, end: str) -> object:
    """Return one end of a range as a Python value; for a timestamp a day or a naive local time where it is one.

    :raises BadValue: it cannot be read.
    """
    text = raw.strip()
    if column.value_type in ("integer", "decimal"):
        if not _NUMBER.fullmatch(text):
            raise BadValue("Write a number in digits, for example -1250.5.")
        number = Decimal(text)
        return number if column.value_type == "decimal" else ceil(number) if end == "from" else floor(number)
    if column.value_type == "timestamp":
        if len(text) == 10:
            return read_date(text, Reading())
        if _MINUTE.fullmatch(text):
            try:
                return dt.datetime.fromisoformat(text)
            except ValueError:
                raise BadValue("This day or time is not in the calendar.") from None
    return value_of(column, text)


def value_of(column: ColumnSpec, raw: str) -> object:
    """Return a typed value as Python's.

    :raises BadValue: no record of the column can hold it.
    """
    asked = free(column)
    return type_of(asked).to_python(type_of(asked).parse(raw, asked, Reading()))


def _checked(column: ColumnSpec, operator: str, values: tuple[str, ...]) -> str:
    """Return why a condition cannot be asked, or an empty text."""
    if operator not in operators_of(column):
        return "This cannot be asked of this column."
    if len(values) > MAX_VALUES:
        return f"At most {MAX_VALUES} values can be asked for at once."
    if any(len(value) > MAX_CHARACTERS or "\x00" in value for value in values):
        return f"A value has at most {MAX_CHARACTERS} characters, and no NUL."
    if operator == "when":
        return "" if set(values) <= set(PERIODS) and len(values) == 1 else "There is no such period."
    if operator == "empty":
        return "" if values in (("yes",), ("no",)) else "This is “yes” or “no”."
    if operator in _SEVERAL:
        return "" if set(values) <= set(column.options.choices) else "That is none of the column's choices."
    if operator != "is" and len(values) > 1:
        return "This can be asked only once."
    return _unreadable(column, operator, values)


def _unreadable(column: ColumnSpec, operator: str, values: tuple[str, ...]) -> str:
    try:
        for value in values:
            if operator in ("from", "to"):  # an end that is none is no range
                bound_of(column, value, operator)
            elif operator == "is" and value:
                value_of(column, value)
            else:
                value.encode()
    except BadValue as error:
        return error.rule
    except UnicodeEncodeError:
        return "Remove the broken character (half of a surrogate pair)."
    return ""


# ---- the whole list


@dataclass(frozen=True, slots=True)
class ListState:
    """What a list shows. Without `columns` the dataset's own; `sort` has names and whether downwards.

    `ignored` says what the address asks for that this person's list does not have.
    """

    conditions: tuple[Condition, ...] = ()
    search: str = ""
    sort: tuple[tuple[str, bool], ...] = ()
    columns: tuple[str, ...] = ()
    page_size: int = DEFAULT_PAGE_SIZE
    ignored: tuple[str, ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """Return the parameters of the address, always in the same order."""
        made = [(one.parameter, value) for one in self.conditions for value in one.values]
        if self.search:
            made.append(("q", self.search))
        if self.sort:
            made.append(("sort", sort_text(self.sort)))
        if self.columns:
            made.append(("cols", ".".join(self.columns)))
        if self.page_size != DEFAULT_PAGE_SIZE:
            made.append(("n", str(self.page_size)))
        return made

    def without(self, parameter: str) -> ListState:
        """Return the list without one condition."""
        return replace(self, conditions=tuple(one for one in self.conditions if one.parameter != parameter))

    def without_unknown(self) -> ListState:
        """Return the list without conditions on columns that are not there, and what was left out."""
        gone = tuple(one.parameter for one in self.conditions if one.column is None)
        kept = tuple(one for one in self.conditions if one.column is not None)
        return replace(self, conditions=kept, ignored=(*self.ignored, *gone))


def sort_text(sort: Iterable[tuple[str, bool]]) -> str:
    """Return a sort as the address has it.

    >>> sort_text([("c7", False), ("c9", True)])
    'c7.-c9'
    """
    return ".".join(f"-{name}" if is_downwards else name for name, is_downwards in sort)


def read_state(parameters: Iterable[tuple[str, Sequence[str]]], columns: Sequence[ColumnSpec]) -> ListState:
    """Return what these parameters ask of a list that has these columns.

    :raises UnknownParameter: no list knows one of them.
    """
    by_name = {column.name: column for column in columns}
    state = ListState()
    conditions, ignored = [], []
    for name, values in parameters:
        if name == "q":
            state = replace(state, search=values[-1].replace("\x00", ""))
        elif name == "sort":
            sort, unknown = _sort(values[-1], by_name)
            state = replace(state, sort=sort)
            ignored += unknown
        elif name == "cols":
            wanted = dict.fromkeys(filter(None, values[-1][:20_000].split(".")))
            state = replace(state, columns=tuple(one for one in wanted if one in by_name))
            ignored += [one for one in wanted if one not in by_name]
        elif name == "n":
            size = int(values[-1]) if re.fullmatch(r"[0-9]{1,4}", values[-1], re.ASCII) else 0
            state = replace(state, page_size=size if size in PAGE_SIZES else DEFAULT_PAGE_SIZE)
        else:
            conditions.append(_condition(name, values, by_name))
    conditions.sort(key=lambda one: (int(one.name[1:]), OPERATORS.index(one.operator)))
    return replace(state, conditions=tuple(conditions), ignored=tuple(ignored))


def _sort(text: str, by_name: Mapping[str, ColumnSpec]) -> tuple[tuple[tuple[str, bool], ...], list[str]]:
    sort: dict[str, bool] = {}
    unknown = []
    for part in filter(None, text[:1_000].split(".")):
        name = part.removeprefix("-")
        if name not in by_name:
            unknown.append(name[:40])
        elif name not in sort and len(sort) < MAX_SORTS:
            sort[name] = part.startswith("-")
    return tuple(sort.items()), unknown


def _condition(name: str, values: Sequence[str], by_name: Mapping[str, ColumnSpec]) -> Condition:
    found = _NAMED.fullmatch(name)
    if found is None:
        raise UnknownParameter(name[:100])
    column_name, operator = f"c{int(found[1])}", found[2]
    column = by_name.get(column_name)
    asked = tuple(dict.fromkeys(values))
    if column is None:
        return Condition(None, column_name, operator, asked[:5], "This list has no such column.")
    return Condition(column, column_name, operator, asked, _checked(column, operator, asked))


def from_form(column: ColumnSpec, fields: Mapping[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Return the parameters of a filled-in filter form: without what is blank, texts of `is` line by line."""
    made = []
    for operator in operators_of(column):
        values = list(fields.get(operator, ()))
        if operator == "is" and not is_listed(column):
            values = [line for value in values for line in value.splitlines()]
        if operator not in ("is", *_SEVERAL) or not is_listed(column):
            values = [value for value in values if value.strip()]
        if values:
            made.append((f"{column.name}__{operator}", values))
    return made
