"""What isolation costs: a page with our backend beside django-tenants' own, lookups of tenants, and memory.

    python -m benchmarks.tenancy_isolation --tenants 1000

One page of twenty queries goes through Django's WSGI handler and the tenant middleware, and nothing else that would
take time in both. In turns it is asked on two connections of this process to the same tenant: ours, whose every
statement carries path and role, and django-tenants', which sends `SET search_path` before each and has no roles. The
same middleware finds the tenant for both.

Then another process, new, opens pages of every tenant through the real application, signed in as its owner. Its peak
and the most that its processes on the server held for themselves are read from /proc, so this runs on Linux, as root
or as whoever runs the server.

The last line is one JSON object: `ratio_isolation` is ours by theirs at the median, `…_ms` the times,
`resolution_queries_per_5_seconds` what finding tenants asks of the database in a process under steady requests,
`process_mb` and `backend_mb` the peaks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.tenancy_provisioning import ROOT, open_server

GOALS = {
    "ratio_isolation": 1.1,
    "resolution_queries_per_5_seconds": 1.0,
    "process_mb": 250.0,
    "backend_mb": 200.0,
}
ROUNDS = 400
PAGES = ("/admin/", "/admin/accounts/user/", "/admin/datasets/dataset/", "/admin/audit/event/")
WATCHED_SECONDS = 15.0
_TABLES = re.compile(r'(?:FROM|JOIN|INTO|UPDATE) "(\w+)"')


def measure(tenants: Sequence[tuple[str, str]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Return every figure by its name. `tenants` are schemas and slugs; Django is set up, and all are active."""
    figures = _page(*tenants[0], rounds)
    figures |= _resolving([slug for _, slug in tenants])
    figures |= _memory(tenants)
    return figures


# ---- the page


def _page(schema: str, slug: str, rounds: int) -> dict[str, float]:
    from django.db import connections  # noqa: PLC0415 -- after the settings
    from django.test import override_settings  # noqa: PLC0415 -- likewise

    _analyze(schema)
    ours, stock = connections["default"], _stock_wrapper()
    times: dict[str, list[float]] = {"ours": [], "stock": []}
    with override_settings(
        ROOT_URLCONF="benchmarks.tenancy_page",
        MIDDLEWARE=["tenants.middleware.TenantMiddleware"],
    ):
        ask = partial(_ask, _handler(), slug, cookie="")
        try:
            bodies = set()
            for number in range(-20, rounds):  # the first ones are not counted: nobody pays for a cold cache
                sides = [("ours", ours), ("stock", stock)]
                for name, wrapper in sides if number % 2 else reversed(sides):
                    connections["default"] = wrapper
                    started = time.perf_counter()
                    bodies.add(ask("/page"))
                    if number >= 0:
                        times[name].append((time.perf_counter() - started) * 1000)
            statements: dict[str, int] = {}
            for name, wrapper in (("ours", ours), ("stock", stock)):
                connections["default"] = wrapper
                statements[name] = _counted(lambda: ask("/page"))
        finally:
            connections["default"] = ours
            stock.close()
    if len(bodies) != 1 or len(set(statements.values())) != 1:
        raise SystemExit(f"the two answered differently: {bodies}, {statements}")
    mine, theirs = statistics.median(times["ours"]), statistics.median(times["stock"])
    return {
        "ratio_isolation": mine / theirs,
        "page_ms": mine,
        "page_stock_ms": theirs,
        "page_queries": float(statements["ours"]),
    }


def _analyze(schema: str) -> None:
    """Give the planner its figures, or autovacuum would do it while one of the two is measured."""
    from django.contrib.auth.models import Permission  # noqa: PLC0415 -- after the settings
    from django.db import connection  # noqa: PLC0415 -- likewise

    from accounts.models import User  # noqa: PLC0415 -- likewise
    from datasets.models import Dataset  # noqa: PLC0415 -- likewise

    with connection.cursor() as cursor:
        for model in (
            Permission,
            User,
            Dataset,
        ):  # of all at once, it would hold a lock of each table there is
            cursor.execute(f"ANALYZE {schema}.{model._meta.db_table}")


def _stock_wrapper() -> Any:
    """Return a connection of django-tenants' own backend to the same database."""
    from django.db import connections  # noqa: PLC0415 -- after the settings
    from django_tenants.postgresql_backend import base  # noqa: PLC0415 -- likewise

    class Stock(base.DatabaseWrapper):  # type: ignore[misc] # of a library without types
        """As it comes; it knows no roles, so that it hears of them is all we add."""

        def set_schema(self, schema_name: str, *_: Any, role: Any = None) -> None:
            super().set_schema(schema_name)

    return Stock({**connections["default"].settings_dict}, alias="default")


def _counted(act: Callable[[], Any], only: str = "") -> int:
    """Return how many statements `act` sends that hold the text; what a backend sets before them is none."""
    from django.db import connection  # noqa: PLC0415 -- after the settings

    seen: list[str] = []

    def note(execute: Any, sql: Any, *rest: Any) -> Any:
        seen.append(str(sql))
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        act()
    return sum(only in one and not one.startswith("SET ") for one in seen)


def _handler() -> Any:
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415 -- after the settings

    return WSGIHandler()


