"""The good values of one column: drawn at random, or the n-th of many different ones. Pure."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from random import Random
from string import ascii_lowercase, digits
from uuid import UUID

from core.errors import RowhouseError
from datasets.columntypes import type_of
from datasets.columntypes.decimal import size_of
from datasets.columntypes.integer import HIGHEST, LOWEST
from datasets.columntypes.multi_choice import SEPARATOR
from datasets.columntypes.patterns import compiled, sample
from datasets.columntypes.text import most_characters
from datasets.spec import ColumnSpec
from importer.generation_words import words_for

ENDLESS = 10**12  # so many different values need no counting
LONGEST_SUFFIX = 14  # of a numbered word
DRAWN_DATES = 5_000
FEW_TEXTS, MANY_TEXTS = 1_000, 10_000  # of a pattern
CODE_LETTERS = digits + ascii_lowercase
BEGIN = dt.datetime(1, 1, 1)  # noqa: DTZ001 -- counted from, in UTC throughout
DAY = 86_400  # seconds
UUID_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so that every number is met once
PAGES = tuple(f"https://www.example.{end}/{page}" for end in ("com", "org", "net") for page in (
    "about", "products", "news", "contact", "help", "jobs", "prices", "terms",
))  # fmt: skip
LAST_SECOND = 315_537_897_599  # 9999-12-31T23:59:59


class NoValue(RowhouseError):
    """No value was found that the rules of a column, or of a row, allow."""

    code = "no-value"
    status = 422


class Values(ABC):
    """`plausible` of the different values look natural; there are `most` in all."""

    plausible: int
    most: int

    @abstractmethod
    def draw(self, rng: Random, count: int) -> list[str]:
        """Return values at random, canonical ones, most of them more than once."""

    @abstractmethod
    def nth(self, index: int) -> str:
        """Return a value that no other index below `most` has."""


class Words(Values):
    """One of a fixed list, and with `is_endless` the words with a number behind them."""

    def __init__(self, pool: tuple[str, ...], *, is_endless: bool) -> None:
        self._pool = pool
        self.plausible = len(pool)
        self.most = ENDLESS if is_endless else len(pool)

    def draw(self, rng: Random, count: int) -> list[str]:
        return rng.choices(self._pool, k=count)

    def nth(self, index: int) -> str:
        number, at = divmod(index, len(self._pool))
        word = self._pool[at]
        if not number:
            return word
        name, mark, domain = word.partition("@")
        return f"{name}{number}@{domain}" if mark else f"{word} #{number}"


class Codes(Values):
    """Words where they fit, and where they must differ codes of letters and digits: for texts of few characters."""

    def __init__(self, pool: tuple[str, ...], length: int, least: int) -> None:
        self._pool = pool
        self._length = max(min(length, 12), least)
        self.plausible = self.most = len(CODE_LETTERS) ** self._length

    def draw(self, rng: Random, count: int) -> list[str]:
        return rng.choices(self._pool, k=count)

    def nth(self, index: int) -> str:
        signs = []
        for _ in range(self._length):
            index, at = divmod(index, len(CODE_LETTERS))
            signs.append(CODE_LETTERS[at])
        return "".join(reversed(signs))


class Fitting(Values):
    """Texts that fit a column's pattern, tried until they are many or no more are found."""

    def __init__(self, column: ColumnSpec, seed: int) -> None:
        rng = Random(f"{seed}/{column.label}")  # noqa: S311 -- the same again is wanted
        node = compiled(column.options.pattern or "").node
        found: dict[str, None] = {}
        wanted = MANY_TEXTS if column.is_required or column.is_unique else FEW_TEXTS  # a key is required
        for _ in range(2 * wanted):
            text = sample(node, rng)
            if _is_plain(text) and _takes(column, text):
                found[text] = None
            if len(found) == wanted:
                break
        if not found:
            raise NoValue(f"No text was found that fits the rules of “{column.label}”.")
        self._pool = tuple(found)
        self.plausible = self.most = len(found)

    def draw(self, rng: Random, count: int) -> list[str]:
        return rng.choices(self._pool, k=count)

    def nth(self, index: int) -> str:
        return self._pool[index]


def _is_plain(text: str) -> bool:
    return text == text.strip() and "\r" not in text and text != ""


def _takes(column: ColumnSpec, text: str) -> bool:
    least, most = column.options.min_length or 0, most_characters(column) or len(text)
    return least <= len(text) <= most


