"""How gunicorn serves the web: `gunicorn -c python:rowhouse.gunicorn rowhouse.wsgi`.

Every name below that gunicorn knows is a setting of its own. The application is loaded once and then forked
(`preload_app`): the processes share its memory, a wrong setting ends the start at once with its sentence, and a
process that replaces another one is there in milliseconds. What must not be shared over a fork is not: loading opens no
connection and starts no thread, and `when_ready`, the last thing before the first fork, closes what might be open. The
one thread it starts, which tells metrics, is idle whenever this process forks (`core.metrics_server`).
"""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

from django.db import connections

from core import env
from rowhouse.observing import web

if os.getpid() == 1:
    # The kernel keeps signals from process 1 that it has no handler for, and gunicorn's come after the loading.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
web.prepare()  # before the application is loaded, which counts from its start

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- always there for processes to write to, and nobody guesses names in it

env.section("Web")
wsgi_app = "rowhouse.wsgi"
bind = env.words(
    "ROWHOUSE_WEB_BIND",
    "0.0.0.0:8000",
    purpose="Where the web listens: `host:port`, `[::]:8000` or `unix:/path`; several, comma-separated.",
)
workers = env.integer("ROWHOUSE_WEB_WORKERS", 2, purpose="Processes of one web pod.", minimum=1)
threads = env.integer(
    "ROWHOUSE_WEB_THREADS",
    4,
    purpose="Requests that one process answers at a time, each on a database connection of its own.",
    minimum=1,
)
worker_class = "gthread"  # also for one thread: the others answer nothing while a slow client sends its file
timeout = env.integer(
    "ROWHOUSE_WEB_TIMEOUT",
    120,
    purpose="Seconds after which a process that is silent is killed; a slow request alone is none.",
    minimum=1,
)
graceful_timeout = env.integer(
    "ROWHOUSE_WEB_GRACEFUL_TIMEOUT",
    30,
    purpose="Seconds that requests may still take after SIGTERM.",
    minimum=1,
)
# Longer than the proxies in front keep theirs: one that is closed here while a request is on its way is a 502 there.
keepalive = 75
max_requests = env.integer(
    "ROWHOUSE_WEB_MAX_REQUESTS",
    10_000,
    purpose="Requests, and up to a tenth more, after which a process is replaced; 0: never.",
)
max_requests_jitter = max_requests // 10  # so that they are not all replaced at once
preload_app = True
# A process says that it is alive by a file there. On a disk, a slow write would look like a hung process.
worker_tmp_dir = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
# A list's filters and sorting are its address.
limit_request_line = 8190
# How far `X-Forwarded-…` is believed is said by ROWHOUSE_PROXIES (`rowhouse.proxies`), and by nothing here.
forwarded_allow_ips = "127.0.0.1,::1"
control_socket_disable = True
accesslog = "-"
logger_class = "rowhouse.observing.access.Lines"


def when_ready(server: Any) -> None:
    """Leave nothing open to be shared, and let collections not touch, and so copy, what all processes share."""
    web.begin(server)
    connections.close_all()
    gc.collect()
    gc.freeze()
