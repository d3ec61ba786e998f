"""A machine whose clock is wrong: what is due, and what files are called, is said by the database's clock alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.clock import database_now
from core.tenancy import TenantRef, in_public, in_tenant
from exporter.models import ExportRun, State
from exporter.naming import export_path
from exporter.tests.helpers import dataset_with
from jobs import dispatcher, services
from jobs.models import Job, TenantShare, WorkerSign
from tests.conftest import database_url

PATIENCE_SECONDS = 90
HOUR = timedelta(hours=1)
# Loaded by the interpreter itself, before anything asks for the time. It jumps `jump` seconds after it was loaded.
CLOCK = """
import os, time
import django.utils.timezone as zone
from datetime import UTC, datetime, timedelta
true_time, true_time_ns = time.time, time.time_ns
begun = true_time()
before, jump, after = (float(each) for each in os.environ["TEST_CLOCK"].split())
def shift():
    return before if true_time() < begun + jump else after
time.time = lambda: true_time() + shift()
time.time_ns = lambda: true_time_ns() + int(shift() * 10**9)
zone.now = lambda: datetime.now(tz=UTC) + timedelta(seconds=shift())
"""


@dataclass(frozen=True)
class Clock:
    """A clock that is `before` seconds off, and `after` seconds once `jump` seconds have passed."""

    before: float
    jump: float
    after: float
    zone: str = "UTC"

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment of a process of ours that has this clock."""
        ours = folder / "clock"
        ours.mkdir(exist_ok=True)
        (ours / "sitecustomize.py").write_text(CLOCK)
        return {
            **os.environ,
            "DATABASE_URL": database_url(str(connection.settings_dict["NAME"])),
            "ROWHOUSE_DATA": str(folder),
            "ROWHOUSE_LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(ours),
            "TEST_CLOCK": f"{self.before} {self.jump} {self.after}",
            "TZ": self.zone,
        }


AHEAD, BEHIND = Clock(600, 0, 600), Clock(-600, 0, -600, "Asia/Kathmandu")
BACKWARDS = Clock(600, 6, -3600, "America/St_Johns")
CLOCKS = [
    pytest.param(AHEAD, id="ten minutes ahead"),
    pytest.param(BEHIND, id="ten minutes behind", marks=pytest.mark.slow),
    pytest.param(BACKWARDS, id="jumps back", marks=pytest.mark.slow),
]


@contextmanager
def worker(clock: Clock, folder: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "rowhouse", "worker"], env=clock.environment(folder))
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def be_due(tenant: TenantRef, *, seconds: int) -> None:
    """Let a tenant's hourly work be due so many seconds from now, by the database's clock."""
    with in_public(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_tenantshare SET next_hour_at = statement_timestamp() + make_interval(secs => %s)"
            " WHERE schema = %s",
            [seconds, tenant.schema],
        )


def due_at(tenant: TenantRef) -> datetime:
    with in_public():
        at = TenantShare.objects.get(schema=tenant.schema).next_hour_at
    assert at is not None
    return at


def pass_an_hour(tenant: TenantRef) -> tuple[datetime, datetime]:
    """Wait until a dispatcher has given a tenant its hourly work; returns between which moments it was."""
    before = database_now()
    be_due(tenant, seconds=-1)
    until(lambda: due_at(tenant) > before)
    return before, database_now()


def hour_of(tenant: TenantRef, at: datetime) -> datetime:
    """Return the hour whose work a tenant has at a moment: it begins at its own offset."""
    return (at - dispatcher.offset(tenant.schema)).replace(minute=0, second=0, microsecond=0)


def skew() -> float:
    """Return how far the worker says its clock is off, in seconds; 0 before it has said so."""
    with in_public():
        return max(
            WorkerSign.objects.values_list("clock_skew_seconds", flat=True), key=abs, default=0.0
        )  # fmt: skip


