"""Keeping a lease during one long statement, from a connection and a thread of its own.

The statement blocks its own connection, so nobody there could renew the lease or hear of a cancel. If the
lease is lost anyway (the machine slept), the statement is stopped, and the fence refuses its commit. A worker
that was told to end lets the statement go on for a while, then stops it and gives the job back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic
from typing import Any

import psycopg2
from django.db import connection

from core.backend.cursors import Statements
from core.backend.passwords import connect_aside
from jobs import heartbeat
from jobs.kinds import Tell
from jobs.limits import IDLE_SECONDS, STATEMENT_SECONDS, lease_seconds, leave_seconds, max_busy_seconds
from jobs.models import Job

logger = logging.getLogger(__name__)

RENEW = """
UPDATE public.jobs_job SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
       processed = greatest(processed, %(processed)s), total = coalesce(%(total)s, total)
 WHERE id = %(id)s AND lease = %(lease)s AND state = 'RUNNING' RETURNING cancel_requested"""
LOOK_SECONDS = 0.25
HELD_BY_OTHER = "SELECT lease IS DISTINCT FROM %(lease)s FROM public.jobs_job WHERE id = %(id)s"


class Renewal(Thread):
    """Renews one lease until told to stop; stops the main connection's statement when it must not go on."""

    def __init__(self, job: Job, working: Any) -> None:
        super().__init__(name=f"lease-{job.pk}", daemon=True)
        self.values = {"id": job.pk, "lease": str(job.lease), "seconds": lease_seconds()}
        self.told: tuple[int, int | None] = (0, None)
        self.seconds_left = max_busy_seconds() - job.busy_seconds
        self.working = working  # psycopg2's cancel() may be called from any thread
        self.parameters = connection.get_connection_params()
        self.over = Event()
        self.has_left = False

    def run(self) -> None:
        pause = min(lease_seconds() / 6, 5.0)
        renewed = monotonic()
        aside = None
        while not self.over.wait(min(pause, LOOK_SECONDS)):
            if heartbeat.leaving_seconds() > leave_seconds():
                self.has_left = True
                self.stop()
            if monotonic() - renewed < pause:
                continue
            self.seconds_left -= monotonic() - renewed
            renewed = monotonic()
            try:
                if aside is None:
                    aside = _connect(self.parameters)
                self.renew(aside)
            except psycopg2.Error:
                logger.warning("A lease could not be renewed and is tried again", exc_info=True)
                aside = None
        if aside is not None:
            aside.close()

    def tell(self, processed: int, total: int | None = None) -> None:
        """Note how far the work is; people see it with the next renewal, a few seconds later at most."""
        self.told = (processed, total)

    def stop(self) -> None:
        """Stop the statement; the next look stops the one after it."""
        if not self.over.is_set():
            with suppress(psycopg2.Error):  # its connection is gone, and the statement with it
                self.working.cancel()

    def renew(self, aside: Any) -> None:
        """Renew once, or stop the statement: cancelled, taken over, or out of time."""
        with aside.cursor() as cursor:
            processed, total = self.told
            cursor.execute(RENEW, {**self.values, "processed": processed, "total": total})
            renewed = cursor.fetchone()
            if renewed is None:
                cursor.execute(HELD_BY_OTHER, self.values)
                held = cursor.fetchone()
                must_stop = bool(held and held[0])  # no row at all: the caller's own transaction made the job
            else:
                must_stop = bool(renewed[0])
        if must_stop or self.seconds_left <= 0:
            self.stop()
            return
        heartbeat.begin_slice()


def _connect(parameters: dict[str, Any]) -> Any:
    aside = connect_aside({**parameters, "connect_timeout": 5})
    aside.autocommit = True
    return aside


class Left(Exception):
    """The worker had to leave; the job is another's, as if this slice had never begun."""


@contextmanager
def kept(job: Job) -> Iterator[Tell]:
    """Lift the time limits of the current transaction and keep the job's lease until the block ends.

    The block is given a function that tells how far it is.

    :raises Left: the block was stopped because the worker has to end.
    """
    renewal = Renewal(job, connection.connection)
    _limit(0, 0)
    renewal.start()
    try:
        yield renewal.tell
    except Exception as error:
        if renewal.has_left:
            raise Left from error
        raise
    finally:
        renewal.over.set()
        renewal.join()
    _limit(STATEMENT_SECONDS, IDLE_SECONDS)


def _limit(statement_seconds: int, idle_seconds: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            Statements(
                f"SET LOCAL statement_timeout = '{statement_seconds}s'; "
                f"SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds}s'"
            )
        )