class Ordinals(Values):
    """Values in a row: numbers, days, seconds. `begin` and `span` are the natural ones among them."""

    def __init__(self, lowest: int, highest: int, begin: int, span: int) -> None:
        self.lowest, self.highest = lowest, highest
        self.most = max(highest - lowest + 1, 1)
        self.plausible = max(min(span, self.most), 1)
        self._begin = max(lowest, min(begin, highest - self.plausible + 1))

    @abstractmethod
    def text(self, ordinal: int) -> str:
        """Return the canonical text of an ordinal."""

    def draw(self, rng: Random, count: int) -> list[str]:
        begin, span, text, at = self._begin, self.plausible, self.text, rng.random
        if span > 1 << 53:
            return [text(begin + rng.randrange(span)) for _ in range(count)]
        return [text(begin + int(at() * span)) for _ in range(count)]

    def nth(self, index: int) -> str:
        return self.text(self.lowest + (self._begin - self.lowest + index) % self.most)

    def outside(self) -> list[str]:
        """Return what lies just below the lowest and just above the highest value."""
        return [self.text(self.lowest - 1), self.text(self.highest + 1)]


class Integers(Ordinals):
    def text(self, ordinal: int) -> str:
        return str(ordinal)


class Decimals(Ordinals):
    """Counted in units of the last decimal."""

    def __init__(self, scale: int, lowest: int, highest: int, begin: int, span: int) -> None:
        super().__init__(lowest, highest, begin, span)
        self._scale, self._unit = scale, 10**scale

    def text(self, ordinal: int) -> str:
        if not self._scale:
            return str(ordinal)
        whole, fraction = divmod(abs(ordinal), self._unit)
        return f"{'-' if ordinal < 0 else ''}{whole}.{fraction:0{self._scale}d}"


class Dates(Ordinals):
    def draw(self, rng: Random, count: int) -> list[str]:
        if count > DRAWN_DATES:
            return rng.choices(super().draw(rng, DRAWN_DATES), k=count)
        return super().draw(rng, count)

    def text(self, ordinal: int) -> str:
        return dt.date.fromordinal(ordinal).isoformat()

    def outside(self) -> list[str]:
        first, last = dt.date.min.toordinal(), dt.date.max.toordinal()
        around = (self.lowest - 1, self.highest + 1)
        return [self.text(ordinal) for ordinal in around if first <= ordinal <= last]


class Times(Ordinals):
    """Whole seconds of a day."""

    def text(self, ordinal: int) -> str:
        return (BEGIN + dt.timedelta(seconds=ordinal)).time().isoformat()

    def outside(self) -> list[str]:
        return [self.text(ordinal) for ordinal in (self.lowest - 1, self.highest + 1) if 0 <= ordinal < DAY]


class Timestamps(Ordinals):
    """Whole seconds."""

    def text(self, ordinal: int) -> str:
        return (BEGIN + dt.timedelta(seconds=ordinal)).isoformat() + "Z"

    def outside(self) -> list[str]:
        around = (self.lowest - 1, self.highest + 1)
        return [self.text(ordinal) for ordinal in around if 0 <= ordinal <= LAST_SECOND]


class Uuids(Ordinals):
    """Counted through in steps that look like chance."""

    def __init__(self) -> None:
        super().__init__(0, 2**128 - 1, 0, 2**128)

    def text(self, ordinal: int) -> str:
        return str(UUID(int=ordinal * UUID_STEP % 2**128))

    def outside(self) -> list[str]:
        return []


class Phones(Ordinals):
    """German mobile numbers."""

    def __init__(self) -> None:
        super().__init__(0, 10**9 - 1, 0, 10**9)

    def text(self, ordinal: int) -> str:
        return f"+4915{ordinal:09}"

    def outside(self) -> list[str]:
        return []


class Addresses(Words):
    """Web pages: a number behind one makes another."""

    def nth(self, index: int) -> str:
        number, at = divmod(index, len(self._pool))
        return f"{self._pool[at]}/{number}" if number else self._pool[at]


