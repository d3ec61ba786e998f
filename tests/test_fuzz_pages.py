"""Every page of both sites, with hostile addresses, queries, forms and bodies, by everybody: none fails, none hangs.

Pages are found by introspection, forms and queries in what the pages themselves serve. What a request does is taken
back. `FUZZ_ROUNDS=20` for the long form, in which every field of every form is tried; `FUZZ_SEED` plays one again.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from traceback import extract_tb
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.client import MULTIPART_CONTENT, RequestFactory
from django.urls import Resolver404, path

from accounts.operators.models import Operator
from accounts.sites import operator_site
from audit.services import record
from core.tenancy import TenantRef
from jobs.models import Job
from rowhouse import urls_public, urls_tenant
from tenants.models import Tenant, TenantBackup
from tenants.operator_pages import DEEDS
from tests.fuzzing import HOSTILE, JSON_BODIES, Form, Forms, bodies, queries, quoted
from tests.test_pages_need_rights import Page, Place, furnish, pages

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
SEED = os.environ.get("FUZZ_SEED", "rowhouse")
MOST_SECONDS = (
    60  # of one request: far beyond what any needs, so that one that hangs is named and not waited for
)
LONGEST_ADDRESS = 8_000
BOUNDARY = "BoUnDaRy"
VERBS = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")


class Hangs(BaseException):
    """A request took longer than any may."""


@contextmanager
def limited() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Fuzz:
    """One person at one site: what he asked, what pages that were, and what went wrong."""

    who: str
    client: Client
    urlconf: Any
    asked: Counter[str] = field(default_factory=Counter)
    opened: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)

    def send(self, method: str, address: str, body: bytes = b"", kind: str = "") -> tuple[int, str]:
        """Send one request, take back what it did, and return its status and page."""
        if len(address) > LONGEST_ADDRESS:
            return 0, ""  # the server before us refuses it (rowhouse.gunicorn)
        self.client.raise_request_exception = False
        cookies = deepcopy(self.client.cookies)
        parts = urlsplit(address)
        error = ""
        try:
            with transaction.atomic(), limited():
                answer: Any = self.client.generic(
                    method, parts.path, body, kind or "application/octet-stream", QUERY_STRING=parts.query
                )
                page = b"".join(answer) if getattr(answer, "streaming", False) else answer.content
                transaction.set_rollback(True)
        except Hangs:
            self.found.append(f"{self.who} {method} {address[:300]}: hangs")
            return 0, ""
        finally:
            self.client.cookies = cookies
        with suppress(Resolver404):  # the client asks when it is looked at
            route = answer.resolver_match.route
            self.asked[f"{method} {route}"] += 1
            if answer.status_code < 400:
                self.opened.add(route)
        text = page[:2_000_000].decode("utf-8", "replace")
        if answer.status_code >= 500 and answer.status_code != 503:
            info = getattr(answer, "exc_info", None)
            error = f"{type(info[1]).__name__}: {str(info[1])[:300]} at {place_of(info[1])}" if info else ""
            self.found.append(
                f"{self.who} {method} {address[:300]} {body[:600]!r}: {answer.status_code} {error}"
            )
        if "Traceback (most recent call last)" in text or "django.core.exceptions" in text:
            self.found.append(f"{self.who} {method} {address[:300]}: shows a traceback")
        return answer.status_code, text if "html" in answer.headers.get("Content-Type", "") else ""

    def page(self, address: str, *, variants: list[str]) -> None:
        """Try a page: as it is, by hostile addresses and queries, its forms, and bodies it does not wait for."""
        dice = random.Random(zlib.crc32(f"{SEED} {self.who} {address}".encode()))
        base, _, own = address.partition("?")
        _, text = self.send("GET", address)
        served = Forms(text)
        for query in queries(served.queries, dice, rounds=ROUNDS):
            self.send("GET", f"{base}?{own}&{query}" if own else f"{base}?{query}")
        for variant in variants if ROUNDS > 1 else dice.sample(variants, min(3, len(variants))):
            self.send("GET", variant)
            self.send("POST", variant)
        for form in served.forms:
            self.form(address, form, dice)
        self.send("POST", address)
        for given in JSON_BODIES if ROUNDS > 1 else dice.sample(JSON_BODIES, 2):
            self.send("POST", address, given, "application/json")
        self.send("POST", address, dice.choice(HOSTILE), "application/x-www-form-urlencoded")
        self.send(
            "POST",
            address,
            b"--x\r\nContent-Disposition: form-data; name=a",
            "multipart/form-data; boundary=x",
        )
        self.send("POST", address, b"a=b", "multipart/form-data")
        self.send("POST", address, b"\xff", "text/plain; charset=no-such")
        self.send(dice.choice(VERBS), address)

    def form(self, address: str, form: Form, dice: random.Random) -> None:
        base = address.partition("?")[0]
        to = form.action or address
        if to.startswith("?"):
            to = base + to
        if not to.startswith("/") or to.startswith("//") or to.endswith("/logout/"):
            return
        for sent in bodies(form, dice, rounds=ROUNDS):
            if form.method == "GET":
                query = "&".join(
                    f"{quoted(name.encode())}={quoted(value if isinstance(value, bytes) else str(value).encode())}"
                    for name, value in sent
                )
                self.send("GET", f"{to.partition('?')[0]}?{query}")
            else:
                self.send("POST", to, encoded(sent), MULTIPART_CONTENT.replace("BoUnDaRyStRiNg", BOUNDARY))


def place_of(error: BaseException) -> str:
    """Return where an error came up: the last lines of ours and of anybody's."""
    lines = [
        f"{frame.filename.rpartition('/site-packages/')[2]}:{frame.lineno}"
        for frame in extract_tb(error.__traceback__)
    ]
    ours = [line for line in lines if line.startswith("/")]
    return " ".join([*ours[-2:], lines[-1]] if lines else [])


