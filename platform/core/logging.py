"""Structured logs: JSON or readable lines, each with the tenant, request, user and job it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import structlog

from core.log_storms import Storms, add_held_back, cut_long
from core.tenancy import tenant_or_none

CONTEXT = ("tenant", "request_id", "user", "job", "kind")


def _nobody() -> int | None:
    return None


_user: ContextVar[Callable[[], int | None]] = ContextVar("rowhouse_user", default=_nobody)


def add_tenant(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the tenant's slug on the line; the platform's own lines say so too."""
    tenant = tenant_or_none()
    event.setdefault("tenant", tenant.slug if tenant else "-")
    return event


def add_user(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the number of the request's user on the line, if somebody has asked by then who it is."""
    if (user := _user.get()()) is not None:
        event.setdefault("user", user)
    return event


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    add_tenant,
    add_user,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def context() -> dict[str, str]:
    """Return whose work this is, as its lines say it: tenant, request_id, user, job, kind; only what is known."""
    event = add_user(None, "", add_tenant(None, "", structlog.contextvars.get_contextvars()))
    return {name: str(event[name]) for name in CONTEXT if event.get(name) is not None}


def cause() -> str:
    """Return what led to the work at hand: `job:12`, `request:…`, `command:…`; empty where nobody has said it."""
    bound = structlog.contextvars.get_contextvars()
    for name, kind in (("job", "job"), ("request_id", "request"), ("command", "command")):
        if bound.get(name) is not None:
            return f"{kind}:{bound[name]}"
    return ""


def formatter(*, as_json: bool) -> structlog.stdlib.ProcessorFormatter:
    """Return what makes a line of Python's own logging look like all others."""
    return structlog.stdlib.ProcessorFormatter(**_format(as_json=as_json))


def configure(*, level: str, as_json: bool, most_alike: int = 0) -> dict[str, Any]:
    """Return Django's LOGGING; every logger of Python writes through structlog to stderr.

    :param most_alike: how often in a minute one process writes the same warning or error; 0: always.
    """
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": structlog.stdlib.ProcessorFormatter, **_format(as_json=as_json)}},
        "filters": {"storms": {"()": Storms, "most": most_alike}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "structured", "filters": ["storms"]}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.db.backends": {"level": "WARNING"},
            "django-q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        },
    }


def _format(*, as_json: bool) -> dict[str, Any]:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if as_json
        # The prettier tracebacks print local variables, and those hold people's cells.
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    return {
        "processors": [
            add_held_back,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([structlog.processors.format_exc_info] if as_json else []),
            cut_long,
            renderer,
        ],
        "foreign_pre_chain": _SHARED,
    }


def begin_request(request_id: str, *, user: Callable[[], int | None]) -> None:
    """Put a request's own name on all lines that are written for it, and forget the one before it.

    :param user: returns the number of its user, or None as long as nobody has looked who that is.
    """
    forget_request()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    _user.set(user)


def bind_request(tenant: str) -> None:
    """Put the request's tenant on the lines that Django writes once the tenant is left again."""
    structlog.contextvars.bind_contextvars(tenant=tenant)


def forget_request(**_signal: object) -> None:
    """Forget a request whose answer has been sent."""
    structlog.contextvars.clear_contextvars()
    _user.set(_nobody)
