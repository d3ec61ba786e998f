"""The measurement of mixed traffic: its people notice what is wrong, and its short form meets nothing that is."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from benchmarks import load
from benchmarks.load_person import Person, Place, Wrong, cells_of, csv_of
from tests.source import ROOT

PATIENCE_SECONDS = 900
SLUG = "load-0001"
Answers = Callable[[str, str], tuple[int, str]]
COLUMNS = {label: f"c{at}" for at, label in enumerate(cells_of("", 0), 1)}


@pytest.fixture
def person_before() -> Iterator[Callable[[Answers], Person]]:
    """Return a function that puts a person before a server which says what is given, by method and path."""
    servers = []

    def stand(answers: Answers) -> Person:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers(self.command, self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", body)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        place = Place(server.server_port, SLUG, 7, COLUMNS, records=400, ids=list(range(1, 201)))
        return Person(place, "owner@x.example", "secret", True, 1, 200, random.Random(1))

    yield stand
    for server in servers:
        server.shutdown()
        server.server_close()


def form(number: int, note: str) -> str:
    return (
        f'<input name="csrfmiddlewaretoken" value="t"><input value="{SLUG}-{number}"><input value="{note}">'
    )


def record_of(path: str, slug: str = SLUG) -> str:
    number = int(path.split("/")[6])
    return form(number, f"Note {number} at {slug}")


def shown(count: int, slug: str = SLUG) -> str:
    return "".join(f"<a>{slug}-{number}</a>" for number in range(count))


@pytest.mark.parametrize(
    ("act", "answers", "noticed"),
    [
        ("record", lambda method, path: (200, record_of(path)), None),
        ("record", lambda method, path: (500, "Server error"), "answered 500: Server error"),
        ("record", lambda method, path: (404, "Nothing here"), "answered 404"),
        ("record", lambda method, path: (200, "<h1>Sorry</h1>"), "does not say"),
        ("record", lambda method, path: (200, record_of(path) + "load-0002"), "names load-0002"),
        ("record", lambda method, path: (302, "/admin/login/"), "answered 302"),
        ("look", lambda method, path: (200, shown(60) + '<a href="?after=9">'), None),
        ("look", lambda method, path: (200, "No record fits."), "shows 0 records"),
        ("look", lambda method, path: (200, shown(60, "load-0003")), "names load-0003"),
        # Saved, it says; and shows the old value again.
        (
            "edit",
            lambda method, path: (302, path) if method == "POST" else (200, record_of(path)),
            'does not say value="edit 1 by owner@x.example"',
        ),
        ("edit", lambda method, path: (200, record_of(path)), "edit: .* answered 200"),
        ("upload", lambda method, path: (302, "/") if method == "POST" else (200, form(1, "")), "no request key"),
    ],
    ids=[
        "record", "record-500", "record-404", "record-error-page", "record-other-tenant", "record-signed-out",
        "list", "list-empty", "list-other-tenant", "edit-lost", "edit-refused", "upload-without-form",
    ],
)  # fmt: skip
def test_people_notice_an_answer_that_is_wrong(
    person_before: Any, act: str, answers: Answers, noticed: str | None
):
    person: Person = person_before(answers)
    if act == "look":
        person.rng.choices = lambda *_: ["list"]  # type: ignore[method-assign]
    person.act(act)
    if noticed is None:
        assert person.tally.errors == []
    else:
        [error] = person.tally.errors
        assert re.search(noticed, error), error


def test_a_server_that_is_gone_is_an_error(person_before: Any):
    person: Person = person_before(lambda method, path: (200, ""))
    person.place = Place(1, SLUG, 7, COLUMNS, records=400, ids=[1])
    person.act("watch")
    assert "ConnectionRefusedError" in person.tally.errors[0]


def test_the_file_of_a_download_must_hold_every_row_and_every_last_value(person_before: Any):
    rows = [cells_of(SLUG, number) for number in range(1, 401)]
    served = {"file": csv_of(rows)}

    def answers(method: str, path: str) -> tuple[int, str]:
        if path.startswith("/stored"):
            return 200, served["file"]
        return 302, f"http://127.0.0.1:{person.place.port}/stored?signed=1"

    person: Person = person_before(answers)
    person._download("/admin/exporter/exportfile/1/download/")
    person.notes[3] = "edit 1 by owner@x.example"
    with pytest.raises(Wrong, match="lacks what was written"):
        person._download("/admin/exporter/exportfile/1/download/")
    served["file"] = csv_of(rows[:-1])
    with pytest.raises(Wrong, match="has 399 rows, not 400"):
        person._download("/admin/exporter/exportfile/1/download/")


def test_ratios_are_told_only_of_enough_samples():
    busy, quiet = {"a": [2.0] * 20, "b": [2.0] * 20}, {"a": [1.0] * 20, "b": [1.0] * 19}
    assert load._ratios(busy, quiet) == {"a": 2.0}


@pytest.mark.slow
def test_the_short_form_meets_no_error():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", "--short"],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["errors"] == 0
    assert {"p95_ratio_during_import", "requests_per_second"} <= figures.keys()
    assert figures["requests"] > 100 and figures["imports_beside_traffic"] >= 1
    assert figures["import_alone_seconds"] > 0 and figures["record_bytes_per_row"] > 100
