"""What the database knows of workers: each says now and then that it is alive, and how far its clock is off."""

from __future__ import annotations

from django.db import connection

from core.clock import now
from jobs import engine, heartbeat

ALIVE_SECONDS = 60  # a tick comes every five seconds; one may be late while the database restarts
FORGOTTEN_DAYS = 1

# Nobody waits for the disk because of it. The clock's figure holds the way there, some milliseconds.
SIGN = """SET LOCAL synchronous_commit = off;
INSERT INTO jobs_workersign (family, processes, started_at, seen_at, clock_skew_seconds)
VALUES (%(family)s, %(processes)s, statement_timestamp(), statement_timestamp(),
        extract(epoch FROM %(now)s::timestamptz - clock_timestamp()))
    ON CONFLICT (family) DO UPDATE SET processes = EXCLUDED.processes, seen_at = EXCLUDED.seen_at,
       clock_skew_seconds = EXCLUDED.clock_skew_seconds"""
TAKE_BACK = "DELETE FROM jobs_workersign WHERE family = %s"
FORGET = (
    f"DELETE FROM jobs_workersign WHERE seen_at < statement_timestamp() - interval '{FORGOTTEN_DAYS} day'"
)


def sign() -> None:
    """Say that this worker is alive. Must run in `public`; outside of workers it does nothing."""
    if not heartbeat.family():
        return
    with connection.cursor() as cursor:
        cursor.execute(
            SIGN, {"family": heartbeat.family(), "processes": engine.workers(), "now": now()}
        )  # fmt: skip


def take_back(family: str) -> None:
    """Say that a worker has left. Must run in `public`."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_BACK, [family])


def forget() -> None:
    """Forget the workers that said nothing for a day. Must run in `public`."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET)
