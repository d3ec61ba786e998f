"""What traces and reports say to others: whose work it was, and nothing of what was in it."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import sentry_sdk
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import jobs.services
from accounts.models import User
from core import tracing
from core.tenancy import in_tenant
from rowhouse.observing import reporting

SECRET = "ann.secret@person.example"
NUMBER = "number-of-a-request"


class Receiver:
    """Takes whatever is sent, as a collector of traces or reports does."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def all(self) -> bytes:
        return b"\n".join(body for _, body in self.bodies)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def traced(receiver, settings) -> Iterator[Receiver]:
    settings.ROWHOUSE_OTEL_ENDPOINT = f"http://{receiver.address}"
    settings.ROWHOUSE_OTEL_SAMPLE_PERCENT = 100
    yield receiver
    if tracing._process.provider is not None:
        tracing._process.provider.shutdown()
    tracing._process.provider = None


@pytest.fixture
def reported(receiver, settings) -> Iterator[Receiver]:
    settings.ROWHOUSE_SENTRY_DSN = f"http://public@{receiver.address}/1"
    reporting.begin()
    yield receiver
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def spans(receiver: Receiver) -> list[dict[str, Any]]:
    """Return name and attributes of each span that was sent."""
    tracing.flush()
    found = []
    for path, body in receiver.bodies:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        for span in request.resource_spans[0].scope_spans[0].spans:
            values = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
            found.append({"name": span.name, "trace": span.trace_id.hex(), **values})
    return found


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """Return each event that was reported."""
    sentry_sdk.flush(5)
    found = []
    for _, body in receiver.bodies:
        lines = body.splitlines()
        for header, payload in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(header)["type"] == "event":
                found.append(json.loads(payload))
    return found


def failing(*_args: Any, **_values: Any) -> Any:
    local = SECRET  # noqa: F841 -- what a report of variables would hold
    raise IntegrityError(f"Key (email)=({SECRET}) already exists.")


def test_a_span_says_whose_request_it_was_and_nothing_that_was_typed(traced, acme, client_of):
    client = client_of(acme)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get(
        f"/admin/?q={SECRET}", headers={"X-Request-ID": NUMBER, "traceparent": parent, "User-Agent": SECRET}
    )
    (span,) = spans(traced)
    assert span == {
        "name": "GET admin:index", "trace": "0af7651916cd43dd8448eb211c80319c", "rowhouse.view": "admin:index",
        "rowhouse.method": "GET", "rowhouse.status": 200, "rowhouse.tenant": "acme",
        "rowhouse.request_id": NUMBER, "rowhouse.user": span["rowhouse.user"],
    }  # fmt: skip
    assert SECRET.encode() not in traced.all()


def test_a_slice_of_a_job_is_a_span(traced, acme, monkeypatch):
    monkeypatch.setattr("rowhouse.measuring.measure_current", failing)
    with in_tenant(acme):
        job = jobs.services.submit("rowhouse.measure", target="x", payload={"note": SECRET})
    jobs.services.run_pending()
    span = spans(traced)[0]
    assert span["name"] == "job rowhouse.measure"
    assert (span["rowhouse.tenant"], span["rowhouse.job"]) == ("acme", str(job.pk))
    assert SECRET.encode() not in traced.all()


def test_a_report_says_whose_request_it_was_and_nothing_that_was_typed(
    reported, acme, client_of, monkeypatch
):
    client = client_of(acme)
    client.raise_request_exception = False
    monkeypatch.setattr("rowhouse.dashboard.tenant_dashboard", failing)
    answer = client.get(f"/admin/?q={SECRET}", headers={"X-Request-ID": NUMBER, "User-Agent": SECRET})
    assert answer.status_code == 500
    (event,) = events(reported)
    assert event["tags"] == {"tenant": "acme", "request_id": NUMBER}
    assert event["logentry"] == {"message": "%s: %s"}
    (error,) = event["exception"]["values"][-1:]
    assert error["type"] == "IntegrityError"
    assert error["stacktrace"]["frames"][-1]["function"] == "failing"
    with in_tenant(acme):
        people = list(User.objects.values_list("email", flat=True))
    assert [one for one in (SECRET, *people) if one.encode() in reported.all()] == []
    assert not {"request", "user", "breadcrumbs", "extra", "server_name"} & event.keys()


def test_a_report_of_a_database_error_does_not_quote_the_row(reported, acme):
    logger = logging.getLogger("importer.services")
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT %s::int", [SECRET])
        except Exception:
            logger.exception("A slice of %s failed for %s", "importer.merge", SECRET)
    (event,) = events(reported)
    assert event["logentry"] == {"message": "A slice of %s failed for %s"}
    assert SECRET.encode() not in reported.all()


def test_nothing_is_sent_unless_it_is_set(receiver, acme, client_of, settings):
    assert settings.ROWHOUSE_OTEL_ENDPOINT == settings.ROWHOUSE_SENTRY_DSN == ""
    client_of(acme).get("/admin/")
    logging.getLogger("importer").error("Something")
    assert tracing._process.provider is None
    assert not sentry_sdk.is_initialized() or sentry_sdk.get_client().dsn is None


@pytest.mark.parametrize(
    ("setting", "begin", "extra"),
    [("ROWHOUSE_OTEL_ENDPOINT", tracing.check, "otel"), ("ROWHOUSE_SENTRY_DSN", reporting.begin, "sentry")],
    ids=["otel", "sentry"],
)
def test_what_is_set_and_not_installed_is_said_at_the_start(settings, monkeypatch, setting, begin, extra):
    setattr(settings, setting, "http://public@localhost/1")
    for module in (tracing, reporting):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match=rf"rowhouse\[{extra}\]"):
        begin()
