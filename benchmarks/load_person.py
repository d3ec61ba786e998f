"""A person in front of a browser, as far as the server can tell: requests, forms, polls, and what the answers must say.

Only the standard library, one connection a request, and the answers are searched, not parsed: what this costs is
taken from the two cores that are measured. Style sheets and scripts are left out, as browsers keep them.

Each person knows what the tenant's records must say: nobody else writes the ones he edits. So an answer counts only
when it holds what it must; a page of another tenant, an old value or a fast error page is an error.
"""

from __future__ import annotations

import http.client
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

ANY_TENANT = re.compile(rb"load-\d{4}")
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
REQUEST_KEY = re.compile(rb'name="request_key" value="([^"]+)"')
SEEN = re.compile(rb'name="seen" value="(\d+)"')
SEEN_VERSION = re.compile(rb'name="seen_version" value="(\d+)"')
POLL = re.compile(rb'id="jobs-live" hx-get="([^"]+)"')
DOWNLOAD = re.compile(rb'href="(/admin/exporter/exportfile/\d+/download/)"')
NEXT_PAGE = re.compile(rb'href="(\?[^"]*after=[^"]*)"')
FIGURE = re.compile(rb'data-count="([^"]+)">([\d,]+)<')
LIST_KEYS = re.compile(rb">(load-\d{4}-\d+)<")
POLL_SECONDS = 2.0  # what the pages themselves ask every
PATIENCE_SECONDS = 900.0
TIMEOUT_SECONDS = 120.0
STOP_POLLING = 286
REDIRECTS = (301, 302, 303)
JOBS = "/admin/jobs/job/"
IMPORTS = "/admin/importer/importjob/"
EXPORT_NOW = "/admin/exporter/exportrun/now/"
# How often each is done, by weights; the last two only by the first person of a tenant.
ACTS = {"look": 44, "record": 18, "edit": 14, "watch": 8, "upload": 8, "export": 8}
KEEPERS_ONLY = ("upload", "export")


class Wrong(Exception):
    """An answer is not what it must be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `seconds` lasts until the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person works: the tenant's host and its one dataset, the same columns everywhere."""

    port: int
    slug: str
    dataset: int
    columns: dict[str, str]  # label to physical name
    records: int  # of the first import, their keys SLUG-1 … SLUG-n
    ids: list[int]  # of the first of them, in order of their keys

    @property
    def rows(self) -> str:
        return f"/admin/datasets/dataset/{self.dataset}/rows/"

    def key(self, number: int) -> str:
        return f"{self.slug}-{number}"


@dataclass(slots=True)
class Tally:
    """What one phase measured: seconds by kind of request, whole waits by what was waited for, what went wrong."""

    requests: list[tuple[str, float]] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    passing: int = 0  # answers that say to try again, and are allowed to

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "waits": self.waits,
            "errors": self.errors,
            "passing": self.passing,
        }