@pytest.mark.case("I10")
@pytest.mark.parametrize("clock", CLOCKS)
def test_hourly_files_are_due_and_named_by_the_databases_clock(
    clock: Clock, committed_tenants: list[TenantRef], tmp_path: Path
) -> None:
    due, early = committed_tenants
    for tenant in committed_tenants:
        with in_tenant(tenant):
            dataset_with([["1", tenant.slug]])
    # Due in five minutes: for a clock that is ten ahead, five minutes ago.
    be_due(early, seconds=300)
    expected: list[set[datetime]] = []
    keys: list[str] = []
    with in_public():
        WorkerSign.objects.all().delete()
    with worker(clock, tmp_path):
        for number in range(2):
            expected.append({hour_of(due, at) for at in pass_an_hour(due)})
            with in_tenant(due):
                until(lambda: ExportRun.objects.filter(state=State.SUCCEEDED, slot__isnull=False).exists())
                keys = [
                    key for run in ExportRun.objects.all() for key in run.files.values_list("key", flat=True)
                ]
            if number == 0:
                until(lambda: abs(skew() - clock.after) < 60)  # it is wrong, and the platform sees it

    with in_tenant(due):
        (run,) = ExportRun.objects.all()  # the second time the hour had its run already
    assert run.slot is not None
    assert run.slot in expected[0] | expected[1]
    assert keys == [f"{due.slug}/{export_path('orders', run.slot)}"]
    with in_public():
        asked = Job.objects.filter(kind="exporter.run", schema__in=[due.schema, early.schema])
        assert [(job.schema, job.target) for job in asked] == [(due.schema, run.slot.isoformat())]
    assert due_at(due) == run.slot + HOUR + dispatcher.offset(due.schema)
    assert due_at(early) > database_now()


@pytest.mark.case("I10")
@pytest.mark.parametrize("clock", CLOCKS)
def test_an_export_by_hand_is_named_by_the_second_of_the_database(
    clock: Clock, committed_tenants: list[TenantRef], tmp_path: Path
) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        dataset_with([["1", "a"]])
    command = [sys.executable, "-m", "rowhouse", "export_datasets", "--tenant", tenant.slug, "--json"]

    before = database_now().replace(microsecond=0)
    done = subprocess.run(
        command, env=clock.environment(tmp_path), capture_output=True, text=True, check=False, timeout=300
    )
    after = database_now()

    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["exports"]
    named = datetime.strptime(file["key"].rpartition("orders_")[2], "%Y%m%dT%H%M%SZ.csv").replace(tzinfo=UTC)
    assert before <= named <= after


# ---- days that are odd

DAYS = {
    "a month ends": datetime(2026, 11, 30, tzinfo=UTC),
    "a year ends": datetime(2026, 12, 31, tzinfo=UTC),
    "the day before a leap day": datetime(2028, 2, 28, tzinfo=UTC),
    "no leap day": datetime(2100, 2, 28, tzinfo=UTC),
    "the clocks go forward": datetime(2026, 3, 29, tzinfo=UTC),
    "the clocks go back": datetime(2026, 10, 25, tzinfo=UTC),
}
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
SCHEMA = "t_clock000"


@pytest.fixture
def share(db: Any) -> TenantRef:
    return TenantRef(SCHEMA, "clock")


@pytest.mark.case("I10")
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("day", DAYS)
def test_an_odd_day_has_each_of_its_hours_once_in_any_time_zone(
    share: TenantRef, day: str, zone: str
) -> None:
    begin = DAYS[day]
    services.admit_tenant(share, now=begin - HOUR)
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE %s", [zone])
    shift = dispatcher.offset(SCHEMA)
    for minutes in range(0, 48 * 60, 20):
        at = begin + shift + timedelta(minutes=minutes)
        services.dispatch_hourly(now=at)
        services.dispatch_hourly(now=at - HOUR)  # another pod, an hour behind

    found = Job.objects.filter(schema=SCHEMA, kind="exporter.run").order_by("id")
    hours = [datetime.fromisoformat(job.target) for job in found]
    assert hours == [begin + number * HOUR for number in range(48)]
    paths = [export_path("orders", hour) for hour in hours]
    assert all(one < next_one for one, next_one in pairwise(paths))
    days = [begin, begin + timedelta(days=1)]
    assert [path.split("orders_")[0] for path in paths] == [
        f"exports/orders/{one:%Y/%m/%d}/" for one in days for _ in range(24)
    ]


class Wrong(datetime):
    """A clock that stands still on a leap day."""

    @classmethod
    def now(cls, tz: Any = None) -> Wrong:
        return cls(2020, 2, 29, 23, 59, tzinfo=tz)


@pytest.mark.case("I10")
def test_a_tenant_is_admitted_by_the_databases_clock(
    share: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("django.utils.timezone.datetime", Wrong)
        assert timezone.now().year == 2020
        before = database_now()
        services.admit_tenant(share)
    assert due_at(share) == dispatcher.first_due(SCHEMA, before)