class Subsets(Values):
    """Some of the choices; which, the bits of a number say."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        self._choices = choices
        self.plausible = self.most = 2 ** min(len(choices), 40) - 1

    def draw(self, rng: Random, count: int) -> list[str]:
        return [self.nth(rng.randrange(self.most)) for _ in range(count)]

    def nth(self, index: int) -> str:
        return SEPARATOR.join(choice for at, choice in enumerate(self._choices) if (index + 1) >> at & 1)


class Objects(Values):
    """Small objects."""

    plausible = most = ENDLESS

    def draw(self, rng: Random, count: int) -> list[str]:
        return [self.nth(rng.randrange(1_000)) for _ in range(count)]

    def nth(self, index: int) -> str:
        return f'{{"n": {index}, "tags": ["made"], "weight": {index % 1_000}.50}}'


class Nothing(Values):
    """Of a reference to a dataset that has no records."""

    plausible = most = 0

    def draw(self, rng: Random, count: int) -> list[str]:
        return [""] * count

    def nth(self, index: int) -> str:
        raise IndexError(index)


def values_of(column: ColumnSpec, seed: int, keys: Sequence[str] = ()) -> Values:
    """Return what a column can hold; a reference one of `keys`."""
    if column.options.target is not None:
        return Words(tuple(keys), is_endless=False) if keys else Nothing()
    makers: dict[str, Callable[[], Values]] = {
        "boolean": lambda: Words(("true", "false"), is_endless=False),
        "choice": lambda: Words(column.options.choices, is_endless=False),
        "integer": lambda: _integers(column),
        "decimal": lambda: _decimals(column),
        "date": lambda: _dates(column),
        "time": lambda: _times(column),
        "multi_choice": lambda: Subsets(column.options.choices),
        "email": lambda: Words(words_for("email", seed, is_long=False), is_endless=True),
        "url": lambda: Addresses(PAGES, is_endless=True),
        "phone": Phones,
        "uuid": Uuids,
        "json": Objects,
        "timestamp": lambda: _timestamps(column),
    }
    return makers.get(column.type, lambda: _texts(column, seed))()


def _texts(column: ColumnSpec, seed: int) -> Values:
    assert type_of(column).holds_text
    least, limit = column.options.min_length or 1, column.options.max_length
    if column.options.pattern is not None:
        return Fitting(column, seed)
    words = words_for(column.label, seed, is_long=column.type == "long_text")
    words = tuple(word for word in words if len(word) >= least) or tuple(
        word.ljust(least, "x") for word in words
    )
    if limit is None or max(map(len, words)) + LONGEST_SUFFIX <= limit:
        return Words(words, is_endless=True)
    fitting = tuple(word for word in words if len(word) <= limit)
    shortened = dict.fromkeys(word[:limit].strip() or "x" for word in words)
    return Codes(fitting or tuple(shortened), limit, least)


def _integers(column: ColumnSpec) -> Integers:
    low, high = column.options.minimum, column.options.maximum
    lowest = LOWEST if low is None else int(low)
    highest = HIGHEST if high is None else int(high)
    return Integers(lowest, highest, 1990 if "year" in column.label.lower() else 1, 40_000)


def _decimals(column: ColumnSpec) -> Decimals:
    precision, scale = size_of(column)
    low, high = column.options.minimum, column.options.maximum
    most = 10**precision - 1
    lowest = -most if low is None else int(_units(low, scale).to_integral_value(ROUND_CEILING))
    highest = most if high is None else int(_units(high, scale).to_integral_value(ROUND_FLOOR))
    return Decimals(scale, max(lowest, -most), min(highest, most), 0, 1_000 * 10 ** min(scale, 4))


def _units(text: str, scale: int) -> Decimal:
    sign, numerals, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    return Decimal((sign, numerals, exponent + scale))  # exact, whatever the context's precision


def _dates(column: ColumnSpec) -> Dates:
    low, high = column.options.minimum, column.options.maximum
    lowest = dt.date.min if low is None else dt.date.fromisoformat(low)
    highest = dt.date.max if high is None else dt.date.fromisoformat(high)
    begin = dt.date(1940 if "birth" in column.label.lower() else 2016, 1, 1)
    return Dates(
        lowest.toordinal(), highest.toordinal(), begin.toordinal(), 4_000 if begin.year > 2000 else 24_000
    )


def _times(column: ColumnSpec) -> Times:
    low, high = column.options.minimum, column.options.maximum
    lowest = 0 if low is None else -(_since_begin(f"0001-01-01T{low}") // dt.timedelta(seconds=-1))
    highest = DAY - 1
    if high is not None:
        highest = _since_begin(f"0001-01-01T{high}") // dt.timedelta(seconds=1)
    return Times(lowest, highest, 8 * 3600, 10 * 3600)


def _timestamps(column: ColumnSpec) -> Timestamps:
    low, high = column.options.minimum, column.options.maximum
    lowest = 0 if low is None else -(_since_begin(low) // dt.timedelta(seconds=-1))
    highest = LAST_SECOND if high is None else _since_begin(high) // dt.timedelta(seconds=1)
    begin = _since_begin("2016-01-01T00:00:00Z") // dt.timedelta(seconds=1)
    return Timestamps(lowest, highest, begin, 4_000 * 86_400)


def _since_begin(text: str) -> dt.timedelta:
    return dt.datetime.fromisoformat(text.removesuffix("Z")) - BEGIN
