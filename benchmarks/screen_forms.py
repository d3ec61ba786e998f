"""Cells of the types that are written in many ways: times, several choices, addresses, numbers to call, JSON."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec

SECONDS = ("", ":00", ":59", ":60", ":07.5", ":07.500", ":07.123456", ":07.1234567", ":07.0", ":07.", ":7")
ZONES = (
    "Z",
    "",
    "+00",
    "-00",
    "+00:00",
    "-00:00",
    "+02",
    "-15:59",
    "+16",
    "+01:60",
    "z",
    " Z",
    "+0200",
    "UTC",
)
SEVERAL = ("new", "paid", "sent out", "é", "NA", "true", "0", "a.b", "a", "b", "x" * 90, "ß", "a\ufffd")
NAMES = (
    "example", "Example", "xn--bcher-kva", "bücher", "BÜCHER", "a", "a-b", "-a", "a-", "1", "9a", "İ", "e\u0301", "a_b",
    "", "x" * 63, "x" * 64, "münchen", "a--b", "\u3002", "ǅ", "Ω",
)  # fmt: skip
ENDS = ("org", "de", "COM", "co.uk", "xn--p1ai", "рф", "1", "0x7f", "c0m", "", "a-b", "x" * 30)
ODD_HOSTS = (
    "localhost", "127.0.0.1", "256.1.1.1", "01.2.3.4", "1.2.3", "[::1]", "[::g]", "[1::2::3]", "wiki", "[v1.a]",
    "[::ffff:1.2.3.4]", "1.2.3.4.", "example.org.",
)  # fmt: skip
LOCALS = (
    "a", "a.b", "first.last+tag", "o'neil", "A_B", "!#$%&'*+/=?^_`{|}~-", "é", "E\u0301", ".a", "a.", "a..b", "a b",
    '"a"', "x" * 61, "x" * 64, "x" * 65, "", "mailto:a", "a;b", "a,b", "N <a", "=a", "日本",
)  # fmt: skip
RESTS = (
    "", "/", "/a/b.html", "/?q=1&r=[2]", "#top", "?a=b#c", "/%20", "/ä/ö?ü", "/a b", '/"', "/a\\b", "/<b>", "/`",
    "/{|}^~", "/" + "x" * 300, "/" + "x" * 1_980, "/" + "é" * 990, "/a;b,c", "/\u200b", "/\ufffd", "\\", "//",
    "/\u00a0", "/\u00ad",
)  # fmt: skip
SCHEMES = (
    "http://", "https://", "HTTP://", "Https://", "ftp://", "javascript:", "data:", "//", "http:/", "", "mailto:",
    "https://u@", "https://u:p@", "http://https://",
)  # fmt: skip
PORTS = ("", "", "", ":80", ":0", ":65535", ":65536", ":080", ":", ":8a", ":99999")
REGIONS = (None, None, "DE", "US", "IT", "AR", "BR", "HU", "RU")
CODES = (
    "1", "7", "20", "27", "30", "31", "33", "34", "36", "39", "40", "44", "46", "49", "52", "54", "55", "61", "81",
    "86", "91", "234", "353", "380", "420", "590", "800", "878", "972", "979", "999", "0", "210", "881",
)  # fmt: skip
TOKENS = (
    "1", "0", "-0", "-1", "1.0", "1.10", "-0.0", "1e5", "1E-2", "1.5e3", "10e-1", "01", "1.", ".5", "+1", "1e400",
    "123456789012345678", "1234567890123456789", "1e1001", "1e-1001", "true", "false", "null", "True", "NaN",
    "-Infinity", '""', '"a"', '"é"', r'"\u00e9"', r'"\ud83d\ude00"', r'"\ud800"', r'"\u0000"', r'"\n\/\b"', '"\t"',
    '"\x7f\u2028"', "'a'", "{}", "[]", "[ ]", "[1,]", "[" * 101 + "]" * 101, "[" * 100 + "]" * 100,
)  # fmt: skip
KEYS = ('"a"', '"b"', '"aa"', '"é"', '"z"', '""', r'"\u0061"', '"ab c"', '"😀"')


def time(random: Random, column: ColumnSpec, reading: Reading) -> str:
    hour = random.choice(("0", "00", "7", "07", "12", "19", "23", "24", "9", "09", "007"))
    zone = random.choice(ZONES) if random.random() < 0.05 else ""
    return f"{hour}:{random.choice(('00', '07', '30', '59', '60', '7'))}{random.choice(SECONDS)}{zone}"


def several(random: Random, column: ColumnSpec, reading: Reading) -> str:
    pool = column.options.choices or SEVERAL
    parts = random.sample(pool, random.randint(1, min(3, len(pool))))
    if random.random() < 0.6:
        parts.sort(key=pool.index)
    if random.random() < 0.05:
        parts.append(random.choice((*parts, "", "NEW", " new", *SEVERAL)))
    return random.choice(("; ", "; ", "; ", ";", " ; ", ", ", ";  ", ";;")).join(parts)


def _host(random: Random) -> str:
    if random.random() < 0.1:
        return random.choice(ODD_HOSTS)
    plain = random.random() < 0.7
    labels = [random.choice((NAMES[0], *NAMES[5:7]) if plain else NAMES) for _ in range(random.randint(1, 3))]
    return ".".join([*labels, random.choice(ENDS[:2] if plain else ENDS)])


def email(random: Random, column: ColumnSpec, reading: Reading) -> str:
    local = random.choice(LOCALS[:5]) if random.random() < 0.6 else random.choice(LOCALS)
    return f"{local}{random.choice('@@@@@@@@@@@@＠ ')}{_host(random)}"


def url(random: Random, column: ColumnSpec, reading: Reading) -> str:
    scheme = random.choice(SCHEMES[:2]) if random.random() < 0.7 else random.choice(SCHEMES)
    rest = random.choice(RESTS[:8]) if random.random() < 0.7 else random.choice(RESTS)
    return scheme + _host(random) + random.choice(PORTS[:4] if random.random() < 0.8 else PORTS) + rest


def phone(random: Random, column: ColumnSpec, reading: Reading) -> str:
    number = "".join(random.choices("0123456789", k=random.choice((2, 4, 6, 8, 9, 10, 10, 11, 12, 13, 15))))
    if random.random() < 0.6:
        return f"+{random.choice(CODES)}{number}"
    code = random.choice(CODES)
    lead = random.choice((f"+{code} ", "00", f"00{code}", "0", "", "(0)", "+", "tel:+1"))
    at, mark = (
        random.randint(0, len(number)),
        random.choice((" ", "-", ".", "/", ") ", " (0)", "\u2011", "--", " x")),
    )
    return lead + number[:at] + mark + number[at:]


def uuid(random: Random, column: ColumnSpec, reading: Reading) -> str:
    digits = f"{random.getrandbits(128):032x}"
    plain = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    forms = (plain, plain, plain, digits, f"{{{plain}}}", f"urn:uuid:{plain}", f"{{{digits}}}", f"({plain})")
    form = random.choice(forms)
    return random.choice((form, form, form.upper(), form.title(), form[:-1], form + "0"))


def json(random: Random, column: ColumnSpec, reading: Reading, depth: int = 0) -> str:
    turn = random.random()
    if turn < 0.5 or depth > 2:
        return random.choice(TOKENS[:10]) if random.random() < 0.5 else random.choice(TOKENS)
    comma, colon = random.choice((", ", ",", " ,\n")), random.choice((": ", ":", " :\t"))
    values = [json(random, column, reading, depth + 1) for _ in range(random.randint(0, 3))]
    if turn < 0.7:
        return f"[{comma.join(values)}]"
    keys = random.choices(KEYS, k=len(values))
    members = (f"{key}{colon}{value}" for key, value in zip(keys, values, strict=True))
    return "{" + comma.join(members) + "}"


FURTHER: dict[str, Callable[[Random, ColumnSpec, Reading], str]] = {
    "time": time, "multi_choice": several, "email": email, "url": url, "phone": phone, "uuid": uuid, "json": json,
}  # fmt: skip
