"""Columns and cells to try the screen with: every type, odd options and readings, near-misses of every form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from benchmarks.screen_forms import FURTHER, REGIONS, SECONDS, SEVERAL, ZONES
from datasets.columntypes import check_cell, patterns
from datasets.columntypes.base import BadValue, Reading
from datasets.spec import ColumnOptions, ColumnSpec
from importer.mapping import Match
from importer.readers.csv import Chunk, Position
from importer.readers.grammar import count_lines
from importer.recipes import Recipe

TYPES = (
    "text", "long_text", "integer", "decimal", "boolean", "date", "time", "timestamp", "choice", "multi_choice",
    "email", "url", "phone", "uuid", "json",
)  # fmt: skip
CHOICES = (
    "new", "New", "paid", "sent out", "é", "e\u0301", "NA", " NA ", "true", " padded ", "0", "x" * 300, "ß", "  ",
    "a\ufffd",
)  # fmt: skip
NULL_WORDS = ("NA", "N/A", "-", "null", "0", "", " ", "true", "x", "2026-01-01", "1.00", "new", "none ")
OWN_WORDS = ("ja", "Oui", "SÍ", "0", "true", "n", "ẞ", "ss", "Ǆ", "ok", "x", "İ", " ja ", "", "k" * 65)
OWN_FALSE = ("nein", "Non", "NO", "1", "false", "y", "ẞ", "SS", "x", "ı", "-")
SPACES = " \t\n\r\v\f\u00a0\u202f\u2028\u3000\x1c\x85\ufeff\u200b"
DIGITS = "\u0660\u0661\u06f3\u0967\uff11\uff12\u00b2\u2460\U0001d7d9"
ODD = "+-.,:/TZtzeE_xX0123456789 '\u2019\u00a0\u202f\u2212\"\x00\x01\\aAéßǅİ%#=@;|\n\r\u2028\ufeff😀" + DIGITS
PATTERNS = (
    "a*", "[aé😀]{1,5}", "[^\\d]+", "(a|aa|é){2,}", "[A-Z]{3}-[0-9]{4}", ".{3}", "a?", "\\S+", "[a\\s]{2,4}",
    '[",;|]?a+',    "(?:a|é)(?:.|\\n){4}", "\\w{1,3}", "0|NA|-",
)  # fmt: skip
WHOLE_RECIPES = (Recipe(trim=True), Recipe(case="upper"), Recipe(case="lower"), Recipe(case="title"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a made-up file: what it is, how it is read, and what makes its cells."""

    match: Match
    spec: ColumnSpec
    is_key: bool
    cell: Callable[[Random], str | None]


def as_csv(
    random: Random, table: Sequence[Sequence[str | None]], delimiter: str = ",", quote: str = '"'
) -> str:
    """Return rows as a reader gives them: in every way of quoting, with one line end or the other."""
    end, quotes_all = random.choice(("\n", "\r\n")), random.random() < 0.3

    def cell(text: str | None) -> str:
        if text is None or not quote:
            return text or ""
        needs = not text or quotes_all or any(sign in text for sign in (delimiter, quote, "\r", "\n"))
        return quote + text.replace(quote, quote * 2) + quote if needs else text

    return "".join(delimiter.join(map(cell, row)) + end for row in table)


def chunk_of(text: str, rows: int) -> Chunk:
    """Return rows of a file as the chunk below its header."""
    data = text.encode()
    return Chunk(data, 2, 2, rows, Position(len(data), 2 + count_lines(data), 2 + rows))


def make_column(random: Random, number: int, kind: str, width: int) -> Column:
    """Return a column with options, a reading and perhaps a recipe by chance; it reads label `number - 1`."""
    spec = ColumnSpec(
        number, f"l{number}", kind, random.random() < 0.3, random.random() < 0.2, _options(random, kind)
    )
    words = tuple(random.sample(NULL_WORDS, random.choice((0, 0, 1, 3))))
    reading = Reading(
        decimal_mark=random.choice("...,") if kind in ("integer", "decimal") else ".",
        group_mark=random.choice(("", "", "", ",", ".", " ", "'", "\u00a0")),
        date_order=random.choice(("YMD", "YMD", "DMY", "MDY")),
        null_words=words,
        true_words=tuple(random.sample(OWN_WORDS, random.choice((0, 0, 2)))),
        whole_days=random.random() < 0.3,
        false_words=tuple(random.sample(OWN_FALSE, random.choice((0, 0, 2)))),
    )
    recipe = _recipe(random, width) if random.random() < 0.3 else Recipe()
    match = Match(number - 1, f"l{number}", spec.name, "chosen", 100, reading, recipe=recipe)
    return Column(match, spec, spec.is_required and random.random() < 0.5, _maker(kind, spec, reading))


