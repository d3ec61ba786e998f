"""What the fuzz of pages sends: hostile values, and the forms and queries that pages themselves show."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# As bytes of a query or a form, so that also what is no text gets through.
HOSTILE: list[bytes] = [
    b"", b" ", b"0", b"-1", b"1", b"9" * 19, b"9" * 40, b"-" + b"9" * 40, b"1e309", b"NaN", b"-0", b"0x10",
    b"1_000", b"\x00", b"a\x00b", b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\xaf", "💥".encode() * 300,
    "ﬀ\u202e\u0301\ufeff".encode(), b"x" * 10_000, b"%", b"%%%_", b"\\", b"'", b'"', b"'; SELECT pg_sleep(9) --",
    b"../../../etc/passwd", b"/", b"//x.example", b"javascript:alert(1)", b"<script>alert(1)</script>", b"[]",
    b"{}", b"[[[[]]]]", b'{"a": 1}', b"null", b"true", b"1,2,3", b"a,b", b"__proto__", b"__class__", b"{{ 7 * 7 }}",
    b"%s%n%(x)s", b"{0.__class__}", b"2024-02-30", b"9999999-01-01", b"0000-00-00", b"24:61",
    b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59+99:99", b"a@b", b"a" * 300 + b"@example.com", b"id", b"pk__in",
    b"password__startswith", b"c1", b"-c1,c2", b"\r\nSet-Cookie: a=b", b"on", b"All", b"\t\n\v", "١٢٣".encode(),
    "²".encode(), b"1.5", b"1,5", b"+1", b"1" * 400, b"(" * 2_000, b"[" * 5_000, b"a" * 63, b"*" * 50,
]  # fmt: skip
# Of Django's lists, of ours, and of nobody's.
QUERIES = (
    "p", "o", "q", "all", "e", "_popup", "_to_field", "_changelist_filters", "next", "page", "seen", "v", "id__exact",
    "pk__in", "id", "key", "at", "from", "to", "dataset", "state", "kind", "created_at__gte", "sort", "search", "cols",
    "filters", "columns", "after", "before", "name", "term", "app_label", "model_name", "field_name", "job", "version",
    "user", "tab", "show", "x", "a[]", "a.b",
)  # fmt: skip
JSON_BODIES: list[bytes] = [
    b"", b"null", b"1", b'"x"', b"[]", b"{", b"[1]", b'{"cells": null}', b'{"cells": [1]}', b'{"cells": [{}]}',
    b'{"cells": [{"id": "x", "column": 1, "seen": [], "value": {}}]}',
    b'{"cells": [{"id": 1e400, "column": "c1", "seen": "", "value": "\\u0000"}]}',
    b'{"cells": [{"id": 99999999999999999999, "column": "c1; DROP", "seen": null, "value": "\\ud800"}]}',
    b"[" * 20_000, b'{"a":' * 5_000, b"\xff\xfe\x00", b'{"cells": {"0": 1}}', b'{"__proto__": {}}', b"NaN",
]  # fmt: skip


@dataclass
class Form:
    """A form as a page shows it: where it goes, how, and what its fields hold."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return sorted({name for name, _ in self.fields})


class Forms(HTMLParser):
    """Collects the forms of a page, and the names its links use in their queries."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.by_id: dict[str, Form] = {}
        self.queries: set[str] = set()
        self._open: Form | None = None
        self._select: tuple[Form, str] | None = None
        self._area: tuple[Form, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name in ("href", "hx-get", "action", "x-get"):
            self.queries |= {
                one for one, _ in parse_qsl(urlsplit(given.get(name, "")).query, keep_blank_values=True)
            }
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").upper())
            self.forms.append(self._open)
            if "id" in given:
                self.by_id[given["id"]] = self._open
            return
        form = self.by_id.get(given.get("form", ""), self._open)
        name = given.get("name", "")
        if tag == "option" and self._select is not None:
            form, name = self._select
            has_none = all(one != name for one, _ in form.fields)
            if "selected" in given or has_none:
                form.fields.append((name, given.get("value", "")))
        if form is None or not name:
            return
        if tag == "select":
            self._select = (form, name)
        elif tag == "textarea":
            self._area = (form, name)
            form.fields.append((name, ""))
        elif tag == "input" and given.get("type") == "file":
            form.files.append(name)
        elif tag in {"input", "button"}:
            is_chosen = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            if is_chosen or all(one != name for one, _ in form.fields):
                form.fields.append((name, given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            form, name = self._area
            form.fields[-1] = (name, data.lstrip("\n"))


def quoted(value: bytes) -> str:
    """Return bytes as a query holds them."""
    return "".join(f"%{byte:02X}" for byte in value)


def queries(known: set[str], dice: random.Random, *, rounds: int) -> Iterator[str]:
    """Yield queries of hostile values: one name, several, and one that is repeated."""
    names = sorted({*known, *QUERIES})
    # What does not fit into an address never reaches a page.
    short, shortest = ([one for one in HOSTILE if len(one) <= most] for most in (600, 60))
    for _ in range(rounds):
        yield f"{dice.choice(names)}={quoted(dice.choice([one for one in HOSTILE if len(one) <= 2_500]))}"
        some = dice.sample(names, 4)
        yield "&".join(f"{name}={quoted(dice.choice(short))}" for name in some)
        name = dice.choice(names)
        yield "&".join(f"{name}={quoted(dice.choice(short))}" for _ in range(3))
        if known:
            yield "&".join(f"{name}={quoted(dice.choice(shortest))}" for name in sorted(known)[:30])


def bodies(form: Form, dice: random.Random, *, rounds: int) -> Iterator[list[tuple[str, Any]]]:
    """Yield what may come back from a form: as it stands, one field hostile, all, some missing, repeated, as files."""
    files: list[tuple[str, Any]] = [(name, _file(dice)) for name in form.files]
    yield [*form.fields, *files]
    if not form.fields:
        return
    for name in form.names if rounds > 1 else dice.sample(form.names, min(4, len(form.names))):
        for _ in range(rounds):
            value = dice.choice(HOSTILE)
            yield [(one, value if one == name else kept) for one, kept in form.fields] + files
    for _ in range(rounds):
        yield [(name, dice.choice(HOSTILE)) for name, _ in form.fields] + files
        yield [pair for pair in form.fields if dice.random() < 0.7]
        yield [*form.fields, *((name, dice.choice(HOSTILE)) for name in form.names)]
        yield [(name, _file(dice)) for name, _ in form.fields[:20]]


def _file(dice: random.Random) -> BytesIO:
    file = BytesIO(
        dice.choice(
            [
                b"",
                b"\x00" * 100,
                b"PK\x03\x04",
                b"id,status\n1,new\n",
                b"\xff\xfe,\n",
                b'"',
                b"{}",
                b'{"fields": 1}',
            ]
        )
    )
    file.name = dice.choice(
        ["a.csv", "b.xlsx", "../../c", "d" * 300 + ".csv", "e\u202e.csv", ".", "<b>.json"]
    )
    return file
