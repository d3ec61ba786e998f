"""Definitions change while people edit, list, import and export: nobody sees an error, no value is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from benchmarks.changes_traffic import Traffic
from core.tenancy import TenantRef
from tests.test_kills import Worker

SECONDS = float(os.environ.get("ROWHOUSE_TRAFFIC_SECONDS", "20"))
RECORDS = 2_000


@pytest.fixture
def worker(tmp_path: Path, committed_tenants: list[TenantRef]) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    worker.start()
    yield worker
    worker.stop()


@pytest.mark.slow
def test_nobody_sees_a_change_of_the_definition_and_no_value_is_lost(
    worker: Worker, committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker
) -> None:
    seed = int(os.environ.get("ROWHOUSE_SEED", random.randrange(10**6)))
    print(f"seed {seed}")  # noqa: T201 -- to repeat a failure
    with django_db_blocker.unblock():
        traffic = Traffic.opened(committed_tenants[0], records=RECORDS, seed=seed)
        traffic.play(SECONDS)
        traffic.check()
    print(dict(traffic.counts), traffic.slowest)  # noqa: T201 -- figures of the run
    assert not traffic.wrong, "\n".join(traffic.wrong)
    assert traffic.counts["change done"] + traffic.counts["change reverted"] > 0
    assert min(traffic.counts[what] for what in ("form saved", "list read", "import done")) > 0
