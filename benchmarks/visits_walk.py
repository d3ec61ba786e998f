"""A walk through the datasets of many tenants in one process, and what the process holds on the way."""

from __future__ import annotations

import gc
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import User
from benchmarks.visits_datasets import PAGES
from benchmarks.visits_memory import Built, caches, memory_of, watch_classes
from core.tenancy import TenantRef, in_tenant
from datasets.rows import MODELS
from rowhouse.wsgi import application

ANY_SLUG = re.compile(r"visit-\d{5}", re.IGNORECASE)
SAMPLE_EVERY = 500
MARKS = (10, 50, 100)  # percent of the datasets


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held after so many datasets, in kB, and how many classes lived."""

    datasets: int
    held: int
    classes: int


@dataclass(slots=True)
class Walk:
    """One walk. Counters are kept by percent of the datasets; `connection` is in kB, the largest that was seen."""

    tenants: Sequence[TenantRef]
    addresses: Sequence[dict[str, str]]
    pages_each: int
    samples: list[Sample] = field(default_factory=list)
    caches: dict[int, Counter[str]] = field(default_factory=dict)
    objects: dict[int, Counter[str]] = field(default_factory=dict)  # by type
    pages: Counter[str] = field(default_factory=Counter)
    built: int = 0
    living: int = 0  # classes of records, at the end
    connection: int = 0
    seconds: float = 0.0

    @property
    def datasets(self) -> int:
        return len(self.tenants) * len(self.addresses)

    def run(self) -> None:
        """Visit each dataset of each tenant.

        :raises SystemExit: a page did not answer, or says what is not its tenant's.
        """
        started, number = time.perf_counter(), 0
        marks = {max(1, self.datasets * percent // 100): percent for percent in MARKS}
        MODELS.clear()  # of those that were built before, for the records themselves
        with watch_classes() as built:
            for tenant in self.tenants:
                cookie = _signed_in(tenant)
                for pages in self.addresses:
                    for name in self._chosen(number):
                        _visit(tenant, cookie, pages[name])
                        self.pages[name] += 1
                    number += 1
                    if number % SAMPLE_EVERY == 0 or number in marks:
                        self._sample(number, built)
                    if number in marks:
                        self._look(marks[number])
                self.connection = max(self.connection, _held_by_connection())
            gc.collect()
            self.built, self.living = built.number, len(built.of_records)
        self.seconds = time.perf_counter() - started

    def _chosen(self, number: int) -> list[str]:
        """Return the pages of the `number`-th dataset, where not all are wanted in turns."""
        return [PAGES[(number * self.pages_each + place) % len(PAGES)] for place in range(self.pages_each)]

    def _sample(self, number: int, built: Built) -> None:
        sample = Sample(number, memory_of("self", "Pss"), len(built.living))
        self.samples.append(sample)
        print(
            f"{number:>7,} datasets  {sample.held / 1024:7.1f} MB  {sample.classes:,} classes",
            file=sys.stderr,
        )

    def _look(self, percent: int) -> None:
        gc.collect()
        self.caches[percent] = caches()
        self.objects[percent] = Counter(
            f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()
        )

    def at(self, percent: int) -> Sample:
        wanted = self.datasets * percent // 100
        return min(self.samples, key=lambda sample: abs(sample.datasets - wanted))

    def slope(self) -> float:
        """Return how many kB more the process holds for every 1,000 datasets of the second half."""
        half = [one for one in self.samples if one.datasets >= self.at(50).datasets]
        if len({one.datasets for one in half}) < 2:
            return 0.0
        fit = statistics.linear_regression([one.datasets / 1000 for one in half], [one.held for one in half])
        return fit.slope


def _signed_in(tenant: TenantRef) -> str:
    """Return the cookie of a session of the tenant's owner."""
    client = Client(HTTP_HOST=f"{tenant.slug}.localhost")
    with in_tenant(tenant):
        owner = User.objects.get(email=f"owner@{tenant.slug}.example")
        client.force_login(owner, backend="accounts.backends.TenantBackend")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _visit(tenant: TenantRef, cookie: str, address: str) -> None:
    path, _, query = address.partition("?")
    environ: dict[str, Any] = {
        "HTTP_HOST": f"{tenant.slug}.localhost",
        "HTTP_COOKIE": cookie,
        "PATH_INFO": path,
        "QUERY_STRING": ANY_SLUG.sub(tenant.slug, query),
    }
    setup_testing_defaults(environ)
    said: list[str] = []
    begin: Any = lambda status, *_: said.append(status)  # noqa: E731 -- typed, as a server's is not
    answer = application(environ, begin)
    try:
        body = b"".join(answer).decode()
    finally:
        answer.close()
    if said != ["200 OK"]:
        sys.exit(f"{address} of {tenant.slug} answered {said}:\n{body[:2000]}")
    if (named := {one.lower() for one in ANY_SLUG.findall(body)}) != {tenant.slug}:
        sys.exit(f"{address} of {tenant.slug} names {', '.join(sorted(named)) or 'no tenant'}")


def _held_by_connection() -> int:
    """Return what the server's process of this process's connection holds for itself, in kB."""
    if connection.connection is None:
        return 0
    # Pages of the server's shared memory that nobody else has mapped yet pass for private; these do not.
    return memory_of(connection.connection.info.backend_pid, "Anonymous")
