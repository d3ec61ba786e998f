"""Running one job here and now, for a person at a terminal who waits for it and may change their mind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGINT, set_wakeup_fd
from socket import socket, socketpair
from threading import Event, Thread, current_thread, main_thread
from time import monotonic, sleep
from typing import TextIO

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from core.clock import database_now
from core.errors import RowhouseError
from jobs import claim, ending, looking, runner
from jobs.ending import NOT_YET
from jobs.looking import JobStatus
from jobs.models import Job, JobQuerySet

WAIT_SECONDS = 0.2
AWAY_SECONDS = 60.0  # how long a database may be away, as it is while it restarts
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended
AFTER_INTERRUPTION = (
    "Interrupted. The job waits for a worker, which goes on with it; cancel it if it must not."
)

Tell = Callable[[JobStatus], None]


class TenantPaused(RowhouseError):
    """The tenant's work is paused, so none of it may run in the foreground either."""

    code = "tenant-paused"


class DatabaseAway(RowhouseError):
    """The database was gone for longer than a restart takes."""

    code = "database-away"
    status = 503


def run_until_done(job_id: int, *, on_progress: Tell | None = None) -> Job:
    """Run this very job here, slice by slice, to its end; while a worker has it, wait for that worker.

    Must be called outside any transaction. A step that failed is tried again without its rest. Whoever takes
    the job over meanwhile has it, and is waited for. Interrupted, the job is given back: a worker goes on.

    :raises JobNotFound: there is none here, or it was deleted meanwhile.
    :raises TenantPaused: the tenant's work is paused.
    :raises DatabaseAway: the database did not come back.
    """
    lost_at: float | None = None
    with looking.own_jobs() as jobs, _stoppable() as interrupted:
        while True:
            try:
                ended = _turn(jobs, job_id, on_progress, interrupted)
                lost_at = None
            except (OperationalError, InterfaceError) as error:
                lost_at = lost_at or monotonic()
                _await_database(job_id, lost_at, error)
                continue
            if ended is not None:
                return ended


def _turn(jobs: JobQuerySet, job_id: int, on_progress: Tell | None, interrupted: Event) -> Job | None:
    """Run one slice or wait a little; return the job once it has ended."""
    job = looking.one(jobs, job_id)
    if job.has_ended:
        return job
    # A step that failed is tried again at once, for a person waits; one that cannot begin yet is not.
    must_wait = job.error_code == NOT_YET and not job.cancel_requested and job.not_before > database_now()
    claimed = None if must_wait else claim.claim_one(job_id)
    if claimed is not None:
        _run(claimed, interrupted)
    status = looking.status(job_id)
    if on_progress is not None:
        on_progress(status)
    if claimed is None and not status.has_ended:
        if status.is_paused:
            raise TenantPaused(
                "Background work of this tenant is paused; an operator can resume it. "
                f"Job {job_id} waits until then, or until it is cancelled."
            )
        sleep(WAIT_SECONDS)
    return None


def _run(job: Job, interrupted: Event) -> None:
    try:
        runner.run_slice(job)
    except Exception:  # Ctrl-C stops the statement, and the statement says so by an error of the database
        if not interrupted.is_set():
            raise
    except BaseException:  # noqa: BLE001 -- raised again below, when the job has been given back
        interrupted.set()
    if interrupted.is_set():
        _give_back(job)
        raise KeyboardInterrupt


def _give_back(job: Job) -> None:
    # The interruption may come where the runner does not look for one, and the order to stop its statement so
    # late that it stops this one. Given back twice is no harm.
    for _ in range(3):
        try:
            ending.give_back(job)
        except (OperationalError, InterfaceError):
            continue
        return


def _await_database(job_id: int, lost_at: float, error: Exception) -> None:
    if connection.in_atomic_block:
        raise error
    if monotonic() - lost_at > AWAY_SECONDS:
        raise DatabaseAway(
            f"The database does not answer. Job {job_id} is kept: a worker goes on with it as soon as it does."
        ) from error
    connection.close()
    sleep(1)


# ---- Ctrl-C


@contextmanager
def _stoppable() -> Iterator[Event]:
    """Let Ctrl-C stop a running statement: Python itself hears of it only when the statement has ended.

    Yields what is set when it came.
    """
    interrupted = Event()
    if current_thread() is not main_thread():
        yield interrupted
        return
    inner, outer = socketpair()
    outer.setblocking(False)
    before = set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
    database = connections[DEFAULT_DB_ALIAS]
    listener = Thread(target=_stop_statement, args=(inner, database, interrupted), daemon=True)
    listener.start()
    try:
        yield interrupted
    finally:
        set_wakeup_fd(before)
        outer.close()
        listener.join()
        inner.close()


def _stop_statement(signals: socket, database: BaseDatabaseWrapper, interrupted: Event) -> None:
    while numbers := signals.recv(64):
        if SIGINT not in numbers:
            continue
        interrupted.set()
        working = database.connection
        if working is not None and not working.closed:
            working.cancel()  # psycopg2 allows it from any thread


# ---- progress


@contextmanager
def progress_shown(stream: TextIO | None = None) -> Iterator[Tell]:
    """Give a function that shows progress in one line of stderr, if that is a terminal; the line goes at the end.

    Ctrl-C inside the block says what becomes of the job and ends the command.
    """
    line = _Line(stream or sys.stderr)
    try:
        yield lambda status: line.show(words(status))
    except KeyboardInterrupt:
        line.show("")
        line.stream.write(f"{AFTER_INTERRUPTION}\n")
        raise SystemExit(INTERRUPTED) from None
    finally:
        line.show("")


@dataclass(slots=True)
class _Line:
    """One line of a terminal, written over and over; of anything else, nothing."""

    stream: TextIO
    width: int = 0

    def show(self, text: str) -> None:
        if not self.stream.isatty() or not (text or self.width):
            return
        self.stream.write(f"\r{text.ljust(self.width)}" + ("" if text else "\r"))
        self.stream.flush()
        self.width = len(text)


def words(status: JobStatus) -> str:
    """Return how far a job is, for one line.

    >>> words(JobStatus(1, "k", "RUNNING", 1200, 5000, "", "", 600.0, 6.3, False))
    '1,200 of about 5,000 rows, 600 rows/s, 7 s left'
    >>> words(JobStatus(1, "k", "QUEUED", 0, None, "", "", None, None, False))
    'waiting'
    """
    if not status.processed:
        return "working" if status.state == "RUNNING" else "waiting"
    of = f" of about {status.total:,}" if status.total else ""
    rate = f", {status.rows_per_second:,.0f} rows/s" if status.rows_per_second else ""
    left = f", {_duration(status.seconds_left)} left" if status.seconds_left else ""
    return f"{status.processed:,}{of} rows{rate}{left}"


def _duration(seconds: float) -> str:
    whole = int(seconds) + 1
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"
