"""Checks across the columns of a record: a small language with one meaning, in Python and in PostgreSQL.

    "Start date" <= "End date"
    "Net" + "Tax" = "Gross"
    if "Status" = 'closed' then "Closed at" is not empty

Columns stand in double quotes by their labels, or bare by their names (`c12`), as they are stored; texts in single
quotes; numbers as `-12.5`. There are `= <> < <= > >=`, `in (…)`, `is empty`, `+ - *` and `length(…)`, `and`, `or`,
`not`, `if … then …`. A text beside a date or a timestamp is one.

What has no value makes everything it is compared with or added to unknown, as in SQL, and a check that is unknown
holds; `is empty` alone looks at that. Numbers are exact, texts are ordered by code points, an empty text is empty.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from typing import Any, NamedTuple

from datasets.columntypes import TYPES, BadValue, Reading
from datasets.columntypes.grammar import sql_literal
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec

MAX_CHARACTERS = 2_000
MAX_NODES = 150
MAX_DEPTH = 25
MAX_DIGITS = 40  # of a number in a check
CODE = "row-constraint"
SHOWN_VALUE = 60

# Enough for every product of MAX_NODES numbers; what were not exact would be a fault, not a verdict.
_EXACT = Context(prec=100_000, traps=[Inexact, InvalidOperation, Overflow])
_KINDS = {
    "integer": "number",
    "decimal": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
_NAMES = {
    "number": "a number",
    "text": "a text",
    "boolean": "yes or no",
    "date": "a date",
    "timestamp": "a timestamp",
}
_TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<label>"(?:[^"]|"")*")|(?P<text>'(?:[^']|'')*')|(?P<number>[0-9]+(?:\.[0-9]+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign><=|>=|<>|!=|[=<>+\-*(),])"""
)
_COMPARED = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = frozenset({"and", "or", "not", "if", "then", "in", "is", "empty", "true", "false", "length"})

type Value = Decimal | str | bool | date | datetime
type Node = Literal | Ref | Sum | Length | Compared | Among | Empty | Not | Joined


class BadCheck(ValueError):
    """A check that is none, or that compares what cannot be compared. `at` counts its characters from 1."""

    def __init__(self, rule: str, at: int) -> None:
        super().__init__(rule)
        self.rule, self.at = rule, at


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value
    kind: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A column, by its physical name."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Sum:
    """`+`, `-` or `*` of two numbers, or the days between two dates."""

    sign: str
    left: Node
    right: Node
    kind: str = "number"


@dataclass(frozen=True, slots=True)
class Length:
    inner: Node
    kind: str = "number"


@dataclass(frozen=True, slots=True)
class Compared:
    sign: str
    left: Node
    right: Node
    kind: str = "boolean"


@dataclass(frozen=True, slots=True)
class Among:
    inner: Node
    values: tuple[Literal, ...]
    kind: str = "boolean"


@dataclass(frozen=True, slots=True)
class Empty:
    inner: Node
    kind: str = "boolean"


@dataclass(frozen=True, slots=True)
class Not:
    inner: Node
    kind: str = "boolean"


@dataclass(frozen=True, slots=True)
class Joined:
    """`and` or `or` of two."""

    word: str
    left: Node
    right: Node
    kind: str = "boolean"


@dataclass(frozen=True, slots=True)
class Broken:
    """A check that a record does not meet: which, and what to tell people."""

    check: CheckSpec
    rule: str
    labels: tuple[str, ...]
    values: str


# ---- what others ask


@lru_cache(maxsize=512)
def parsed(expression: str, columns: tuple[ColumnSpec, ...], *, by_name: bool = True) -> Node:
    """Return what a check says of these columns.

    :param by_name: bare physical names are columns too.
    :raises BadCheck: it is no check of them.
    """
    return _Parser(expression, columns, by_name=by_name).whole()


def columns_of(node: Node) -> tuple[str, ...]:
    """Return the physical names of the columns a check reads, each once, in their order."""
    return tuple(dict.fromkeys(_refs(node)))