def _recipe(random: Random, width: int) -> Recipe:
    if random.random() < 0.5:
        return random.choice(WHOLE_RECIPES)
    return Recipe(
        constant=random.choice(("1", "", "x")) if random.random() < 0.1 else None,
        joined=tuple(random.randrange(width) for _ in range(random.choice((0, 0, 1, 2)))),
        separator=random.choice((" ", "", "-", ".")),
        split=random.choice(("", "", " ", "-", ".", "T")),
        part=random.choice((1, 2, -1, -2, 9)),
        trim=random.random() < 0.5,
        case=random.choice(("", "", "upper", "title")),
        values=random.choice(((), (("1", "yes"), ("", "2"), ("x", None), ("NA", "7")))),
        default=random.choice((None, None, "0", "", "new", "2026-01-01", " ")),
        blank=random.choice(("clear", "keep")),
    )


def _options(random: Random, kind: str) -> ColumnOptions:
    if kind == "choice":
        return ColumnOptions(choices=tuple(random.sample(CHOICES, random.randint(0, 8))))
    if kind == "multi_choice":
        return ColumnOptions(choices=tuple(random.sample(SEVERAL, random.randint(0, 8))))
    if kind == "phone":
        return ColumnOptions(region=random.choice(REGIONS))
    if kind in ("text", "long_text"):
        return _text_options(random)
    precision = scale = None
    if kind == "decimal" and random.random() < 0.9:
        precision = random.choice((1, 2, 5, 8, 18, 28, 38, 39, 100))
        scale = random.choice((0, precision, min(2, precision), random.randint(0, precision)))
    bare = ColumnSpec(1, "bare", kind, options=ColumnOptions(precision=precision, scale=scale))
    if kind in ("boolean", "email", "url", "uuid", "json") or random.random() < 0.5:
        return bare.options
    bounds = [value for _ in range(2) if (value := _canonical(random, bare))]
    low = bounds[0] if bounds and random.random() < 0.8 else None
    high = bounds[1] if len(bounds) > 1 and random.random() < 0.8 else None
    return ColumnOptions(precision=precision, scale=scale, minimum=low, maximum=high)


def _text_options(random: Random) -> ColumnOptions:
    pattern = random.choice(PATTERNS) if random.random() < 0.3 else None
    length = random.choice((None, None, 1, 5, 20)), random.choice((None, None, None, 0, 1, 3, 5, 1001))
    return ColumnOptions(max_length=length[0], min_length=length[1], pattern=pattern)


def _canonical(random: Random, column: ColumnSpec) -> str | None:
    try:
        return check_cell(FORMS[column.type](random, column, Reading()), column, Reading())
    except BadValue:
        return None


def _maker(kind: str, column: ColumnSpec, reading: Reading) -> Callable[[Random], str | None]:
    form = FORMS[kind]

    def cell(random: Random) -> str | None:
        chance = random.random()
        if chance < 0.05:
            return random.choice((None, "", *reading.null_words, "NA", " ", "\t \n", "\u00a0"))
        text = _near(random, column) if chance < 0.1 else form(random, column, reading)
        while random.random() < 0.2:
            text = _spoilt(random, text)
        return text

    return cell


def _near(random: Random, column: ColumnSpec) -> str:
    """Return a bound of the column, or a form of another type."""
    bounds = [bound for bound in (column.options.minimum, column.options.maximum) if bound]
    if bounds and random.random() < 0.7:
        return random.choice(bounds)
    kind = random.choice(TYPES)
    return FORMS[kind](random, ColumnSpec(1, "x", kind), Reading())


def _spoilt(random: Random, text: str) -> str:
    """Return the text with one small thing about it changed."""
    at = random.randint(0, len(text))
    turn = random.randrange(7)
    if turn == 0:
        return random.choice(SPACES) + text
    if turn == 1:
        return text + random.choice(SPACES)
    if turn == 2:
        return text[:at] + random.choice(ODD) + text[at:]
    if turn == 3:
        return text[:at] + text[at + 1 :]
    if turn == 4:
        return text[:at] + random.choice(ODD) + text[at + 1 :]
    if turn == 5:
        return random.choice((text.upper(), text.lower(), text.title(), text.swapcase()))
    return text + random.choice((text, "\n", "0", "\x00"))


