"""What a bulk edit does to one value. Pure: canonical text in, canonical text out."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Any

from datasets.columntypes import check_cell, type_of
from datasets.columntypes.base import BadValue, Reading
from datasets.spec import ColumnSpec

SET, CLEAR, REPLACE, ADD = "set", "clear", "replace", "add"
TITLES = {
    SET: "Set to a value",
    CLEAR: "Clear",
    REPLACE: "Find and replace",
    ADD: "Add to the number",
}
CANONICAL = Reading()
_NUMBERS = ("integer", "decimal")
_WORDS = ("choice", "multi_choice", "email", "url", "phone")
_DIGITS = 2_000  # more than a numeric column can hold, so that no sum is rounded
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,1000}(\.[0-9]{1,1000})?")


@dataclass(frozen=True, slots=True)
class Operation:
    """`how`: one of TITLES. `value` is what is set, put in or added; `find` what it stands in for."""

    column: str
    how: str
    value: str = ""
    find: str = ""
    match_case: bool = True

    def stored(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    def title(self, column: ColumnSpec) -> str:
        """Return what it does, in words.

        >>> Operation("c1", "set", "done").title(ColumnSpec(1, "State", "text"))
        'Set “State” to “done”'
        """
        label, value = column.label, _short(self.value)
        if self.how == SET:
            return f"Set “{label}” to “{value}”"
        if self.how == CLEAR:
            return f"Cleared “{label}”"
        if self.how == ADD:
            return f"Added {value} to “{label}”"
        return f"Replaced “{_short(self.find)}” by “{value}” in “{label}”"


def offered(column: ColumnSpec) -> tuple[str, ...]:
    """Return what can be done to a column, first the most usual."""
    ways = [SET]
    if not column.is_required:
        ways.append(CLEAR)
    if type_of(column).holds_text or column.type in _WORDS:
        ways.append(REPLACE)
    if column.type in _NUMBERS:
        ways.append(ADD)
    return tuple(ways)


def why_not(operation: Operation, column: ColumnSpec) -> str | None:
    """Return why an operation cannot be done to any value of a column, as a sentence, or None."""
    if operation.how not in offered(column):
        if operation.how == CLEAR:
            return "This column needs a value, so it cannot be cleared."
        return f"This cannot be done to “{column.label}”."
    if operation.how in (SET, CLEAR):
        try:
            constant(operation, column)
        except BadValue as error:
            return error.rule
    if operation.how == REPLACE and not operation.find:
        return "Say which text is to be replaced."
    if operation.how == ADD and not _PLAIN_NUMBER.fullmatch(operation.value.strip()):
        return "Write the number to add in digits, for example 10 or -2.5."
    return None


def constant(operation: Operation, column: ColumnSpec) -> str | None:
    """Return what SET and CLEAR make of every value: canonical text, or None for no value.

    :raises BadValue: the column cannot hold it.
    """
    raw = operation.value if operation.how == SET and operation.value != "" else None
    return check_cell(raw, column, CANONICAL)


def changed(operation: Operation, old: str | None, column: ColumnSpec) -> str | None:
    """Return the canonical text that REPLACE or ADD makes of a value; no value stays none.

    :raises BadValue: the column cannot hold what it would become.
    """
    if old is None:
        return None
    if operation.how == REPLACE:
        raw = _replaced(operation, old)
        # Nothing is left: no value, rather than an empty text that nobody typed.
        return old if raw == old else check_cell(raw or None, column, CANONICAL)
    return check_cell(_sum(old, operation.value), column, CANONICAL)


def _replaced(operation: Operation, old: str) -> str:
    if operation.match_case:
        return old.replace(operation.find, operation.value)
    # The text is escaped: a literal, in any case, and no expression of the person's.
    return re.sub(re.escape(operation.find), lambda _found: operation.value, old, flags=re.IGNORECASE)


def _sum(old: str, added: str) -> str:
    try:
        with localcontext(Context(prec=_DIGITS)):
            total = Decimal(old) + Decimal(added.strip())
    except InvalidOperation as error:
        raise BadValue("Only a number can be added to a number.") from error
    text = f"{total:f}"
    # 2.0 is written 2 in a column of whole numbers; what is left over is refused by the column's own rule.
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