def by_names(expression: str, columns: Sequence[ColumnSpec]) -> str:
    """Return a check with each label replaced by its column's name: a label may change."""
    names = {column.label: column.name for column in columns}
    return _replaced(expression, "label", lambda text: names[_unquoted(text)])


def by_labels(expression: str, columns: Sequence[ColumnSpec]) -> str:
    """Return a stored check as people read it, with labels."""
    labels = {column.name: column.label for column in columns}
    return _replaced(expression, "word", lambda text: _quoted(labels[text], '"') if text in labels else text)


def holds(check: CheckSpec, columns: tuple[ColumnSpec, ...], values: Mapping[str, Any]) -> bool:
    """Return whether a record meets a check. `values` are Python values by physical name; None is no value."""
    return evaluated(parsed(check.expression, columns), values) is not False


def broken(spec: DatasetSpec, values: Mapping[str, Any]) -> list[Broken]:
    """Return the checks a record does not meet. `values` are Python values by physical name; None is no value."""
    return [told(check, spec, values) for check in spec.checks if not holds(check, spec.columns, values)]


def told(check: CheckSpec, spec: DatasetSpec, values: Mapping[str, Any]) -> Broken:
    """Return what to tell people of a check that a record does not meet."""
    columns = read_columns(check, spec)
    shown = (f"{column.label}: {_shown(values.get(column.name), column)}" for column in columns)
    return Broken(check, rule_of(check, spec), tuple(column.label for column in columns), "; ".join(shown))


def rule_of(check: CheckSpec, spec: DatasetSpec) -> str:
    """Return a check's name and its sentence: the one it was given, else what must hold."""
    sentence = check.message or f"{by_labels(check.expression, spec.columns)} must hold."
    return f"{check.name}: {sentence}"


def reads(check: CheckSpec, spec: DatasetSpec, name: str) -> bool:
    """Return whether a check reads a column, given by its physical name."""
    return name in {column.name for column in read_columns(check, spec)}


def read_columns(check: CheckSpec, spec: DatasetSpec) -> tuple[ColumnSpec, ...]:
    """Return the columns a check reads."""
    by_name = {column.name: column for column in spec.columns}
    return tuple(by_name[name] for name in columns_of(parsed(check.expression, spec.columns)))


def check_sql(check: CheckSpec, spec: DatasetSpec, column: Callable[[str], str]) -> str:
    """Return a check as a PostgreSQL condition. `column` gives the SQL of a column by its physical name."""
    return _sql(parsed(check.expression, spec.columns), column)


# ---- reading


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(expression: str) -> Iterator[_Token]:
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            char = expression[at]
            what = "is never closed" if char in "\"'" else "means nothing here; labels stand in double quotes"
            raise BadCheck(f"“{char}” {what}", at + 1)
        if found.lastgroup != "blank":
            yield _Token(found.lastgroup or "", found[0], at + 1)
        at = found.end()