def _text(random: Random, column: ColumnSpec, reading: Reading) -> str:
    if column.options.pattern and random.random() < 0.6:
        return patterns.sample(patterns.compiled(column.options.pattern).node, random)
    limit = random.choice(
        [edge for edge in (column.options.max_length, column.options.min_length) if edge] or [8]
    )
    length = random.choice((limit, limit + 1, limit - 1, random.randint(0, 12)))
    if random.random() < 0.002:
        length = random.choice((1000, 1001, 2000, 2001, 5000))
    return "".join(random.choices(ODD, k=length)) if random.random() < 0.3 else random.choice("aé😀") * length


def _digits(random: Random, most: int) -> str:
    return "".join(random.choices("0123456789", k=random.randint(1, max(1, most))))


def _integer(random: Random, column: ColumnSpec, reading: Reading) -> str:
    turn = random.random()
    if turn < 0.1:
        number = random.choice((0, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**18, 10**18 - 1, -(10**18)))
        return str(number + random.randint(-1, 1))
    sign = random.choice(("", "", "", "-", "+"))
    if turn < 0.3 and reading.group_mark:
        groups = "".join(
            reading.group_mark + f"{random.randrange(1000):03}" for _ in range(random.randint(1, 3))
        )
        return sign + str(random.randint(0, 999)) + groups
    return (
        sign + random.choice(("", "", "", "0", "00")) + _digits(random, random.choice((1, 3, 6, 18, 19, 20)))
    )


def _decimal(random: Random, column: ColumnSpec, reading: Reading) -> str:
    options = column.options
    scale = 6 if options.scale is None else options.scale
    whole = (options.precision or 28) - scale
    head = random.choice(("0", "", _digits(random, 3), _digits(random, whole), _digits(random, whole + 1)))
    length = random.choice((0, 1, scale, scale, scale + 1, random.randint(0, 8)))
    tail = "".join(random.choices("0123456789", k=length))
    tail = random.choice((tail, tail, tail + "000", "0" * len(tail)))
    mark = reading.decimal_mark if tail or random.random() < 0.1 else ""
    return random.choice(("", "", "", "-", "+")) + head + mark + tail


def _boolean(random: Random, column: ColumnSpec, reading: Reading) -> str:
    known = ("true", "false", "yes", "no", "1", "0", "t", "f", "y", "n")
    word = random.choice((*known, *OWN_WORDS, *OWN_FALSE, *reading.true_words, *reading.false_words))
    return random.choice((word, word, word.upper(), word.title(), word.swapcase(), word.lower()))


def _day(random: Random) -> str:
    if random.random() < 0.2:
        year = random.choice(
            ("0000", "0001", "0100", "1582", "1900", "2000", "2023", "2024", "9999", "10000")
        )
        month = random.choice(("00", "01", "02", "04", "06", "11", "12", "13", "2"))
        return f"{year}-{month}-{random.choice(('00', '01', '28', '29', '30', '31', '32', '5'))}"
    return (date(1995, 1, 1) + timedelta(days=random.randrange(20_000))).isoformat()


def _date(random: Random, column: ColumnSpec, reading: Reading) -> str:
    day = _day(random)
    is_ordered = random.random() < (0.05 if reading.date_order == "YMD" else 0.6)
    if is_ordered and day.count("-") == 2:
        mark, (year, month, number) = random.choice("./-"), day.split("-")
        is_day_first = random.random() < {"DMY": 0.9, "MDY": 0.1}.get(reading.date_order, 0.5)
        parts = (number, month, year) if is_day_first else (month, number, year)
        day = mark.join(part.lstrip("0") if random.random() < 0.2 else part for part in parts)
    return day + random.choice(("T00:00:00", " 00:00:00", "T00:00:01")) if random.random() < 0.1 else day


def _timestamp(random: Random, column: ColumnSpec, reading: Reading) -> str:
    time = random.choice(("00:00", "07:30", "12:59", "14:05", "23:59", "23:00", "24:00", "12:60", "7:00"))
    if random.random() < 0.6:
        tail = random.choice((":00Z", ":59Z", ":01.5Z", ":07.000001Z", ":07", "+00"))
    else:
        tail = random.choice(SECONDS) + random.choice(ZONES)
    day = _date(random, column, reading)
    return day if random.random() < 0.1 else day + random.choice("TTTTTTTTT     t_") + time + tail


def _choice(random: Random, column: ColumnSpec, reading: Reading) -> str:
    return random.choice((*column.options.choices, *column.options.choices, *CHOICES))


FORMS: dict[str, Callable[[Random, ColumnSpec, Reading], str]] = {
    "text": _text, "long_text": _text, "integer": _integer, "decimal": _decimal,
    "boolean": _boolean, "date": _date, "timestamp": _timestamp, "choice": _choice, **FURTHER,
}  # fmt: skip
