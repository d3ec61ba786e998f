"""The sign that keeps spreadsheet programs from taking a text for a formula: an apostrophe before it.

It can be taken away again: a text that begins with an apostrophe itself gets one more. Pure: no Django.

>>> [escaped(text) for text in ("=1+1", "'quoted'", "plain")]
["'=1+1", "''quoted'", 'plain']
"""

from __future__ import annotations

from datasets.spec import ColumnSpec

SIGN = "'"
BEGINNINGS = "=+-@\t\r\n＝＋－＠" + SIGN  # the wide forms are formulas in Japanese and Chinese programs
# Their texts begin with a digit, a minus and a digit, or a letter of `true` and `false`; they shall stay what they are.
NEVER_FORMULAS = frozenset({"integer", "decimal", "boolean", "date", "time", "timestamp", "uuid"})


def needs_sign(text: str) -> bool:
    """Return whether a text begins like a formula, or with the sign itself."""
    return text[:1] in BEGINNINGS and text != ""


def escaped(text: str) -> str:
    """Return the text with the sign before it where it needs one."""
    return SIGN + text if needs_sign(text) else text


def escaped_sql(column: ColumnSpec, text: str) -> str:
    """Return an SQL expression of the column's text, with the sign before it where it needs one."""
    if column.value_type in NEVER_FORMULAS:
        return text
    codes = ", ".join(str(ord(one)) for one in BEGINNINGS)
    return f"CASE WHEN ascii({text}) IN ({codes}) THEN '{SIGN * 2}' || {text} ELSE {text} END"