class _Parser:
    """Recursive descent, from `or` down to a single value; every node knows its kind."""

    def __init__(self, text: str, columns: Sequence[ColumnSpec], *, by_name: bool) -> None:
        if len(text) > MAX_CHARACTERS:
            raise BadCheck(f"a check has at most {MAX_CHARACTERS:,} characters; these are {len(text):,}", 1)
        self.tokens = [*_tokens(text), _Token("end", "", len(text) + 1)]
        self.at = self.nodes = self.depth = 0
        self.labels = {column.label: column for column in columns}
        self.names = {column.name: column for column in columns} if by_name else {}

    def whole(self) -> Node:
        if self._here().kind == "end":
            raise BadCheck("the check is empty", 1)
        node = self._boolean(self._implication, "a check")
        if (rest := self._here()).kind != "end":
            raise BadCheck(f"“{rest.text}” does not go on what stands before it", rest.at)
        if not columns_of(node):
            raise BadCheck("it reads no column; write labels in double quotes", 1)
        return node

    # -- moving

    def _here(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        self.at += 1
        self.nodes += 1
        token = self.tokens[self.at - 1]
        if self.nodes > MAX_NODES * 2:
            raise BadCheck("the check is too long; make two of it", token.at)
        return token

    def _eat(self, *words: str) -> _Token | None:
        token = self._here()
        is_it = token.kind in ("word", "sign") and token.text.lower() in words
        return self._next() if is_it else None

    def _want(self, word: str, after: str) -> None:
        if self._eat(word) is None:
            raise BadCheck(f"“{word}” is missing {after}", self._here().at)

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadCheck(f"parts stand in one another at most {MAX_DEPTH} deep", self._here().at)

    def _boolean(self, read: Callable[[], Node], what: str) -> Node:
        at = self._here().at
        node = read()
        if node.kind != "boolean":
            raise BadCheck(f"{what} is true or false, and this is {_NAMES[node.kind]}; compare it", at)
        return node

    # -- true or false

    def _implication(self) -> Node:
        if not self._eat("if"):
            return self._or()
        self._deeper()
        condition = self._boolean(self._or, "what stands behind “if”")
        self._want("then", "behind what “if” asks")
        then = self._boolean(self._or, "what stands behind “then”")
        self.depth -= 1
        return Joined("or", Not(condition), then)

    def _or(self) -> Node:
        return self._chain("or", self._and)

    def _and(self) -> Node:
        return self._chain("and", self._not)

    def _chain(self, word: str, read: Callable[[], Node]) -> Node:
        at, node = self._here().at, read()
        while self._eat(word):
            if node.kind != "boolean":
                raise BadCheck(f"beside “{word}” stands {_NAMES[node.kind]}; compare it", at)
            node = Joined(word, node, self._boolean(read, f"what stands beside “{word}”"))
        return node

    def _not(self) -> Node:
        if not self._eat("not"):
            return self._predicate()
        self._deeper()
        node = Not(self._boolean(self._not, "what stands behind “not”"))
        self.depth -= 1
        return node

    def _predicate(self) -> Node:
        left = self._sum()
        token = self._here()
        if token.text in _COMPARED:
            self._next()
            return _compared(_COMPARED[token.text], left, self._sum(), token.at)
        if self._eat("is"):
            is_negated = self._eat("not")
            self._want("empty", "behind “is”")
            return Not(Empty(left)) if is_negated else Empty(left)
        if token.text.lower() == "not" and self.tokens[self.at + 1].text.lower() == "in":
            self.at += 1
            return Not(self._among(left))
        return self._among(left) if token.text.lower() == "in" and token.kind == "word" else left

    def _among(self, left: Node) -> Node:
        at = self._next().at
        self._want("(", "behind “in”")
        values = [self._listed(left, at)]
        while self._eat(","):
            values.append(self._listed(left, at))
        self._want(")", "behind the list")
        return Among(left, tuple(values))

    def _listed(self, left: Node, at: int) -> Literal:
        place, value = self._here().at, self._unary()
        if not isinstance(value, Literal):
            raise BadCheck("a list holds numbers and texts only", place)
        found = _compared("=", left, value, at)
        assert isinstance(found, Compared) and isinstance(found.right, Literal)
        return found.right

    # -- values

    def _sum(self) -> Node:
        node = self._product()
        while token := self._eat("+", "-"):
            node = _sum(token, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._unary()
        while token := self._eat("*"):
            node = _sum(token, node, self._unary())
        return node

    def _unary(self) -> Node:
        token = self._eat("-")
        if token is None:
            return self._value()
        self._deeper()
        inner = self._unary()
        self.depth -= 1
        if isinstance(inner, Literal) and isinstance(inner.value, Decimal):
            return Literal(_EXACT.minus(inner.value), "number")
        return _sum(token, Literal(Decimal(0), "number"), inner)

    def _value(self) -> Node:
        token = self._next()
        match token.kind:
            case "number":
                if len(token.text) > MAX_DIGITS:
                    raise BadCheck(f"a number has at most {MAX_DIGITS} digits", token.at)
                return Literal(Decimal(token.text), "number")
            case "text":
                return Literal(_unquoted(token.text), "text")
            case "label":
                return self._column(self.labels.get(_unquoted(token.text)), token)
            case "word":
                return self._word(token)
        if token.text == "(":
            self._deeper()
            node = self._implication()
            self._want(")", f"to close the “(” at {token.at}")
            self.depth -= 1
            return node
        what = f"“{token.text}” stands where" if token.text else "the check ends where"
        raise BadCheck(f"{what} a column, a number or a text is wanted", token.at)

    def _word(self, token: _Token) -> Node:
        word = token.text.lower()
        if word in ("true", "false"):
            return Literal(word == "true", "boolean")
        if word == "length":
            self._want("(", "behind “length”")
            at = self._here().at
            self._deeper()
            inner = self._sum()
            self.depth -= 1
            if inner.kind != "text":
                raise BadCheck(
                    f"“length” counts the characters of a text, and this is {_NAMES[inner.kind]}", at
                )
            self._want(")", "behind the text of “length”")
            return Length(inner)
        if word in _WORDS:
            raise BadCheck(f"“{token.text}” stands where a column, a number or a text is wanted", token.at)
        return self._column(self.names.get(token.text), token)

    def _column(self, column: ColumnSpec | None, token: _Token) -> Ref:
        if column is None:
            if token.kind == "label":
                raise BadCheck(f"there is no column {token.text}", token.at)
            raise BadCheck(
                f"“{token.text}” is no word of checks; labels stand in \"double quotes\", texts in 'single' ones",
                token.at,
            )
        return Ref(column.name, _kind_of(column, token.at))


def _kind_of(column: ColumnSpec, at: int) -> str:
    if kind := _KINDS.get(column.value_type):
        return kind
    if column.type in TYPES and TYPES[column.type].sql_type(column) == "text":
        return "text"
    raise BadCheck(f"“{column.label}” is {column.type}, which checks cannot read", at)


def _sum(sign: _Token, left: Node, right: Node) -> Node:
    kinds = (left.kind, right.kind)
    if kinds == ("number", "number") or (sign.text == "-" and kinds == ("date", "date")):
        return Sum(sign.text, left, right)
    wrong = next(kind for kind in kinds if kind != "number")
    raise BadCheck(f"“{sign.text}” is for numbers, and here is {_NAMES[wrong]}", sign.at)


def _compared(sign: str, left: Node, right: Node, at: int) -> Node:
    left, right = _meant(left, right.kind, at), _meant(right, left.kind, at)
    if left.kind != right.kind:
        raise BadCheck(f"“{sign}” compares {_NAMES[left.kind]} with {_NAMES[right.kind]}", at)
    if left.kind == "boolean" and sign not in ("=", "<>"):
        raise BadCheck(f"yes and no have no order for “{sign}”; use = or <>", at)
    return Compared(sign, left, right)


def _meant(node: Node, kind: str, at: int) -> Node:
    """Return a text beside a date or a timestamp as one."""
    if not (isinstance(node, Literal) and isinstance(node.value, str) and kind in ("date", "timestamp")):
        return node
    try:
        found = TYPES[kind].to_python(TYPES[kind].parse(node.value, ColumnSpec(0, "", kind), Reading()))
    except BadValue:
        form = "2026-12-31" if kind == "date" else "2026-12-31T14:00:00Z"
        raise BadCheck(f"'{node.value}' beside {_NAMES[kind]} is none; write it as '{form}'", at) from None
    assert isinstance(found, date)
    return Literal(found, kind)


def _refs(node: Node) -> Iterator[str]:
    match node:
        case Ref(name):
            yield name
        case Sum(_, left, right) | Compared(_, left, right) | Joined(_, left, right):
            yield from _refs(left)
            yield from _refs(right)
        case Length(inner) | Among(inner) | Empty(inner) | Not(inner):
            yield from _refs(inner)


# ---- the meaning, in Python


def evaluated(node: Node, values: Mapping[str, Any]) -> Any:
    """Return the value of a check or of a part of one; None is unknown, or no value."""
    match node:
        case Literal(value):
            return value
        case Ref(name, kind):
            found = values.get(name)
            return Decimal(found) if kind == "number" and found is not None else found
        case Empty(inner):
            return evaluated(inner, values) in (None, "")
        case Joined(word, left, right):
            return _joined(word, evaluated(left, values), evaluated(right, values))
        case Not(inner) | Length(inner) | Among(inner):
            found = evaluated(inner, values)
            return None if found is None else _of_one(node, found)
        case Sum(sign, left, right) | Compared(sign, left, right):
            pair = evaluated(left, values), evaluated(right, values)
            return None if None in pair else _of_two(sign, *pair)
    raise AssertionError(node)


def _joined(word: str, left: bool | None, right: bool | None) -> bool | None:
    """Return `and` and `or` of what may be unknown: what decides alone, decides."""
    decides = word == "or"
    if left is decides or right is decides:
        return decides
    return None if left is None or right is None else not decides


def _of_one(node: Not | Length | Among, found: Any) -> Any:
    if isinstance(node, Not):
        return not found
    if isinstance(node, Length):
        return Decimal(len(found))
    return any(found == literal.value for literal in node.values)


def _of_two(sign: str, left: Any, right: Any) -> Any:
    if sign == "-" and isinstance(left, date):
        return Decimal((left - right).days)
    operations: dict[str, Callable[[Any, Any], Any]] = {
        "+": _EXACT.add,
        "-": _EXACT.subtract,
        "*": _EXACT.multiply,
        "=": lambda one, other: one == other,
        "<>": lambda one, other: one != other,
        "<": lambda one, other: one < other,
        "<=": lambda one, other: one <= other,
        ">": lambda one, other: one > other,
        ">=": lambda one, other: one >= other,
    }
    return operations[sign](left, right)


# ---- the meaning, in PostgreSQL


def _sql(node: Node, column: Callable[[str], str]) -> str:
    match node:
        case Literal(value, kind):
            return _literal_sql(value, kind)
        case Ref(name, kind):
            return f"({column(name)})::numeric" if kind == "number" else f"({column(name)})"
        case Sum(sign, left, right):
            made = f"({_sql(left, column)} {sign} {_sql(right, column)})"
            return f"{made}::numeric" if left.kind == "date" else made
        case Length(inner):
            return f"char_length({_sql(inner, column)})::numeric"
        case Compared(sign, left, right):
            order = ' COLLATE "C"' if left.kind == "text" else ""
            return f"({_sql(left, column)}{order} {sign} {_sql(right, column)}{order})"
        case Among(inner, listed):
            return f"({_sql(inner, column)} IN ({', '.join(_sql(one, column) for one in listed)}))"
        case Empty(inner):
            found = _sql(inner, column)
            is_empty = f" OR {found} = ''" if inner.kind == "text" else ""
            return f"({found} IS NULL{is_empty})"
        case Not(inner):
            return f"(NOT {_sql(inner, column)})"
        case Joined(word, left, right):
            return f"({_sql(left, column)} {word.upper()} {_sql(right, column)})"
    raise AssertionError(node)


def _literal_sql(value: Value, kind: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"({format(value, 'f')}::numeric)"
    if isinstance(value, str):
        return f"{sql_literal(value)}::text"
    cast = "date" if kind == "date" else "timestamp with time zone"
    return f"{sql_literal(TYPES[kind].to_text(value))}::{cast}"


# ---- words


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _replaced(expression: str, kind: str, by: Callable[[str], str]) -> str:
    return _TOKEN.sub(lambda found: by(found[0]) if found.lastgroup == kind else found[0], expression)


def _shown(value: Any, column: ColumnSpec) -> str:
    if value in (None, ""):
        return "(empty)"
    text = TYPES[column.type].to_text(value)
    return text[:SHOWN_VALUE]


def renamed(check: CheckSpec, columns: Sequence[ColumnSpec]) -> CheckSpec:
    """Return a check by labels, as people write it."""
    return replace(check, expression=by_labels(check.expression, columns))
