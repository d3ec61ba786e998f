"""People of several tenants at work over HTTP, who remember what was promised to them.

Each record has one writer: the editor those below IMPORTED, the importer the others. So the last accepted value is what
must be there, and as many versions as were accepted. A load balancer's part is to send each request to any web server.
"""

from __future__ import annotations

import http.client
import itertools
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlencode

import psycopg2

from benchmarks.fleet.seed import PASSWORD
from benchmarks.fleet.site import Site, until

IMPORTED = 1_000_000  # the numbers of records that imports write begin here
PAUSE_SECONDS = 0.1
WAIT_SECONDS = 180.0
PATIENCE_SECONDS = 400.0
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
REQUEST_KEY = re.compile(r'name="request_key" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Write:
    """A value that was accepted for a record, and when it was sent and answered (seconds since 1970)."""

    no: int
    value: str
    sent_at: float
    done_at: float


@dataclass(slots=True)
class Tenant:
    """A tenant of the site and all that its people were promised."""

    slug: str
    schema: str
    dataset: int
    columns: list[str]
    seeded: int
    writes: dict[int, list[Write]] = field(default_factory=lambda: defaultdict(list))
    # Sent and not answered: either may be so.
    open: dict[int, Write] = field(default_factory=dict)
    imports: dict[int, float] = field(default_factory=dict)  # by number, when it was known to be merged
    runs: dict[int, float] = field(default_factory=dict)  # export runs by number, when they were asked for

    @property
    def host(self) -> str:
        return f"{self.slug}.localhost"

    @classmethod
    def of(cls, told: dict[str, Any], seeded: int) -> Tenant:
        """Return a tenant that `seed` has made."""
        return cls(told["slug"], told["schema"], told["dataset"], told["columns"], seeded)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web server said."""

    status: int
    body: str
    location: str
    port: int


class Lost(Exception):
    """A request was sent and never answered."""


class NobodyThere(Exception):
    """No web server takes requests now."""


class Browser:
    """One person's browser: cookies, forms with their tokens, and no patience for faults."""

    def __init__(self, crowd: Crowd, tenant: Tenant, role: str) -> None:
        self.crowd, self.tenant, self.role = crowd, tenant, role
        self.cookies: dict[str, str] = {}

    def sign_in(self) -> None:
        page = self.get("/admin/login/")
        form = {
            "username": f"{self.role}@{self.tenant.host.removesuffix('.localhost')}.example",
            "password": PASSWORD,
        }
        answer = self.post("/admin/login/", {**form, "next": "/admin/", "csrfmiddlewaretoken": token(page)})
        self.crowd.note("sign-in", answer, 302)

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def at(self, port: int, path: str) -> Answer:
        """Get a page from one web server and no other."""
        return self._sent(
            http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS), "GET", path, b"", ""
        )

    def post(self, path: str, form: dict[str, Any]) -> Answer:
        body = urlencode(form, doseq=True).encode()
        return self.send("POST", path, body, "application/x-www-form-urlencoded")

    def upload(self, path: str, form: dict[str, str], name: str, content: bytes) -> Answer:
        mark = secrets.token_hex(12)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in form.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts += [head.encode(), b"Content-Type: text/csv\r\n\r\n", content, f"\r\n--{mark}--\r\n".encode()]
        return self.send("POST", path, b"".join(parts), f"multipart/form-data; boundary={mark}")

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Answer:
        """Send a request to any web server; one that does not take it at all is passed by.

        :raises NobodyThere: none takes it.
        :raises Lost: it was sent and not answered.
        """
        for _ in range(50):
            ports = list(self.crowd.site.ports)
            if ports:
                # By chance: in turns, a form's page and its answer would always go to the same two.
                port = secrets.choice(ports)
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
                try:
                    link.connect()
                except OSError:
                    link.close()
                else:
                    return self._sent(link, method, path, body, kind)
            time.sleep(0.1)
        raise NobodyThere

    def _sent(
        self, link: http.client.HTTPConnection, method: str, path: str, body: bytes, kind: str
    ) -> Answer:
        headers = {"Host": self.tenant.host, "Connection": "close"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if kind:
            headers["Content-Type"] = kind
        try:
            link.request(method, path, body or None, headers)
            response = link.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"{method} {path}: {error}") from error
        finally:
            link.close()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Answer(response.status, text, response.headers.get("Location", ""), link.port)


def token(page: Answer) -> str:
    """Return what a page's forms prove themselves by; "" if it has none."""
    found = TOKEN.search(page.body)
    return found[1] if found else ""


