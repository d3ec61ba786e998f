"""Structured logs: JSON or readable lines, each with the tenant and the job it belongs to."""

from __future__ import annotations

from typing import Any

import structlog

from core.tenancy import tenant_or_none


def add_tenant(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the tenant's slug on the line; the platform's own lines say so too."""
    tenant = tenant_or_none()
    event.setdefault("tenant", tenant.slug if tenant else "-")
    return event


def configure(*, level: str, as_json: bool) -> dict[str, Any]:
    """Return Django's LOGGING; every logger of Python writes through structlog to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_tenant,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        # The prettier tracebacks print local variables, and those hold people's cells.
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *([structlog.processors.format_exc_info] if as_json else []),
                    renderer,
                ],
                "foreign_pre_chain": shared,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.db.backends": {"level": "WARNING"},
            "django-q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        },
    }


def bind_request(tenant: str) -> None:
    """Put the request's tenant on the lines that Django writes once the tenant is left again."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(tenant=tenant)


def forget_request(**_signal: object) -> None:
    """Forget the tenant of a request whose answer has been sent."""
    structlog.contextvars.clear_contextvars()
