"""What gunicorn's first process does for whoever watches: `rowhouse.gunicorn` calls it.

It counts in files from before the application is loaded, so `prepare` comes before that; it tells what it and its
children have counted, and how the platform stands, on a port of its own; and it drains before it ends.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from core.metrics_folder import folder, open_folder


def prepare() -> None:
    """Have this process and those it forks count in a folder, if somebody is told of it.

    Must be called before anything imports `prometheus_client`.
    """
    if settings.ROWHOUSE_METRICS_PORT:
        open_folder(settings.ROWHOUSE_RUN_DIR, "web")


def begin(server: Any) -> None:
    """Tell metrics from here on, and let SIGTERM wait until nobody sends requests any more.

    The application must be loaded, and nothing forked yet.

    :param server: gunicorn's arbiter.
    """
    # After the application: they need its apps, and what they import counts.
    from core import metrics_server  # noqa: PLC0415 -- after the application
    from rowhouse.observing import draining  # noqa: PLC0415 -- after the application
    from rowhouse.observing.figures import PlatformFigures  # noqa: PLC0415 -- after the application
    from tenants.planning import lacking  # noqa: PLC0415 -- after the application

    lacking(set())  # loads every migration once, for all processes
    if settings.ROWHOUSE_METRICS_PORT and (counted := folder()):
        metrics_server.serve_if_possible(settings.ROWHOUSE_METRICS_PORT, counted, [PlatformFigures()])
    draining.delay_sigterm(settings.ROWHOUSE_WEB_DRAIN_SECONDS, server.signal)
