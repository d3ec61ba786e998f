"""Traces for OpenTelemetry, if the extra `otel` is installed and an endpoint is set; otherwise nothing at all happens.

Spans of our own, not those of the instrumentations: these put addresses with their queries, statements with their
values and clients' addresses into spans. A span says the view or kind of job, and whose work it is, by slug and number.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.logging import context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

_CARRIED = ("traceparent", "tracestate")
_NAMES = {"tenant": "rowhouse.tenant", "request_id": "rowhouse.request_id", "job": "rowhouse.job"}


@dataclass(slots=True)
class _Process:
    """What this process sends by. Its thread does not live on over a fork, so each process has its own."""

    pid: int = 0
    provider: TracerProvider | None = None


_process = _Process()
_lock = Lock()


class Span:
    """What is told of one piece of work. Does nothing where nobody listens."""

    def __init__(self, real: Any = None) -> None:
        self._real = real

    def tell(self, **values: str | int | float | None) -> None:
        """Put values on the span: names, numbers and states of our own, nothing a person has typed."""
        if self._real is None:
            return
        for name, value in values.items():
            if value is not None:
                self._real.set_attribute(_NAMES.get(name, f"rowhouse.{name}"), value)

    def rename(self, name: str) -> None:
        """Call the span otherwise, once it is known what it was."""
        if self._real is not None:
            self._real.update_name(name)

    def fail(self, kind: str) -> None:
        """Say that the work failed, by what sort of error; not by its sentence, which may hold values."""
        if self._real is not None:
            from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 -- an optional dependency

            self._real.set_status(Status(StatusCode.ERROR, kind))


_SILENT = Span()


def is_on() -> bool:
    """Return whether somebody listens."""
    return bool(settings.ROWHOUSE_OTEL_ENDPOINT)


def check() -> None:
    """Say at the start that the extra is missing.

    :raises ImproperlyConfigured: an endpoint is set, and OpenTelemetry is not installed.
    """
    if is_on() and find_spec("opentelemetry") is None:
        raise ImproperlyConfigured(
            "ROWHOUSE_OTEL_ENDPOINT is set, and OpenTelemetry is missing. Install rowhouse[otel]."
        )


@contextmanager
def span(name: str, *, headers: Mapping[str, str] | None = None, **values: str | int) -> Iterator[Span]:
    """Tell of the work in the block, with whose it is.

    :param headers: those of a request, which may say of which trace it is a part.
    """
    if not is_on():
        yield _SILENT
        return
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 -- an optional dependency
        TraceContextTextMapPropagator,
    )

    carried = {name: headers[name] for name in _CARRIED if name in headers} if headers else {}
    parent = TraceContextTextMapPropagator().extract(carried) if carried else None
    tracer = _provider().get_tracer("rowhouse")
    # Exceptions are not recorded: their sentences and tracebacks may hold values.
    with tracer.start_as_current_span(
        name, context=parent, record_exception=False, set_status_on_exception=False
    ) as real:
        told = Span(real)
        told.tell(**values)
        try:
            yield told
        except BaseException as error:
            told.fail(type(error).__name__)
            raise
        finally:
            told.tell(**context())


def flush() -> None:
    """Send what has not been sent yet, within some seconds."""
    if _process.provider is not None and _process.pid == os.getpid():
        _process.provider.force_flush(5000)


def _provider() -> TracerProvider:
    if _process.provider is None or _process.pid != os.getpid():
        with _lock:
            if _process.provider is None or _process.pid != os.getpid():
                _process.provider, _process.pid = _made(), os.getpid()
    assert _process.provider is not None
    return _process.provider


def _made() -> TracerProvider:
    # Optional, and slow to import: only where somebody listens.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 -- an optional dependency
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 -- an optional dependency
    from opentelemetry.sdk.trace import TracerProvider as Provider  # noqa: PLC0415 -- an optional dependency
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 -- an optional dependency
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 -- an optional dependency

    share = settings.ROWHOUSE_OTEL_SAMPLE_PERCENT / 100
    provider = Provider(
        resource=Resource({"service.name": "rowhouse"}), sampler=ParentBased(TraceIdRatioBased(share))
    )
    endpoint = f"{settings.ROWHOUSE_OTEL_ENDPOINT.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5)))
    return provider
