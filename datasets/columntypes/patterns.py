r"""Patterns of texts: a small regular language that the file's engine and PostgreSQL understand alike.

A pattern holds for the whole value. It is taken apart here, every character class becomes plain ranges of code
points, and each engine is handed the same ranges in its own spelling, so that neither locale nor Unicode version
can part them. Both run in linear time: Rust's (polars) always, PostgreSQL's because nothing here needs more than
an automaton, whose size and whose texts are bounded.

========================  ====================================================================================
written                   means
========================  ====================================================================================
``a``, ``é``, ``-``       the character itself; of ``. \ [ ( ) | * + ? { ^ $`` with a ``\`` before it
``.``                     any character but a line feed
``[a-z_]``, ``[^,]``      one character of these; one of all others
``\d \w \s \D \W \S``     ``[0-9]``, ``[A-Za-z0-9_]``, the ASCII blanks, and all others
``\t \n \r \xHH \uHHHH``  a tab, a line feed, a return, a character by its code
``* + ? {2} {2,} {2,5}``  repetitions, of 255 at most where they are counted
``(...)``, ``(?:...)``    a group
``a|b``                   one or the other
``^``, ``$``              allowed at the ends, where they say nothing new
========================  ====================================================================================

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MAX_CHARACTERS = 500  # of a pattern
MAX_REPEAT = 255  # what PostgreSQL counts to
MAX_SIZE = 1_000  # characters of a pattern with its counted repetitions written out
MAX_OPTIONAL = 250  # parts that may be left out, written out: PostgreSQL's work on many in a row is cubic
MAX_DEPTH = 20
MAX_VALUE_CHARACTERS = 4_000  # of a text that is tried
EXAMPLE_CHARACTERS = 40

type Range = tuple[int, int]
type Node = Chars | Row | Either | Repeat

_SURROGATES = (0xD800, 0xDFFF)
_LAST = 0x10FFFF
_DIGITS: tuple[Range, ...] = ((0x30, 0x39),)
_WORDS: tuple[Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_BLANKS: tuple[Range, ...] = ((0x09, 0x0D), (0x20, 0x20))
_CLASSES = {"d": _DIGITS, "w": _WORDS, "s": _BLANKS}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_CODES = {"x": 2, "u": 4}
_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_GROUPS = {
    "?=": "looks ahead", "?!": "looks ahead", "?<=": "looks behind", "?<!": "looks behind",
    "?P": "names a group", "?<": "names a group", "?>": "is atomic", "?#": "is a comment",
}  # fmt: skip
_ESCAPES = {
    "b": "a word boundary", "B": "a word boundary", "A": "an anchor", "Z": "an anchor", "z": "an anchor",
    "p": "a Unicode class", "P": "a Unicode class", "k": "a back reference", "K": "a reset",
    "Q": "a quotation", "E": "a quotation", **dict.fromkeys("0123456789", "a back reference"),
}  # fmt: skip


class BadPattern(ValueError):
    """A pattern that is none, or that the engines would not understand alike. `at` counts its characters from 1."""

    def __init__(self, rule: str, at: int) -> None:
        super().__init__(rule)
        self.rule, self.at = rule, at


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of these ranges: sorted, apart, without NUL and surrogates."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """From `least` to `most` times; None is without end."""

    node: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for both engines, for the whole of a value. `most` characters fit it at most; None: any number."""

    node: Node
    engine: str
    postgres: str
    least: int
    most: int | None


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """Return a pattern for both engines.

    :raises BadPattern: it is none, too large, or holds something that the engines do not have alike.
    """
    if len(pattern) > MAX_CHARACTERS:
        raise BadPattern(f"a pattern has at most {MAX_CHARACTERS} characters; these are {len(pattern)}", 1)
    node = _Parser(pattern).whole()
    if (size := _size(node)) > MAX_SIZE:
        raise BadPattern(
            f"with its repetitions written out it has {size:,} characters; {MAX_SIZE:,} are allowed", 1
        )
    if (optional := _optional(node)) > MAX_OPTIONAL:
        raise BadPattern(
            f"with its repetitions written out, {optional:,} parts may be left out; {MAX_OPTIONAL} are allowed",
            1,
        )
    least, most = _lengths(node)
    return Pattern(
        node, rf"\A(?:{_text(node, _for_rust)})\z", rf"\A(?:{_text(node, _for_postgres)})\Z", least, most
    )


