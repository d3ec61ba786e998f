"""gunicorn's lines in the form of all others; of each request what it was, never what it asked for or who sent it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from gunicorn.glogging import Logger

from core.logging import formatter
from rowhouse.observing.paths import PROBES
from rowhouse.observing.requests import NOTE

# An invitation's or an entry's link: whoever has it may use it.
_SECRET = re.compile(r"(?<=/)[A-Za-z0-9_:=~.-]{24,}(?=/|$)")


def shown_path(path: str) -> str:
    """Return a path as logs may show it: without the secrets that links carry.

    >>> shown_path("/invitation/MTI6c2VjcmV0LXNlY3JldC1zZWNyZXQ/")
    '/invitation/…/'
    >>> shown_path("/admin/importer/importjob/12/change/")
    '/admin/importer/importjob/12/change/'
    """
    return _SECRET.sub("…", path)


class Lines(Logger):
    """What gunicorn writes by: its own messages and a line for each request."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self._lines = structlog.get_logger(self.access_log.name)
        form = formatter(as_json=settings.ROWHOUSE_LOG_JSON)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(form)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Write the line of a request. Probes that go well come every few seconds and are left out."""
        if not self.access_log_enabled:
            return
        status = str(resp.status).split(None, 1)[0]
        path = environ.get("PATH_INFO", "")
        if path in PROBES and status == "200":
            return
        line = {
            **environ.get(NOTE, {}),
            "method": environ.get("REQUEST_METHOD", ""),
            "path": shown_path(path),
            "host": environ.get("HTTP_HOST", "")[:253],
            "status": int(status),
            "bytes": resp.sent,
            "seconds": round(request_time.total_seconds(), 4),
        }
        self._lines.info("request", **line)