def encoded(fields: list[tuple[str, Any]]) -> bytes:
    """Return fields as a form sends them, bytes as they are."""
    parts = []
    for name, value in fields:
        head = f'Content-Disposition: form-data; name="{name}"'.encode()
        if hasattr(value, "read"):
            value.seek(0)
            head += f'; filename="{value.name}"\r\nContent-Type: application/octet-stream'.encode()
            value = value.read()
        text = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        parts.append(b"--" + BOUNDARY.encode() + b"\r\n" + head + b"\r\n\r\n" + text + b"\r\n")
    return b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"


NUMBERS = ("0", "9" * 18, "9" * 40, "007")
TEXTS = (
    "-1", "x", "%00", "%ED%A0%80", "%FF", "x" * 2_000, "_2F", "%27", "1_2C2", "%F0%9F%92%A5",
    "9" * 40, "..%2f..", "NaN",
)  # fmt: skip


def variants_of(route: str, fill: Callable[[str], str]) -> list[str]:
    """Return the addresses of a page in which one part is hostile."""
    found = []
    parameters: list[tuple[str, str]] = re.findall(r"<(?:(\w+):)?(\w+)>", route)
    for converter, name in parameters:
        for value in NUMBERS if converter == "int" else TEXTS:

            def put(part: re.Match[str], name: str = name, value: str = value) -> str:
                return value if part[2] == name else fill(part[2])

            found.append("/" + re.sub(r"<(?:(\w+):)?(\w+)>", put, route))
    return found


# ---- the tenant's site


def tenant_addresses(place: Place) -> Iterator[tuple[Page, str, list[str]]]:
    for page in pages():
        if page.name == "logout":
            continue

        def fill(name: str, page: Page = page) -> str:
            return str(place.value(page, name))

        yield page, place.address(page), variants_of(page.route, fill)


@pytest.mark.parametrize("who", ["owner", "viewer", "nobody"])
def test_no_page_of_a_tenant_fails_whatever_is_sent(
    acme: TenantRef, globex: TenantRef, client_of: Any, settings: Any, who: str
) -> None:
    settings.ROWHOUSE_PACES = dict.fromkeys(settings.ROWHOUSE_PACES, 0)
    place = furnish(acme)
    client = Client(HTTP_HOST="acme.localhost") if who == "nobody" else client_of(acme, who)
    fuzz = Fuzz(who, client, urls_tenant)
    for _page, address, variants in tenant_addresses(place):
        fuzz.page(address, variants=variants)
    assert not fuzz.found, f"{len(fuzz.found)} failed:\n" + "\n".join(fuzz.found[:40])
    reached = {asked.partition(" ")[2].replace("^", "") for asked in fuzz.asked}
    routes = {page.route.replace("^", "") for page in pages() if page.name != "logout"}
    assert routes - reached == set(), "not reached"
    if who == "owner":
        closed = routes - {route.replace("^", "") for route in fuzz.opened}
        assert len(closed) < len(routes) / 3, closed