def fits(pattern: str, text: str) -> bool:
    """Return whether the whole of a text fits."""
    import polars as pl  # slow import  # noqa: PLC0415

    if len(text) > MAX_VALUE_CHARACTERS:
        return False
    return bool(pl.Series([text], dtype=pl.String).str.contains(compiled(pattern).engine)[0])


def all_fit(values: pl.Expr, pattern: str) -> pl.Expr:
    """Return whether the whole of each value fits; the values are known to be short enough."""
    return values.str.contains(compiled(pattern).engine)


def without(node: Node, characters: str) -> Node:
    """Return what of a pattern holds none of these characters: it fits the same texts, but for those that do."""
    match node:
        case Chars(ranges):
            return Chars(_minus(ranges, _merged([(ord(one), ord(one)) for one in characters])))
        case Row(parts):
            return Row(tuple(without(part, characters) for part in parts))
        case Either(branches):
            return Either(tuple(without(branch, characters) for branch in branches))
        case Repeat(inner, least, most):
            return Repeat(without(inner, characters), least, most)


def engine_text(node: Node) -> str:
    """Return a part of a pattern for polars, not yet for a whole value."""
    return f"(?:{_text(node, _for_rust)})"


def sample(node: Node, random: Random) -> str:
    """Return a text that fits, of plain characters where the pattern has some."""
    match node:
        case Chars(ranges):
            return chr(_picked(ranges, random))
        case Row(parts):
            return "".join(sample(part, random) for part in parts)
        case Either(branches):
            return sample(random.choice(branches), random)
        case Repeat(inner, least, most):
            more = random.randrange(5 if random.random() < 0.8 else 60)
            times = min(least + more, MAX_REPEAT if most is None else most)
            return "".join(sample(inner, random) for _ in range(times))


@lru_cache(maxsize=512)
def example(pattern: str) -> str:
    """Return a short text that fits, or "" where none is found."""
    random = Random(pattern)  # noqa: S311 -- the same example again is wanted
    found = (sample(compiled(pattern).node, random) for _ in range(20))
    short = (text for text in found if 0 < len(text) <= EXAMPLE_CHARACTERS and text.isprintable())
    return next((text for text in short if text == text.strip()), "")