@dataclass
class Crowd:
    """Everybody at work. `wrong`: whatever nobody should have seen; `counts`: what went well, and by which port."""

    site: Site
    tenants: list[Tenant]
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    # While a disaster is on, unanswered requests are no finding.
    may_lose: Event = field(default_factory=Event)
    first: int = 1  # the numbers in what they write begin here
    _threads: list[Thread] = field(default_factory=list)
    _lock: Any = field(default_factory=Lock)
    _numbers: Any = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(self.first)

    def begin(self) -> None:
        """Let people of every tenant sign in and work until `end`."""
        acts: tuple[tuple[str, Callable[[Browser], None]], ...] = (
            ("editor", self.edit), ("owner", self.read), ("owner", self.bring), ("owner", self.take_away),
            ("viewer", self.come_and_go),
        )  # fmt: skip
        for tenant in self.tenants:
            for role, act in acts:
                thread = Thread(target=self._live, args=(Browser(self, tenant, role), act), daemon=True)
                self._threads.append(thread)
                thread.start()

    def end(self) -> None:
        """Let everybody finish what they are at."""
        self.over.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS * 1.5)
            if thread.is_alive():
                self.wrong.append("somebody waited for ever")

    def go_on(self, times: int, *, where: int = 0) -> None:
        """Wait until everybody has done everything so many times more, by that web server if one is named.

        :raises AssertionError: something went wrong, or nothing goes on.
        """
        kinds = ("list", "record saved", "import merged", "export asked for", "sign-in")
        suffix = f" @{where}" if where else ""
        before = {kind: self.counts[kind + suffix] for kind in kinds}
        try:
            until(
                lambda: (
                    self.wrong or all(self.counts[kind + suffix] >= before[kind] + times for kind in kinds)
                ),
                f"{times} more of everything{suffix}",
                PATIENCE_SECONDS,
            )
        except AssertionError as stuck:
            raise AssertionError(f"{stuck}; {dict(self.counts)}; {self._who_waits()}") from None

    def _who_waits(self) -> list[Any]:
        """Return what the server is at, and who holds up whom."""
        return self.site.sql(
            "SELECT pid, state, wait_event, pg_blocking_pids(pid), now() - xact_start, left(query, 200)"
            " FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def _live(self, browser: Browser, act: Callable[[Browser], None]) -> None:
        try:
            if act != self.come_and_go:
                browser.sign_in()
            while not self.over.is_set():
                act(browser)
                time.sleep(PAUSE_SECONDS)
        except (Lost, NobodyThere, psycopg2.Error) as error:
            if not self.may_lose.is_set():
                self.wrong.append(f"{browser.tenant.slug}: {act.__name__}: {error!r}")
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is a finding
            if not self.may_lose.is_set():
                self.wrong.append(f"{browser.tenant.slug}: {act.__name__}: {error!r}")

    def note(self, what: str, answer: Answer, *allowed: int) -> bool:
        """Count an answer, or write down that it should not have been."""
        if answer.status in allowed and not answer.location.startswith("/admin/login/"):
            with self._lock:
                self.counts[what] += 1
                self.counts[f"{what} @{answer.port}"] += 1
            return True
        if not self.may_lose.is_set():
            words = re.sub(r"<(script|style).*?</\1>|<[^>]+>|\s+", " ", answer.body, flags=re.DOTALL)
            self.wrong.append(
                f"{what}: {answer.status} {answer.location} by {answer.port}: {' '.join(words.split())[-300:]}"
            )
        return False

    # ---- who does what

    def read(self, browser: Browser) -> None:
        """Look at lists, a record's history, and the pages of imports and exports."""
        rows = _rows(browser.tenant)
        column = browser.tenant.columns[1]
        for path in (rows, f"{rows}?q=v1", f"{rows}?sort=-{column}"):
            self.note("list", browser.get(path), 200)
        for path in ("/admin/", "/admin/importer/importjob/", "/admin/exporter/exportfile/"):
            self.note("page", browser.get(path), 200)

    def come_and_go(self, browser: Browser) -> None:
        """Sign in anew."""
        browser.cookies.clear()
        browser.sign_in()
        self.note("page", browser.get("/admin/"), 200)
        self.over.wait(1.0)  # a password's hash keeps a processor busy for a while

    def edit(self, browser: Browser) -> None:
        """Open a record's form and save another value."""
        tenant = browser.tenant
        number = next(self._numbers)
        no = number % tenant.seeded
        pk = self._pk(tenant, no)
        form = browser.get(f"{_rows(tenant)}{pk}/change/")
        if not self.note("form", form, 200):
            return
        value = f"edited {number}"
        sent = dict(zip(tenant.columns, (str(no), value, f"w {number}"), strict=True))
        write = self._about_to(tenant, no, value)
        answer = browser.post(f"{_rows(tenant)}{pk}/change/", {**sent, "csrfmiddlewaretoken": token(form)})
        if self.note("record saved", answer, 302):
            self._written(tenant, write)

    def bring(self, browser: Browser) -> None:
        """Upload a file, look at its preview, confirm it, and wait for its end."""
        tenant = browser.tenant
        number = next(self._numbers)
        rows = {IMPORTED + (number * 7 + n) % 200: f"imported {number}.{n}" for n in range(40)}
        content = "\n".join(["no,v,w", *(f"{no},{value},w" for no, value in rows.items())]).encode()
        page = browser.get("/admin/importer/importjob/upload/")
        if not self.note("form", page, 200):
            return
        key = REQUEST_KEY.search(page.body)
        form = {
            "csrfmiddlewaretoken": token(page), "dataset": str(tenant.dataset), "mode": "upsert", "policy": "good_rows",
            "request_key": key[1] if key else "",
        }  # fmt: skip
        answer = browser.upload("/admin/importer/importjob/upload/", form, f"rows-{number}.csv", content)
        if not self.note("upload", answer, 302):
            return
        job = int(answer.location.split("/")[-3])
        writes = [self._about_to(tenant, no, value) for no, value in rows.items()]
        if self._confirmed(browser, job):
            for write in writes:
                self._written(tenant, write)
            tenant.imports[job] = time.time()

    def _confirmed(self, browser: Browser, job: int) -> bool:
        """Confirm whenever there is a preview, as a person does who reads why it was made again."""
        page = f"/admin/importer/importjob/{job}/"
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            state, previews = self._state(browser.tenant, job)
            if state == "IMPORT_SUCCEEDED":
                self.note("import merged", browser.get(f"{page}change/"), 200)
                return True
            if state == "PREVIEW_SUCCEEDED":
                seen = browser.get(f"{page}change/")
                self.note("preview", seen, 200)
                form = {"seen": previews, "policy": "good_rows", "csrfmiddlewaretoken": token(seen)}
                # 409: the preview was made again meanwhile, and is looked at once more.
                self.note("confirmation", browser.post(f"{page}confirm/", form), 302, 409)
            if state in {"PREVIEW_FAILED", "IMPORT_FAILED", "CANCELLED"}:
                break
            time.sleep(0.05)
        if not self.may_lose.is_set():
            self.wrong.append(f"{browser.tenant.slug}: import {job} is {self._state(browser.tenant, job)}")
        return False

    def take_away(self, browser: Browser) -> None:
        """Ask for an export of everything, wait for its end, and download a file of it."""
        tenant = browser.tenant
        page = browser.get("/admin/exporter/exportrun/now/")
        if not self.note("form", page, 200):
            return
        asked_at = time.time()
        answer = browser.post(
            "/admin/exporter/exportrun/now/", {"all": "yes", "csrfmiddlewaretoken": token(page)}
        )
        if not self.note("export asked for", answer, 302):
            return
        found = re.search(r"exportrun/(\d+)/change/", answer.location)
        if found is None:  # another run is at it: the page says so
            time.sleep(0.2)
            return
        run = int(found[1])
        tenant.runs[run] = asked_at
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and not self.over.is_set() and not self.may_lose.is_set():
            ((state,),) = self._ask(tenant, "SELECT state FROM exporter_exportrun WHERE id = %s", run)
            if state not in {"QUEUED", "RUNNING"}:
                break
            time.sleep(0.1)
        files = self._ask(
            tenant, "SELECT id FROM exporter_exportfile WHERE run_id = %s AND deleted_at IS NULL LIMIT 1", run
        )
        for (file,) in files:
            way = browser.get(f"/admin/exporter/exportfile/{file}/download/")
            if self.note("link", way, 302) and way.location.startswith("/"):
                self.note("download", browser.get(way.location), 200)

    # ---- what they know

    def _about_to(self, tenant: Tenant, no: int, value: str) -> Write:
        now = time.time()
        write = Write(no, value, now, now)
        tenant.open[no] = write
        return write

    def _written(self, tenant: Tenant, write: Write) -> None:
        tenant.writes[write.no].append(Write(write.no, write.value, write.sent_at, time.time()))
        tenant.open.pop(write.no, None)

    def _pk(self, tenant: Tenant, no: int) -> int:
        table, column = f"ds_{tenant.dataset}", tenant.columns[0]
        ((pk,),) = self._ask(tenant, f"SELECT id FROM {table} WHERE {column} = %s", no)
        return int(pk)

    def _state(self, tenant: Tenant, job: int) -> tuple[str, int]:
        ((state, previews),) = self._ask(
            tenant, "SELECT state, previews FROM importer_importjob WHERE id = %s", job
        )
        return state, previews

    def _ask(self, tenant: Tenant, statement: str, *values: Any) -> list[Any]:
        return self.site.sql(f"SET search_path TO {tenant.schema}; {statement}", *values)


def _rows(tenant: Tenant) -> str:
    return f"/admin/datasets/dataset/{tenant.dataset}/rows/"
