"""What a worker costs that has nothing to do, and how fast it is at jobs that do nothing."""

from __future__ import annotations

import re
import time
from collections import Counter

from django.db import connections

from benchmarks.jobs_apps import NOTHING
from benchmarks.jobs_ground import Ground, until
from core.tenancy import TenantRef, in_tenant
from jobs import services
from jobs.models import Job, State

COUNTS = """
SELECT xact_commit, sessions, extract(epoch FROM clock_timestamp())
  FROM pg_stat_database WHERE datname = 'rowhouse'"""
LOGGED = re.compile(r"^\d+\| LOG:  statement:\s+(.*)$", re.MULTILINE)
WATCHED_SECONDS = 10
FRUGAL = 2.5  # commits a second that need no list


def idle(ground: Ground, *, seconds: float) -> dict[str, float]:
    """Measure commits and sessions of a worker that rests. If it commits often, its statements are printed."""
    connections.close_all()
    with ground.worker():
        time.sleep(12)  # it starts, and the server's counts are up to ten seconds old
        before = _counts(ground)
        time.sleep(seconds)
        after = _counts(ground)
        commits, sessions, span = (then - now for then, now in zip(after, before, strict=True))
        if commits / span > FRUGAL:
            _print_statements(ground)
    return {
        "idle_commits_per_second": round(commits / span, 2),
        "idle_sessions_per_minute": round(60 * sessions / span, 1),
    }


def _counts(ground: Ground) -> tuple[float, float, float]:
    commits, sessions, seconds = ground.operator(COUNTS)[0]
    return float(commits), float(sessions), float(seconds)


def _print_statements(ground: Ground) -> None:
    ground.operator("ALTER SYSTEM SET log_line_prefix = '%p| '")
    ground.operator("ALTER SYSTEM SET log_statement = 'all'")
    ground.operator("SELECT pg_reload_conf()")
    begin = ground.server.log.stat().st_size
    time.sleep(WATCHED_SECONDS)
    for name in ("log_statement", "log_line_prefix"):
        ground.operator(f"ALTER SYSTEM RESET {name}")
    ground.operator("SELECT pg_reload_conf()")
    with ground.server.log.open(errors="replace") as log:
        log.seek(begin)
        said = Counter(found[:90] for found in LOGGED.findall(log.read()))
    print(f"statements a second of an idle worker, as the server logs them in {WATCHED_SECONDS} s:")
    for statement, count in said.most_common(12):
        print(f"{count / WATCHED_SECONDS:8.1f}  {statement}")


def throughput(ground: Ground, tenants: list[TenantRef], *, jobs: int) -> dict[str, float]:
    """Submit jobs that do nothing, each in a transaction of its own, and have one worker do them."""
    started = time.perf_counter()
    for number in range(jobs):
        with in_tenant(tenants[number % len(tenants)]):
            services.submit(NOTHING, target=f"nothing {number}", payload={})
    submitting = time.perf_counter() - started
    ours = Job.objects.filter(kind=NOTHING, target__startswith="nothing ")
    with ground.worker():
        until(lambda: not ours.active().exists(), "the jobs that do nothing", pause=0.5)
    done = ours.filter(state=State.DONE)
    assert done.count() == jobs
    first, last = done.earliest("started_at").started_at, done.latest("finished_at").finished_at
    assert first and last
    return {
        "submitted_per_second": round(jobs / submitting),
        "empty_jobs_per_second": round(jobs / (last - first).total_seconds()),
    }