# ---- reading


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def whole(self) -> Node:
        node = self._either(0)
        if self.at < len(self.text):
            raise self._bad("“)” closes no group; write “\\)” for the character")
        return node

    def _bad(self, rule: str, at: int | None = None) -> BadPattern:
        return BadPattern(rule, (self.at if at is None else at) + 1)

    def _peek(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]

    def _eat(self, word: str) -> bool:
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True

    def _next(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _either(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._bad(f"groups stand in one another at most {MAX_DEPTH} deep")
        branches = [self._row(depth)]
        while self._eat("|"):
            branches.append(self._row(depth))
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def _row(self, depth: int) -> Node:
        if not depth:
            self._eat("^")
        parts: list[Node] = []
        while (char := self._peek()) and char not in "|)":
            if not depth and char == "$" and self._peek(2) in ("$", "$|"):
                self.at += 1
                continue
            parts.append(self._repeated(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _atom(self, depth: int) -> Node:
        begin, char = self.at, self._next()
        if char == "(":
            return self._group(depth, begin)
        if char == "[":
            return self._class(begin)
        if char == "\\":
            return Chars(self._escape(begin))
        if char == ".":
            return Chars(_others(_one("\n")))
        if char in "*+?":
            raise self._bad(
                f"“{char}” has nothing before it to repeat; write “\\{char}” for the character", begin
            )
        if char == "{":
            raise self._bad("“{” has nothing before it to repeat; write “\\{” for the character", begin)
        if char in "^$":
            raise self._bad(
                f"“{char}” stands inside, and a pattern holds for the whole value; leave it out, or write “\\{char}”"
                " for the character",
                begin,
            )
        return Chars(self._character(char, begin))

    def _character(self, char: str, begin: int) -> tuple[Range, ...]:
        if char == "\0" or _SURROGATES[0] <= ord(char) <= _SURROGATES[1]:
            raise self._bad("a text never holds NUL or half of a surrogate pair", begin)
        return _one(char)

    def _group(self, depth: int, begin: int) -> Node:
        if not self._eat("?:") and self._peek() == "?":
            what = next((self._peek(size) for size in (3, 2) if self._peek(size) in _GROUPS), "")
            kind = _GROUPS.get(what, "sets a flag")
            raise self._bad(f"“({self._peek(2)}” {kind}, which patterns here cannot do", begin)
        node = self._either(depth + 1)
        if not self._eat(")"):
            raise self._bad("“(” is never closed; write “\\(” for the character", begin)
        return node

    def _repeated(self, node: Node) -> Node:
        begin, char = self.at, self._peek()
        if char not in _REPEATS and char != "{" or not char:
            return node
        self.at += 1
        least, most = self._counts(begin) if char == "{" else _REPEATS[char]
        if (further := self._peek()) and further in "?+":
            raise self._bad(
                f"“{self.text[begin : self.at + 1]}” says how much a repetition takes, and a pattern holds for the"
                f" whole value; leave “{further}” out"
            )
        if further and further in "*{":
            raise self._bad(f"“{further}” repeats a repetition; put the first one into a group")
        return Repeat(node, least, most)

    def _counts(self, begin: int) -> tuple[int, int | None]:
        least = self._number()
        most: int | None = least
        if self._eat(","):
            most = self._number() if self._peek() != "}" else None
        if not self._eat("}") or least is None or (self.text[self.at - 2] != "," and most is None):
            raise self._bad("a count is written {2}, {2,} or {2,5}; write “\\{” for the character", begin)
        if most is not None and least > most:
            raise self._bad(f"{{{least},{most}}} counts from more to less", begin)
        if max(least, most or 0) > MAX_REPEAT:
            raise self._bad(f"a repetition is counted to {MAX_REPEAT} at most", begin)
        return least, most

    def _number(self) -> int | None:
        begin = self.at
        while self._peek() and self._peek() in "0123456789" and self.at - begin < 6:
            self.at += 1
        return int(self.text[begin : self.at]) if self.at > begin else None

    def _class(self, begin: int) -> Node:
        is_negated = self._eat("^")
        if self._peek() == "]":
            raise self._bad("“[]” holds no character; write “\\]” for the character", begin)
        found: list[Range] = []
        while not self._eat("]"):
            if self.at >= len(self.text):
                raise self._bad("“[” is never closed; write “\\[” for the character", begin)
            found += self._member()
        ranges = _merged(found)
        ranges = _others(ranges) if is_negated else ranges
        if not ranges:
            raise self._bad("no character is left in this class", begin)
        return Chars(ranges)

    def _member(self) -> tuple[Range, ...]:
        begin = self.at
        first = self._single()
        if self._peek() != "-" or self._peek(2) in ("-]", "-"):
            return first
        self.at += 1
        last = self._single()
        shown = self.text[begin : self.at]
        if any(len(one) != 1 or one[0][0] != one[0][1] for one in (first, last)):
            raise self._bad(f"“{shown}” has a class at one of its ends; write “\\-” for the character", begin)
        if first[0][0] > last[0][0]:
            raise self._bad(f"“{shown}” goes from a later character to an earlier one", begin)
        return _minus(((first[0][0], last[0][0]),), (_SURROGATES,))

    def _single(self) -> tuple[Range, ...]:
        begin, char = self.at, self._next()
        if char == "\\":
            return self._escape(begin)
        if char == "[":
            raise self._bad("“[” opens a class inside of a class; write “\\[” for the character", begin)
        return self._character(char, begin)

    def _escape(self, begin: int) -> tuple[Range, ...]:
        char = self._next()
        if not char:
            raise self._bad("“\\” has nothing behind it; write “\\\\” for the character", begin)
        if char.lower() in _CLASSES:
            ranges = _CLASSES[char.lower()]
            return ranges if char.islower() else _others(ranges)
        if char in _CONTROLS:
            return _one(_CONTROLS[char])
        if char in _CODES:
            return self._code(_CODES[char], begin)
        if char.isalnum() or not char.isascii():
            what = _ESCAPES.get(char)
            tail = f"is {what}, which patterns here do not have" if what else "means nothing here"
            raise self._bad(f"“\\{char}” {tail}", begin)
        return self._character(char, begin)

    def _code(self, count: int, begin: int) -> tuple[Range, ...]:
        digits = self._peek(count)
        self.at += count
        if len(digits) != count or any(one not in "0123456789abcdefABCDEF" for one in digits):
            raise self._bad(f"“{self.text[begin : begin + 2]}” needs {count} hexadecimal digits", begin)
        return self._character(chr(int(digits, 16)), begin)


# ---- ranges of characters


def _one(char: str) -> tuple[Range, ...]:
    return ((ord(char), ord(char)),)


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    made: list[Range] = []
    for low, high in sorted(ranges):
        if made and low <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], high))
        else:
            made.append((low, high))
    return _minus(tuple(made), (_SURROGATES,))


def _others(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    return _minus(((1, _SURROGATES[0] - 1), (_SURROGATES[1] + 1, _LAST)), ranges)


def _minus(ranges: tuple[Range, ...], gone: tuple[Range, ...]) -> tuple[Range, ...]:
    left = list(ranges)
    for low, high in gone:
        left = [
            piece
            for begin, end in left
            for piece in ((begin, min(end, low - 1)), (max(begin, high + 1), end))
            if piece[0] <= piece[1]
        ]
    return tuple(sorted(set(left)))


def _picked(ranges: tuple[Range, ...], random: Random) -> int:
    """Return a code point: a letter, digit or mark of ASCII where there is one."""
    for plain in (_WORDS, ((0x21, 0x7E),), ((0xA1, 0x2FF),)):
        narrow = [
            (max(low, first), min(high, last))
            for low, high in ranges
            for first, last in plain
            if max(low, first) <= min(high, last)
        ]
        if narrow:
            break
    low, high = random.choices(narrow or ranges, weights=[high - low + 1 for low, high in narrow or ranges])[
        0
    ]
    return random.randint(low, high)


# ---- sizes


def _size(node: Node) -> int:
    match node:
        case Chars():
            return 1
        case Row(parts):
            return sum(map(_size, parts))
        case Either(branches):
            return sum(map(_size, branches))
        case Repeat(inner, least, most):
            return _size(inner) * max(least + 1 if most is None else most, 1)


def _optional(node: Node) -> int:
    """Return how many parts may be left out."""
    match node:
        case Chars():
            return 0
        case Row(parts):
            return sum(map(_optional, parts))
        case Either(branches):
            return sum(map(_optional, branches)) + sum(branch == Row(()) for branch in branches)
        case Repeat(inner, least, most):
            return _optional(inner) * max(least + 1 if most is None else most, 1) + (least == 0)


def _lengths(node: Node) -> tuple[int, int | None]:
    """Return how many characters fit at least and at most."""
    match node:
        case Chars():
            return 1, 1
        case Row(parts):
            each = [_lengths(part) for part in parts]
            return sum(least for least, _ in each), _sum([most for _, most in each])
        case Either(branches):
            each = [_lengths(branch) for branch in branches]
            longest = [most for _, most in each]
            return min(least for least, _ in each), (
                None if None in longest else max(most for most in longest if most is not None)
            )
        case Repeat(inner, least, most):
            low, high = _lengths(inner)
            if high == 0:
                return 0, 0
            return low * least, None if most is None or high is None else high * most


def _sum(lengths: list[int | None]) -> int | None:
    return None if None in lengths else sum(length for length in lengths if length is not None)


# ---- writing


def _text(node: Node, spell: Spell) -> str:
    match node:
        case Chars(ranges):
            return _chars_text(ranges, spell)
        case Row(parts):
            return "".join(_text(part, spell) for part in parts) if parts else "(?:)"
        case Either(branches):
            return f"(?:{'|'.join(_text(branch, spell) for branch in branches)})"
        case Repeat(inner, least, most):
            return f"(?:{_text(inner, spell)}){_counts_text(least, most)}"


def _counts_text(least: int, most: int | None) -> str:
    if most is None:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _chars_text(ranges: tuple[Range, ...], spell: Spell) -> str:
    if not ranges:
        return r"[^\s\S]"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return spell(ranges[0][0])
    parts = (spell(low) if low == high else f"{spell(low)}-{spell(high)}" for low, high in ranges)
    return f"[{''.join(parts)}]"


def _for_rust(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:X}}}"


def _for_postgres(code: int) -> str:
    char = chr(code)
    if char.isascii() and char.isalnum():
        return char
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


if TYPE_CHECKING:
    from collections.abc import Callable

    type Spell = Callable[[int], str]
