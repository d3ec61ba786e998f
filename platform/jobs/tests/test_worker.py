"""Real worker processes: killed, hung, asked to leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from core.tenancy import TenantRef, in_public, in_tenant
from jobs import services
from jobs.models import Job
from jobs.tests.conftest import make_effects, read_effects

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """A `worker` command on the tests' database; its folder shows its processes' beats."""

    def __init__(self, folder: Path, lease_seconds: int = 2) -> None:
        self.folder = folder
        database = connection.settings_dict
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "jobs.tests.worker_settings",
            "DATABASE_URL": f"postgresql://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}"
            f"?host={database['HOST']}&port={database['PORT'] or 5432}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "TEST_LEASE_SECONDS": str(lease_seconds),
        }
        command = [sys.executable, "-m", "django", "worker", "--workers", "2", "--folder", str(folder)]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT)

    def family(self) -> list[int]:
        """Return the ids of main's children and theirs."""
        return [int(pid) for pid in _descendants(self.process.pid)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def working(self) -> int:
        """Return the process that works on a slice now, once there is one."""
        return int(eventually(lambda: list(self.folder.glob("slice-*")))[0].name.removeprefix("slice-"))


def _descendants(pid: int) -> list[str]:
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [child, *_descendants(int(child))]
    return found


def eventually[T](look: Callable[[], T], seconds: float = 40) -> T:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@contextmanager
def worker(folder: Path, lease_seconds: int = 2) -> Iterator[Worker]:
    running = Worker(folder, lease_seconds)
    try:
        yield running
    finally:
        family = running.family()
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()
        eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and _lives(pid) for pid in family))