# ---- the operators' site


def operator_pages(patterns: Any = None, before: str = "") -> Iterator[Page]:
    yield from pages(urls_public.urlpatterns if patterns is None else patterns, before)


@pytest.fixture
def operator(acme: TenantRef, globex: TenantRef) -> Client:
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    tenant = Tenant.objects.get(slug="acme")
    TenantBackup.objects.create(tenant=tenant)
    Job.objects.create(
        schema=acme.schema, slug=acme.slug, kind="rowhouse.measure", target="tenant", state="FAILED"
    )
    record("tests.page.fuzzed", actor=person)
    return client


def operator_value(page: Page, name: str) -> str:
    if name in {"deed", "url", "rest", "token", "name", "key"}:
        return "note" if name == "deed" else "x"
    for model in operator_site._registry:
        meta = model._meta
        if f"operator/{meta.app_label}/{meta.model_name}/" in page.route:
            first = model._default_manager.first()
            return str(first.pk if first is not None else 1)
    return "tenants" if name == "app_label" else "1"


def operator_addresses() -> Iterator[tuple[Page, str, list[str]]]:
    for page in operator_pages():
        if page.name == "logout":
            continue

        def fill(name: str, page: Page = page) -> str:
            return operator_value(page, name)

        route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", re.sub(r"[\^$]", "", page.route))
        address = "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: fill(found[1]), route)
        yield page, address, variants_of(route, fill)
        if page.name == "tenants_tenant_do":
            for deed in DEEDS:
                yield page, address.replace("/note/", f"/{deed}/"), []


@pytest.mark.parametrize("who", ["operator", "nobody"])
def test_no_page_of_the_operators_fails_whatever_is_sent(operator: Client, settings: Any, who: str) -> None:
    settings.ROWHOUSE_PACES = dict.fromkeys(settings.ROWHOUSE_PACES, 0)
    fuzz = Fuzz(who, operator if who == "operator" else Client(HTTP_HOST="localhost"), urls_public)
    for _page, address, variants in operator_addresses():
        fuzz.page(address, variants=variants)
    assert not fuzz.found, f"{len(fuzz.found)} failed:\n" + "\n".join(fuzz.found[:40])
    reached = {asked.partition(" ")[2].replace("^", "") for asked in fuzz.asked}
    routes = {page.route.replace("^", "") for page in operator_pages() if page.name != "logout"}
    assert routes - reached == set(), "not reached"


# ---- the fuzz itself


def test_a_page_that_fails_on_a_number_is_found(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def planted(request: HttpRequest) -> HttpResponse:
        number = request.POST.get("number", "1")
        if "shown" in request.GET:
            return HttpResponse("Traceback (most recent call last)")
        return HttpResponse(
            f'<form method="post"><input name="number" value="{int(number)}"></form><a href="?shown=0">x</a>'
        )

    module = ModuleType("planted_pages")
    module.urlpatterns = [path("planted/", planted, name="planted")]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted_pages", module)
    settings.ROOT_URLCONF = "planted_pages"
    fuzz = Fuzz("nobody", Client(HTTP_HOST="acme.localhost"), module)
    fuzz.page("/planted/", variants=[])
    assert any("ValueError" in one for one in fuzz.found)
    assert any("shows a traceback" in one for one in fuzz.found)
    assert fuzz.asked["GET planted/"] > 0


def test_forms_are_read_as_browsers_send_them() -> None:
    [form] = Forms(
        '<form method="post" action="/x/?a=1" id="f"><input name="a" value="1"><input type="checkbox" name="b">'
        '<select name="c"><option value="1"><option value="2" selected></select><textarea name="d">\nt</textarea>'
        '<input type="file" name="e"></form><button form="f" name="g" value="h">'
    ).forms
    assert (form.action, form.method, form.files) == ("/x/?a=1", "POST", ["e"])
    assert {*form.fields} >= {("a", "1"), ("b", ""), ("c", "2"), ("d", "t"), ("g", "h")}
    sent = RequestFactory().generic(
        "POST", "/x/", encoded([("a", b"\xff"), ("b", "é")]), f"multipart/form-data; boundary={BOUNDARY}"
    )
    assert sent.POST["b"] == "é"
    assert connection.vendor == "postgresql"
