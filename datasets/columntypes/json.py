"""Any JSON value (RFC 8259), as PostgreSQL's `jsonb` keeps it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import any_of, matches, sql_literal, sure
from datasets.columntypes.text import MAX_CHARACTERS, check_characters

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

MAX_DEPTH = 100
MAX_DIGITS = 1_000  # of a number written in full
_WHITE = " \t\r\n"  # RFC 8259's own, which is less than a cell's spaces
# Possessive: a text that is never closed is passed over once, and not once for each quote in it.
_BRACKETS = re.compile(r'"(?:[^"\\]+|\\.?)*+"?|[\[\]{}]', re.DOTALL)
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# In PostgreSQL's expressions, whose counts end at 255: 7 × 143 digits, or 6 × 167 with the point.
_STRING = r'"(?:[^"\\]|\\.)*"'
_TOO_LONG = "(?:[0-9]{143}){7}|(?:[0-9.]{167}){6}"
_SURE_NUMBER = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


class Json(ColumnType):
    """An object, a list, a text, a number, `true`, `false` or `null`; the canonical text is the one of `jsonb`.

    So keys stand by length, then by their bytes; numbers are in full, with the decimals they were written with.
    `null` is a value of its own, not a missing one.
    """

    name: ClassVar[str] = "json"
    title: ClassVar[str] = "JSON"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        check_characters(raw)
        text = raw.strip(_WHITE)
        _check_depth(text)
        numbers = _Numbers()
        try:
            value = json.loads(
                text,
                object_pairs_hook=_object,
                parse_int=numbers.take,
                parse_float=numbers.take,
                parse_constant=_refuse_constant,
            )
        except json.JSONDecodeError as error:
            raise BadValue(_explain(text, error)) from None
        canonical = _text_of(value)
        if len(canonical) > MAX_CHARACTERS:
            raise _too_long()
        return canonical

    def sql_type(self, column: ColumnSpec) -> str:
        return "jsonb"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        deep = f'strict $.**{{{MAX_DEPTH}}} ? (@.type() == "array" || @.type() == "object")'
        bare = f"regexp_replace({{c}}::text, {sql_literal(_STRING)}, '', 'g')"
        return (
            f"char_length({{c}}::text) <= {MAX_CHARACTERS}",
            f"NOT jsonb_path_exists({{c}}, {sql_literal(deep)})",
            f"CASE WHEN char_length({{c}}::text) > {MAX_DIGITS} THEN {bare} !~ {sql_literal(_TOO_LONG)} ELSE true END",
        )

    def to_python(self, canonical: str) -> str:
        """Return the text itself: no Python value tells `1.10` from `1.1`, or `null` from nothing."""
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Of what needs no quotes: words and numbers."""
        empty = any_of(("{}", "[]"), marks)
        return f"(?:true|false|null|-?{_SURE_NUMBER}{f'|{empty}' if empty else ''})"

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        plain = rf"true|false|null|\{{\}}|\[\]|{_SURE_NUMBER}|-{_SURE_NUMBER}"
        return sure(matches(values, plain) & ~matches(values, "-0.*"), values, reading)

    def guess(self, values: list[str]) -> bool:
        return False  # a number or a word is JSON too


class _Number(str):
    """The text of a number, in full."""

    __slots__ = ()


class _Numbers:
    """Writes the numbers of one value in full, as long as they fit into a cell together."""

    def __init__(self) -> None:
        self._room = MAX_CHARACTERS

    def take(self, token: str) -> _Number:
        """Return a number as `numeric` writes it.

        :raises BadValue: in full it has more than 1,000 digits, or all together are too long.
        """
        found = _NUMBER.fullmatch(token)
        assert found is not None
        sign, whole, fraction, exponent = found[1], found[2], found[3] or "", found[4] or "0"
        moved = int(exponent) if len(exponent) <= 6 else 10**6 * (-1 if exponent[0] == "-" else 1)
        size = len(whole) + len(fraction) + abs(moved)
        if size > MAX_DIGITS:
            raise BadValue(
                f"A number in JSON has at most {MAX_DIGITS:,} digits, written in full.",
                code="constraint-error",
            )
        self._room -= size
        if self._room < 0:
            raise _too_long()
        number = Decimal((0, tuple(map(int, whole + fraction)), moved - len(fraction)))
        return _Number(("-" if sign and number else "") + format(number, "f"))


def _too_long() -> BadValue:
    return BadValue(f"A cell holds at most {MAX_CHARACTERS:,} characters.", code="constraint-error")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadValue(f"The key “{again[:60]}” stands more than once in one object. Keep one of them.")
    return made


def _refuse_constant(word: str) -> NoReturn:
    raise BadValue(f"JSON has no {word}. Write null or a number.")


def _check_depth(text: str) -> None:
    """Refuse what is nested too deep, in linear time and before anything recurses.

    :raises BadValue: lists and objects stand in one another more than 100 deep.
    """
    steps = (1 if found in "[{" else -1 for found in _BRACKETS.findall(text) if found in "[]{}")
    if max(accumulate(steps), default=0) > MAX_DEPTH:
        raise BadValue(
            f"Lists and objects may stand {MAX_DEPTH} deep in one another.", code="constraint-error"
        )


def _text_of(value: Any) -> str:
    """Return the text PostgreSQL writes of a `jsonb` value.

    :raises BadValue: a text in it holds what no text column can.
    """
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: _key_order(member[0]))
        return "{" + ", ".join(f"{_quoted(key)}: {_text_of(one)}" for key, one in members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text_of, value)) + "]"
    return {True: "true", False: "false", None: "null"}[value]


def _key_order(key: str) -> tuple[int, bytes]:
    check_characters(key)
    encoded = key.encode()
    return len(encoded), encoded


def _quoted(text: str) -> str:
    check_characters(text)
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if text[:1] == "{" and "'" in text and '"' not in text:
        return "JSON has texts in double quotes: write {\"a\": 1}, not {'a': 1}."
    if error.pos == 0 and text[:1] not in '{["':
        return "Write JSON: an object, a list, a number, true, false, null, or a text in double quotes."
    return f"This is no JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1:,}."