def _lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def tenant(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    for ref in committed_tenants:
        make_effects(ref)
    yield committed_tenants[0]
    with in_public(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_q_ormq")


def submit(tenant: TenantRef, kind: str, target: str = "orders", **payload: object) -> int:
    with in_tenant(tenant):
        return services.submit(kind, target=target, payload=payload).pk


def state(job_id: int) -> str:
    return services.status(job_id).state


@pytest.mark.case("I01")
def test_a_worker_killed_in_the_middle_of_a_slice_leaves_exactly_once_effects(
    tenant: TenantRef, tmp_path: Path
) -> None:
    job = submit(tenant, "test.append", steps=4, seconds=0.7)
    with worker(tmp_path / "first") as first:
        eventually(lambda: services.status(job).processed >= 1)
        os.kill(first.working(), signal.SIGKILL)
        assert first.process.wait(timeout=15) == 70
    with worker(tmp_path / "second") as second:
        eventually(lambda: services.status(job).processed >= 2)
        second.process.kill()
    with worker(tmp_path / "third") as third:
        eventually(lambda: state(job) == "DONE")
        assert third.stop() == 0
    assert read_effects(tenant, job) == ["step 0", "step 1", "step 2", "step 3"]


def test_a_worker_asked_to_leave_ends_its_slice_and_exits_with_zero(
    tenant: TenantRef, tmp_path: Path
) -> None:
    job = submit(tenant, "test.append", steps=50, seconds=0.5)
    with worker(tmp_path) as running:
        running.working()
        assert running.stop() == 0
    left = Job.objects.get(pk=job)
    assert (left.state, left.attempts, left.lease) == ("QUEUED", 0, None)
    assert len(read_effects(tenant, job)) == left.step
    services.cancel(job)
    services.run_until_done(job)


@pytest.mark.slow
@pytest.mark.case("I13")
def test_a_job_that_kills_its_worker_is_given_up_and_the_others_run(
    tenant: TenantRef, committed_tenants: list[TenantRef], tmp_path: Path
) -> None:
    poison = submit(tenant, "test.suicide")
    good = submit(committed_tenants[1], "test.append", steps=3)
    for life in range(12):
        with worker(tmp_path / str(life)) as running:
            eventually(lambda: running.process.poll() is not None or state(poison) == "FAILED")
        if state(poison) == "FAILED":
            break
    assert services.status(poison).error_code == "worker-died"
    assert state(good) == "DONE"


@pytest.mark.slow
@pytest.mark.case("I15")
def test_a_worker_that_hangs_in_c_code_is_killed_from_outside(tenant: TenantRef, tmp_path: Path) -> None:
    job = submit(tenant, "test.hang", mark=str(tmp_path / "mark"))
    with worker(tmp_path / "first") as first:
        assert first.process.wait(timeout=40) == 70
    with worker(tmp_path / "second"):
        eventually(lambda: state(job) == "DONE")
    assert read_effects(tenant, job) == ["effect"]


@pytest.mark.slow
@pytest.mark.case("I14")
def test_a_statement_longer_than_its_lease_runs_once(tenant: TenantRef, tmp_path: Path) -> None:
    job = submit(tenant, "test.slow_statement", seconds=6)
    with worker(tmp_path / "a"), worker(tmp_path / "b"):
        eventually(lambda: state(job) == "DONE")
    assert read_effects(tenant, job) == ["effect"]
    done = Job.objects.get(pk=job)
    assert (done.step, done.processed, done.total) == (1, 7, 20)  # what it told meanwhile


def test_a_long_statement_stops_when_it_is_cancelled(tenant: TenantRef, tmp_path: Path) -> None:
    job = submit(tenant, "test.slow_statement", seconds=120)
    with worker(tmp_path) as running:
        running.working()
        services.cancel(job)
        eventually(lambda: state(job) == "CANCELLED")
    assert read_effects(tenant, job) == ["cancelled: cancelled"]


@pytest.mark.slow
def test_a_long_statement_of_a_worker_that_leaves_is_stopped_and_given_back(
    tenant: TenantRef, tmp_path: Path
) -> None:
    job = submit(tenant, "test.slow_statement", seconds=120)
    with worker(tmp_path) as running:
        running.working()
        assert running.stop() == 0
    left = Job.objects.get(pk=job)
    assert (left.state, left.attempts, left.lease, left.error) == ("QUEUED", 0, None, "")
    assert read_effects(tenant, job) == []
    services.cancel(job)
    services.run_until_done(job)


def test_long_jobs_leave_a_process_of_the_pool_to_others(
    tenant: TenantRef, committed_tenants: list[TenantRef], tmp_path: Path
) -> None:
    first, second = (submit(tenant, "test.long", target=name, seconds=3) for name in ("a", "b"))
    with worker(tmp_path, lease_seconds=60) as running:
        running.working()
        other = submit(committed_tenants[1], "test.append")
        eventually(lambda: state(second) == "DONE")
    in_order = Job.objects.filter(pk__in=(first, second, other)).order_by("finished_at")
    assert list(in_order.values_list("pk", flat=True)) == [other, first, second]
    assert Job.objects.filter(pk=second, started_at__gte=in_order[1].finished_at).exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["same", "beside"])
def test_a_dead_familys_job_need_not_wait_for_its_lease(
    tenant: TenantRef, tmp_path: Path, folder: str
) -> None:
    job = submit(tenant, "test.append", steps=3, seconds=1)
    with worker(tmp_path / "same", lease_seconds=600) as first:
        first.working()
        for pid in [*first.family(), first.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert state(job) == "RUNNING"
    with worker(tmp_path / folder, lease_seconds=600):
        eventually(lambda: state(job) == "DONE")
    assert read_effects(tenant, job) == ["step 0", "step 1", "step 2"]


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("victim", range(5))
def test_any_process_of_a_worker_may_be_killed_and_nothing_of_it_lives_on(
    database: None, tmp_path: Path, victim: int
) -> None:
    with worker(tmp_path / "first") as first:
        eventually(lambda: (tmp_path / "first" / "pusher").exists() and len(first.family()) == 5)
        family = first.family()
        os.kill(family[victim], signal.SIGKILL)
        assert first.process.wait(timeout=15) == 70
        eventually(lambda: not any(_lives(pid) for pid in family))


@pytest.mark.slow
def test_nothing_of_a_worker_outlives_main_and_sentinel_dying_at_once(database: None, tmp_path: Path) -> None:
    with worker(tmp_path) as running:
        eventually(lambda: len(running.family()) == 5)
        family = running.family()
        sentinel = int((tmp_path / "sentinel").read_text())
        os.kill(sentinel, signal.SIGSTOP)  # neither sees the other die
        running.process.kill()
        os.kill(sentinel, signal.SIGKILL)
        eventually(lambda: not any(_lives(pid) for pid in family))


@pytest.mark.slow
def test_nothing_of_a_worker_outlives_its_main_process(database: None, tmp_path: Path) -> None:
    with worker(tmp_path) as running:
        eventually(lambda: len(running.family()) == 5)
        family = running.family()
        running.process.kill()
        eventually(lambda: not any(_lives(pid) for pid in family))