def _ask(handler: Any, slug: str, path: str, cookie: str) -> bytes:
    """Ask an application for a path of a tenant.

    :raises SystemExit: the answer is no page.
    """
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "HTTP_HOST": f"{slug}.localhost",
        "HTTP_COOKIE": cookie,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    answer = handler(environ, lambda status, *_: said.append(status))
    try:
        body = b"".join(answer)
    finally:
        answer.close()
    if said != ["200 OK"]:
        raise SystemExit(f"{path} of {slug} answered {said}:\n{body.decode()[:2000]}")
    return body


# ---- finding the tenant


def _resolving(slugs: Sequence[str]) -> dict[str, float]:
    from django.test import override_settings  # noqa: PLC0415 -- after the settings

    asked = 0

    def steadily() -> None:
        nonlocal asked
        begun = time.monotonic()
        while time.monotonic() - begun < WATCHED_SECONDS:
            ask(slugs[asked % len(slugs)])
            asked += 1
            time.sleep(0.005)

    with override_settings(
        ROOT_URLCONF="benchmarks.tenancy_page",
        MIDDLEWARE=["tenants.middleware.TenantMiddleware"],
    ):
        handler = _handler()
        ask = partial(_ask, handler, path="/page", cookie="")
        ask(slugs[0])  # reads the directory, if it is old
        found = _counted(steadily, only="tenants_domain")
    return {
        "resolution_queries_per_5_seconds": found / WATCHED_SECONDS * 5,
        "resolution_requests": float(asked),
    }


# ---- memory


def _memory(tenants: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Let a process of its own visit the tenants, and return what it says."""
    from django.db import connections  # noqa: PLC0415 -- after the settings

    connections.close_all()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tenancy_isolation", "--visit"],
        input=json.dumps(tenants), env=os.environ, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _visit(tenants: Sequence[Sequence[str]]) -> dict[str, float]:
    """Open pages of each tenant in this process; return the peaks in MB, and what was visited."""
    import django  # noqa: PLC0415 -- only here is this process the platform

    django.setup()
    from django.conf import settings  # noqa: PLC0415 -- after the settings
    from django.db import connection  # noqa: PLC0415 -- likewise
    from django.test import Client  # noqa: PLC0415 -- likewise

    from accounts.models import User  # noqa: PLC0415 -- likewise
    from benchmarks.visits_memory import memory_of  # noqa: PLC0415 -- likewise
    from core.tenancy import TenantRef, in_tenant  # noqa: PLC0415 -- likewise

    most, pages = 0, 0
    backends: set[int] = set()
    tables: set[str] = set()
    handler, started = _handler(), time.perf_counter()
    for schema, slug in tenants:
        with _noting_tables(tables):
            client = Client(HTTP_HOST=f"{slug}.localhost")
            with in_tenant(TenantRef(schema, slug)):
                owner = User.objects.get(email=f"owner@{slug}.example")
                client.force_login(owner, backend="accounts.backends.TenantBackend")
        name = settings.SESSION_COOKIE_NAME
        cookie = f"{name}={client.cookies[name].value}"
        for path in PAGES:
            with _noting_tables(tables):
                _ask(handler, slug, path, cookie)
            pages += 1
            # A connection that has served its share is closed at the end of a request; the next page has another.
            # What counts is its own memory. Pages of the server's that nobody else has mapped yet pass for private.
            if connection.connection is not None:
                backend = connection.connection.info.backend_pid
                backends.add(backend)
                most = max(most, memory_of(backend, "Anonymous"))
    return {
        "process_mb": _peak_kb() / 1024,
        "backend_mb": most / 1024,
        "visited_tenants": float(len(tenants)),
        "visited_pages": float(pages),
        "visited_tables_each": float(len(tables)),
        "visited_backends": float(len(backends)),
        "visiting_seconds": time.perf_counter() - started,
    }


@contextmanager
def _noting_tables(tables: set[str]) -> Iterator[None]:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    def note(execute: Any, sql: Any, *rest: Any) -> Any:
        tables.update(_TABLES.findall(str(sql)))
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield


def _peak_kb() -> int:
    """Return this process's largest resident size. Not that of getrusage, which begins at the parent's."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("/proc says nothing of this process's memory; it is measured on Linux")
    return int(found[1])


# ---- the command


def provision(number: int) -> list[tuple[str, str]]:
    """Provision so many tenants, and return their schemas and slugs."""
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    made = []
    for at in range(1, number + 1):
        slug = f"visited-{at}"
        tenant = request_tenant(slug=slug, name=slug, owner_email=f"owner@{slug}.example", provision_now=True)
        provision_tenant(tenant=tenant)
        made.append((tenant.schema_name, slug))
        if at % 100 == 0:
            print(f"{at} tenants", file=sys.stderr)
    return made


def main() -> None:
    """Measure, print a table, and as the last line a JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--visit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.visit:
        print(json.dumps(_visit(json.load(sys.stdin))))
        return
    with open_server():
        figures = measure(provision(options.tenants), rounds=options.rounds)
        for name, value in figures.items():
            goal = f"  goal {GOALS[name]:g}" if name in GOALS else ""
            print(f"{name:<34} {value:>12.4f}{goal}")
        print(json.dumps(figures), flush=True)  # removing the files of so many tenants takes a while


if __name__ == "__main__":
    main()
