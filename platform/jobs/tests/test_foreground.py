"""Running one job here: progress, Ctrl-C, a job taken over, a database that goes away, a paused tenant."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

import psycopg2
import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from core.tenancy import TenantRef, in_public, in_tenant
from jobs import foreground, runner, services
from jobs.foreground import progress_shown
from jobs.kinds import registry
from jobs.looking import JobStatus
from jobs.models import Job
from jobs.tests.conftest import EffectsOf, make_effects, read_effects
from jobs.tests.kinds_again import KINDS

TAIL = "Interrupted. The job waits for a worker, which goes on with it; cancel it if it must not.\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def added_kinds(own_kinds: None) -> None:
    registry().update(KINDS)


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Whoever starts the tests in the background of a shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def short_lease(settings: Any) -> None:
    """Let nobody wait long for what a worker left without a word."""
    settings.ROWHOUSE_JOB_LEASE_SECONDS = 1


def row(job: Job) -> Job:
    with in_public():
        return Job.objects.get(pk=job.pk)


def press_ctrl_c(after: float) -> None:
    timer = Timer(after, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


@pytest.mark.parametrize(
    "payload", [{"seconds": 20}, {"seconds": 20, "steps": 2}], ids=["statement", "python"]
)
def test_ctrl_c_stops_at_once_and_gives_the_job_back(
    as_acme: TenantRef, effects_of: EffectsOf, payload: dict[str, int]
) -> None:
    kind = "test.append" if "steps" in payload else "test.slow_statement"
    job = services.submit(kind, target="orders", payload=payload)
    begun = monotonic()
    press_ctrl_c(0.5)
    with pytest.raises(KeyboardInterrupt):
        services.run_until_done(job.pk)
    assert monotonic() - begun < 5
    given_back = row(job)
    assert (given_back.state, given_back.attempts, given_back.lease) == ("QUEUED", 0, None)
    assert effects_of(as_acme, job.pk) == []


def test_ctrl_c_while_another_worker_has_the_job_leaves_it_to_that_worker(as_acme: TenantRef) -> None:
    job = services.submit("test.append", target="orders", payload={})
    with in_public():
        Job.objects.filter(pk=job.pk).update(state="RUNNING", lease_until="2100-01-01T00:00Z", attempts=1)
    press_ctrl_c(0.5)
    with pytest.raises(KeyboardInterrupt):
        services.run_until_done(job.pk)
    assert (row(job).state, row(job).attempts) == ("RUNNING", 1)


def test_a_job_taken_over_in_the_middle_is_waited_for_and_done_once(
    as_acme: TenantRef, effects_of: EffectsOf, tmp_path: Path, short_lease: None
) -> None:
    job = services.submit("again.stolen", target="orders", payload={"mark": str(tmp_path / "mark")})
    assert services.run_until_done(job.pk).state == "DONE"
    assert effects_of(as_acme, job.pk) == ["effect"]


def test_a_paused_tenants_job_is_refused_in_the_foreground(as_acme: TenantRef) -> None:
    job = services.submit("test.append", target="orders", payload={})
    services.pause_tenant(as_acme.schema)
    with pytest.raises(services.TenantPaused, match=f"an operator can resume it. Job {job.pk} waits"):
        services.run_until_done(job.pk)


def test_a_paused_tenants_job_that_was_cancelled_ends_in_the_foreground_too(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    jobs = [services.submit("test.append", target=name, payload={}) for name in ("orders", "customers")]
    services.pause_tenant(as_acme.schema)
    for job in jobs:
        services.cancel(job.pk)
    assert services.run_until_done(jobs[1].pk).state == "CANCELLED"


def test_a_tenant_paused_between_two_slices_stops_the_foreground_too(
    as_acme: TenantRef, effects_of: EffectsOf
) -> None:
    job = services.submit("test.append", target="orders", payload={"steps": 2})
    with pytest.raises(services.TenantPaused):
        services.run_until_done(job.pk, on_progress=lambda _: services.pause_tenant(as_acme.schema))
    assert effects_of(as_acme, job.pk) == ["step 0"]


def test_a_database_that_comes_back_is_waited_for(
    committed_tenants: list[TenantRef],
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
    short_lease: None,
) -> None:
    work = runner._work
    killed: list[int] = []

    def lose_once(job: Job, started: float) -> object:
        step = work(job, started)
        if not killed:
            killed.append(job.pk)
            _kill_connection()
        return step

    monkeypatch.setattr(runner, "_work", lose_once)
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]) as tenant:
        make_effects(tenant)
        job = services.submit("test.append", target="orders", payload={"steps": 2})
        assert services.run_until_done(job.pk).state == "DONE"
        assert killed == [job.pk]
        assert read_effects(tenant, job.pk) == ["step 0", "step 1"]


def _kill_connection() -> None:
    aside = psycopg2.connect(**connection.get_connection_params())
    with aside, aside.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    aside.close()


def test_a_database_that_stays_away_is_said(
    committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError  # noqa: PLC0415 -- beside its one use

    def gone(*_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(foreground, "AWAY_SECONDS", 0.5)
    monkeypatch.setattr(foreground, "_turn", gone)
    away = pytest.raises(services.DatabaseAway, match="Job 7 is kept")
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]), away:
        services.run_until_done(7)


def status(**values: Any) -> JobStatus:
    given: dict[str, Any] = {
        "processed": 1200,
        "total": 5000,
        "rows_per_second": 600.0,
        "seconds_left": 6.3,
        **values,
    }
    return JobStatus(
        job_id=1, kind="k", state="RUNNING", error_code="", error="", cancel_requested=False, **given
    )


def test_progress_is_one_line_of_a_terminal_that_goes_at_the_end() -> None:
    stream = Terminal()
    with progress_shown(stream) as tell:
        tell(status())
        tell(status(processed=0))
    full = "1,200 of about 5,000 rows, 600 rows/s, 7 s left"
    assert stream.getvalue() == f"\r{full}\r{'working'.ljust(len(full))}\r{' ' * 7}\r"


def test_progress_says_nothing_where_nobody_watches() -> None:
    stream = io.StringIO()
    with progress_shown(stream) as tell:
        tell(status())
    assert stream.getvalue() == ""


def test_a_command_that_is_interrupted_says_what_becomes_of_the_job_and_exits_130() -> None:
    stream = io.StringIO()
    with pytest.raises(SystemExit) as ended, progress_shown(stream):
        raise KeyboardInterrupt
    assert (ended.value.code, stream.getvalue()) == (130, TAIL)
