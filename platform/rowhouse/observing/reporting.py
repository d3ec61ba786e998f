"""Reports of errors to Sentry, if the extra `sentry` is installed and a DSN is set.

What goes out is chosen, not what stays: sorts of errors and where in the code they came up, the template of the line
that was logged, and whose work it was, by slug and number. No sentence of an error (PostgreSQL's hold values), no
variable, no request, no header, no user.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.logging import context

KEPT = ("event_id", "timestamp", "level", "platform", "logger", "sdk", "release", "environment", "type")
OF_AN_ERROR = ("type", "module", "mechanism", "thread_id")
OF_A_FRAME = (
    "filename", "abs_path", "function", "module", "lineno", "in_app", "pre_context", "context_line", "post_context",
)  # fmt: skip
TAGS = ("tenant", "request_id", "job", "kind")
# Whose lines are templates and values apart (ruff's G keeps them so).
OURS = {"accounts", "audit", "core", "datasets", "exporter", "importer", "jobs", "rowhouse", "tenants"}

Event = dict[str, Any]


def begin() -> None:
    """Report errors from here on, if somebody is to hear of them.

    :raises ImproperlyConfigured: a DSN is set, and Sentry's library is missing.
    """
    if not settings.ROWHOUSE_SENTRY_DSN:
        return
    if find_spec("sentry_sdk") is None:
        raise ImproperlyConfigured(
            "ROWHOUSE_SENTRY_DSN is set, and Sentry's library is missing. Install rowhouse[sentry]."
        )
    # Optional, and slow to import: only where somebody is to hear of it.
    import sentry_sdk  # noqa: PLC0415 -- an optional dependency
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415 -- an optional dependency
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415 -- an optional dependency

    sentry_sdk.init(
        dsn=settings.ROWHOUSE_SENTRY_DSN,
        # Others look into requests, statements and variables. Every error of ours is logged, once.
        default_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        before_send=scrubbed,  # type: ignore[arg-type] # the library's type of an event is closed
        max_breadcrumbs=0,
        include_local_variables=False,
        max_request_body_size="never",
        auto_session_tracking=False,
    )


def scrubbed(event: Event, hint: dict[str, Any]) -> Event:
    """Return what of an event may leave."""
    kept: Event = {name: event[name] for name in KEPT if name in event}
    known = context()
    kept["tags"] = {name: known[name] for name in TAGS if name in known}
    if template := _template(hint.get("log_record")):
        kept["logentry"] = {"message": template}
    errors = (event.get("exception") or {}).get("values") or []
    if errors:
        kept["exception"] = {"values": [_error(one) for one in errors]}
    return kept


def _template(record: logging.LogRecord | None) -> str:
    if record is None or not isinstance(record.msg, str):
        return ""
    is_template = bool(record.args) or record.name.partition(".")[0] in OURS
    return record.msg if is_template else record.name


def _error(given: Event) -> Event:
    frames = (given.get("stacktrace") or {}).get("frames") or []
    return {
        **{name: given[name] for name in OF_AN_ERROR if name in given},
        "stacktrace": {
            "frames": [{name: frame[name] for name in OF_A_FRAME if name in frame} for frame in frames]
        },
    }