@dataclass(slots=True)
class Person:
    """Somebody who is signed in. `is_keeper`: also imports and exports; one of each tenant."""

    place: Place
    email: str
    password: str
    is_keeper: bool
    first: int  # of the records that nobody else edits, and how many
    share: int
    rng: random.Random
    tally: Tally = field(default_factory=Tally)
    cookie: str = ""
    notes: dict[int, str] = field(default_factory=dict)  # what was written last, by number of the record
    added: int = 0  # records that uploads have made
    edits: int = 0
    # Asked before each further request of one act, so that a phase can end.
    is_over: Callable[[], bool] = lambda: False

    # ---- requests

    def ask(
        self, kind: str, path: str, form: Mapping[str, str] | None = None, *, body: bytes | None = None,
        content_type: str = "application/x-www-form-urlencoded", allowed: tuple[int, ...] = (200,),
    ) -> Answer:  # fmt: skip
        """Send one request and note how long it took.

        :raises Wrong: the status is not an allowed one, or the answer names another tenant.
        """
        if form is not None:
            body = urlencode(form).encode()
        headers = {
            "Host": f"{self.place.slug}.localhost",
            "X-Forwarded-Proto": "https",  # as the proxy that ends TLS says it
            "Connection": "close",
            "Cookie": self.cookie,
        }
        if body is not None:
            headers |= {"Content-Type": content_type, "Origin": f"https://{self.place.slug}.localhost"}
        answer = _exchange(
            "127.0.0.1", self.place.port, "GET" if body is None else "POST", path, headers, body
        )
        self.tally.requests.append((kind, answer.seconds))
        for cookie in (answer.headers.get("set-cookie") or "").split("\n"):
            name, _, rest = cookie.partition("=")
            if name.endswith(("session", "sessionid")):
                self.cookie = f"{name}={rest.partition(';')[0]}"
        if answer.status not in allowed:
            raise Wrong(f"{kind}: {path} answered {answer.status}: {_said(answer.body)}")
        others = set(ANY_TENANT.findall(answer.body)) - {self.place.slug.encode()}
        if others:
            raise Wrong(f"{kind}: {path} of {self.place.slug} names {b', '.join(sorted(others)).decode()}")
        return answer

    def sign_in(self) -> None:
        """Sign in by the form, once.

        :raises Wrong: it was refused.
        """
        page = self.ask("sign-in page", "/admin/login/")
        form = {"csrfmiddlewaretoken": _found(TOKEN, page, "token"), "username": self.email}
        form |= {"password": self.password, "next": "/admin/"}
        answer = self.ask("sign in", "/admin/login/?next=/admin/", form, allowed=(302,))
        if answer.location != "/admin/":
            raise Wrong(f"sign in: led to {answer.location}")

    # ---- what people do

    def act(self, name: str | None = None) -> None:
        """Do one thing, chosen by the weights unless it is named; whatever goes wrong is noted."""
        chosen = {one: weight for one, weight in ACTS.items() if self.is_keeper or one not in KEEPERS_ONLY}
        name = name or self.rng.choices(list(chosen), list(chosen.values()))[0]
        try:
            getattr(self, name)()
        except Wrong as wrong:
            self.tally.errors.append(f"{name} of {self.place.slug}: {wrong}")
        except (OSError, http.client.HTTPException) as broken:
            self.tally.errors.append(f"{name} of {self.place.slug}: {broken!r}")

    def look(self) -> None:
        """Read the list of records: plain, sorted, filtered, searched, or its next page."""
        pieces, name = self.place.columns["Pieces"], self.place.columns["Name"]
        kind = self.rng.choices(("list", "sorted", "filtered", "searched", "paged"), (3, 3, 4, 2, 3))[0]
        low = self.rng.randrange(900)
        query = {
            "list": {},
            "sorted": {"sort": self.rng.choice((pieces, f"-{pieces}", name, f"-{pieces}.{name}"))},
            "filtered": {f"{pieces}__from": str(low), f"{pieces}__to": str(low + 99), "sort": pieces},
            "searched": {"q": f"number {self.rng.randrange(1, self.place.records)} of"},
            "paged": {},
        }[kind]
        path = self.place.rows + (f"?{urlencode(query)}" if query else "")
        page = self.ask(f"list, {kind}" if kind != "paged" else "list, list", path)
        self._check_list(page, kind)
        if kind == "paged":
            after = _found(NEXT_PAGE, page, "link to the next page").replace("&amp;", "&")
            self._pause(0.5)
            further = self.ask("list, paged", self.place.rows + after)
            self._check_list(further, kind)
            if set(LIST_KEYS.findall(page.body)) & set(LIST_KEYS.findall(further.body)):
                raise Wrong("paged: the next page repeats records of the one before")

    def _check_list(self, page: Answer, kind: str) -> None:
        keys = LIST_KEYS.findall(page.body)
        least = 1 if kind in ("filtered", "searched") else 50
        if len(keys) < least:
            raise Wrong(f"list, {kind}: shows {len(keys)} records instead of {least} or more")

    def record(self) -> None:
        """Open a record and check what it says."""
        number = self._number()
        page = self.ask("record", self._record_path(number))
        self._check_record(page, number)

    def edit(self) -> None:
        """Open a record, change its note, and read it back."""
        number = self._number()
        page = self.ask("record", self._record_path(number))
        self._check_record(page, number)
        self._pause(0.5)
        self.edits += 1
        note = f"edit {self.edits} by {self.email}"
        cells = {**cells_of(self.place.slug, number), "Note": note}
        form = {self.place.columns[label]: value for label, value in cells.items()}
        form |= {"csrfmiddlewaretoken": _found(TOKEN, page, "token"), "_continue": "1"}
        if version := SEEN_VERSION.search(page.body):
            form["seen_version"] = version[1].decode()
        self.ask("edit", self._record_path(number), form, allowed=(302,))
        self.notes[number] = note
        self._check_record(self.ask("record", self._record_path(number)), number)

    def _number(self) -> int:
        return self.first + self.rng.randrange(self.share)

    def _record_path(self, number: int) -> str:
        return f"{self.place.rows}{self.place.ids[number - 1]}/change/"

    def _check_record(self, page: Answer, number: int) -> None:
        key, note = self.place.key(number), self.note(number)
        for what in (f'value="{key}"', f'value="{note}"' if note else ""):
            if what.encode() not in page.body:
                raise Wrong(f"record: {key} does not say {what}")

    def note(self, number: int) -> str:
        return self.notes.get(number, cells_of(self.place.slug, number)["Note"])

    def watch(self) -> None:
        """Open the page of background work, and poll it as the page does."""
        page = self.ask("background work", JOBS)
        for _ in range(3):
            found = POLL.search(page.body)
            if found is None or page.status == STOP_POLLING or not self._pause(POLL_SECONDS):
                return
            page = self.ask("live poll", _address(found[1]), allowed=(200, STOP_POLLING))

    def upload(self) -> None:
        """Upload a small file, look at its preview, confirm, and look at what became of it."""
        fresh, old, faulty = self.rng.randrange(5, 120), self.rng.randrange(5, 40), self.rng.randrange(3)
        begin = self.place.records + self.added + 1
        rows = [cells_of(self.place.slug, begin + at) for at in range(fresh)]
        # Records that nobody edits: the second half of the first import.
        half = self.place.records // 2
        again = self.rng.sample(range(half + 1, self.place.records + 1), min(old, half))
        rows += [cells_of(self.place.slug, number) for number in again]
        bad = [{**cells_of(self.place.slug, begin + fresh + at), "Pieces": "many"} for at in range(faulty)]
        text = csv_of(rows + bad)
        self.added += fresh
        job = self.send_file(f"{self.place.slug}.csv", text.encode())
        page = self.until_shown(job, b'name="seen"', "preview")
        self.check_figures(page, {"new": fresh, "unchanged": len(again), "rejected": faulty})
        self._pause(1.0)
        self.confirm(job, page)
        done = self.until_shown(job, b"im-state im-success", "merge")
        self.check_figures(done, {"new": fresh, "unchanged": len(again), "rejected": faulty})

    def send_file(self, name: str, content: bytes) -> int:
        """Upload a file by the form, and return the number of its import.

        :raises Wrong: it was not taken.
        """
        page = self.ask("upload page", f"{IMPORTS}upload/?dataset={self.place.dataset}")
        fields = {
            "csrfmiddlewaretoken": _found(TOKEN, page, "token"),
            "request_key": _found(REQUEST_KEY, page, "request key"),
            "dataset": str(self.place.dataset),
            "mode": "upsert",
            "policy": "good_rows",
        }
        mark = "----a-boundary-that-no-file-holds"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{word}"\r\n\r\n{value}\r\n'
            for word, value in fields.items()
        ]
        parts.append(
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        )
        body = "".join(parts).encode() + content + f"\r\n--{mark}--\r\n".encode()
        answer = self.ask(
            "upload", f"{IMPORTS}upload/", body=body,
            content_type=f"multipart/form-data; boundary={mark}", allowed=(302,),
        )  # fmt: skip
        found = re.search(rf"{IMPORTS}(\d+)/", answer.location)
        if found is None:
            raise Wrong(f"upload: led to {answer.location}")
        return int(found[1])

    def confirm(self, job: int, page: Answer) -> None:
        """Confirm the preview that the page shows."""
        form = {
            "csrfmiddlewaretoken": _found(TOKEN, page, "token"),
            "seen": _found(SEEN, page, "preview's number"),
            "policy": "good_rows",
        }
        self.ask("confirm", f"{IMPORTS}{job}/confirm/", form, allowed=(302,))

    def until_shown(self, job: int, mark: bytes, what: str) -> Answer:
        """Poll as the page does until it reloads itself; return the page then."""
        began = time.perf_counter()
        page = self.ask("import page", f"{IMPORTS}{job}/change/")
        while b'id="progress" hx-get' in page.body:
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise Wrong(f"{what}: waited {PATIENCE_SECONDS:.0f} s in vain")
            time.sleep(POLL_SECONDS)  # a phase's end does not leave an import half done
            poll = self.ask("progress poll", f"{IMPORTS}{job}/progress/")
            if "hx-refresh" in poll.headers:
                page = self.ask("import page", f"{IMPORTS}{job}/change/")
        self.tally.waits.append((what, time.perf_counter() - began))
        if mark not in page.body:
            raise Wrong(f"{what}: import {job} does not say {mark!r}: {_said(page.body)}")
        return page

    def check_figures(self, page: Answer, expected: dict[str, int]) -> None:
        shown = {word.decode(): int(number.replace(b",", b"")) for word, number in FIGURE.findall(page.body)}
        wrong = {word: shown.get(word) for word, number in expected.items() if shown.get(word) != number}
        if wrong:
            raise Wrong(f"import: shows {wrong} instead of {expected}")

    def export(self) -> None:
        """Ask for an export, follow its page, download the file and read it."""
        page = self.ask("export page", EXPORT_NOW)
        form = {"csrfmiddlewaretoken": _found(TOKEN, page, "token"), "datasets": str(self.place.dataset)}
        asked = self.ask("export now", EXPORT_NOW, form, allowed=(302,))
        if "/exportrun/" not in asked.location:
            raise Wrong(f"export now: led to {asked.location}")
        began = time.perf_counter()
        run = self.ask("run page", asked.location)
        while b"data-open" in run.body:
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise Wrong("export: waited in vain")
            time.sleep(POLL_SECONDS)
            run = self.ask("run page", asked.location)
        self.tally.waits.append(("export", time.perf_counter() - began))
        self._download(_found(DOWNLOAD, run, "file"))

    def _download(self, path: str) -> None:
        link = self.ask("download", path, allowed=(302,))
        at = urlsplit(link.location)
        if not at.netloc:
            raise Wrong(f"download: led to {link.location}")
        # The storage's own server, whose time is not ours: the request is no part of the figures.
        host, _, port = at.netloc.partition(":")
        file = _exchange(host, int(port or 80), "GET", f"{at.path}?{at.query}", {"Host": at.netloc}, None)
        if file.status != 200:
            raise Wrong(f"file: answered {file.status}: {_said(file.body)}")
        slugs = set(ANY_TENANT.findall(file.body))
        if slugs != {self.place.slug.encode()}:
            raise Wrong(f"file: names {sorted(slugs)}")
        rows = file.body.count(b"\n") - 1
        if rows != self.place.records + self.added:
            raise Wrong(f"file: has {rows} rows, not {self.place.records + self.added}")
        lacks = [note for note in self.notes.values() if note.encode() not in file.body]
        if lacks:
            raise Wrong(f"file: lacks what was written: {lacks[:3]}")

    def _pause(self, seconds: float) -> bool:
        """Wait as a person does between two clicks; return whether the phase goes on."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            if self.is_over():
                return False
            time.sleep(min(left, 0.2))
        return not self.is_over()


def cells_of(slug: str, number: int) -> dict[str, str]:
    """Return the cells of a tenant's record by their labels: the same for everybody who asks."""
    return {
        "No": f"{slug}-{number}",
        "Name": f"Thing number {number} of {slug}",
        "Pieces": str(number * 7919 % 1000),
        "Price": f"{number % 97}.25",
        "Day": f"2026-{1 + number % 12:02}-{1 + number % 28:02}",
        "State": ("new", "open", "done")[number % 3],
        "Note": f"Note {number} at {slug}",
    }


def csv_of(rows: list[dict[str, str]]) -> str:
    """Return a file of such cells. No value needs quotes."""
    lines = [",".join(cells_of("", 0))]
    lines += [",".join(row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _exchange(
    host: str, port: int, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    started = time.perf_counter()
    link = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        link.request(method, quote(path, safe="/?&=%:+~-._,*()!$'@;"), body, dict(headers))
        response = link.getresponse()
        content = response.read()
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            lower = name.lower()
            found[lower] = f"{found[lower]}\n{value}" if lower in found else value
        return Answer(response.status, found, content, time.perf_counter() - started)
    finally:
        link.close()


def _found(pattern: re.Pattern[bytes], page: Answer, what: str) -> str:
    found = pattern.search(page.body)
    if found is None:
        raise Wrong(f"the page has no {what}: {_said(page.body)}")
    return found[1].decode()


def _address(raw: bytes) -> str:
    return raw.decode().replace("&amp;", "&")


def _said(body: bytes) -> str:
    words = re.sub(rb"<(script|style)[^>]*>.*?</\1>|<[^>]+>", b" ", body, flags=re.DOTALL)
    return " ".join(words.decode(errors="replace").split())[:300]
