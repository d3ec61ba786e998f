"""The queue library, and the only module (with the worker command) that knows which one it is.

It rings a bell ("there may be work") and keeps a pool of processes that answer it. It never knows which job,
so a lost, doubled or late bell changes nothing but the moment. Another library means another `engine`.

A bell is a row of the library's queue, and its row alone: what it holds is never read. The library runs
whatever function a signed pickle names; here the package is made by the worker itself, so that neither a
row somebody wrote nor one of an earlier release or secret can run anything or kill the process that reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import sleep
from typing import Any
from uuid import uuid4

import psycopg2
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import Schedule, Task
from django_q.signing import SignedPackage

from core.clock import now as clock
from core.tenancy import in_public
from jobs import heartbeat, immediate

logger = logging.getLogger(__name__)

BELL = "jobs.doorbell.work"
NO_TIMEOUT = -1  # a merge may take longer than any limit; `heartbeat` notices a hung process
BUSY_PAUSE_SECONDS = 0.1

RING = """
INSERT INTO public.django_q_ormq (key, payload, "lock")
SELECT %s, 'bell', statement_timestamp() FROM generate_series(1, %s)"""
PENDING = "SELECT count(*) FROM (SELECT 1 FROM public.django_q_ormq LIMIT 1000) bells"
# Nobody waits for a merge's flood of WAL because of a bell; one that a crash of the database brings back is no harm.
TAKE = """SET LOCAL synchronous_commit = off;
DELETE FROM public.django_q_ormq WHERE id = (
  SELECT id FROM public.django_q_ormq LIMIT 1 FOR UPDATE SKIP LOCKED)"""

HUSH = """SET LOCAL synchronous_commit = off;
DELETE FROM public.django_q_ormq WHERE id IN (
  SELECT id FROM public.django_q_ormq WHERE id = ANY (%s) FOR UPDATE SKIP LOCKED)"""


def ring(count: int = 1) -> None:
    """Ring `count` times, in the caller's transaction: a bell that is rolled back never rang."""
    if is_immediate():
        immediate.ring(count)
    elif count > 0:
        with connection.cursor() as cursor:
            cursor.execute(RING, [Conf.CLUSTER_NAME, count])


def pending() -> int:
    """Return how many bells nobody has answered yet, counting no further than 1,000."""
    if is_immediate():
        return immediate.pending()
    with connection.cursor() as cursor:
        cursor.execute(PENDING)
        return int(cursor.fetchone()[0])


def bells() -> list[int]:
    """Return the bells that can be heard now, no more than 1,000 of them."""
    if is_immediate():
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM public.django_q_ormq LIMIT 1000")
        return [number for (number,) in cursor.fetchall()]


def hush(heard: Sequence[int]) -> None:
    """Forget these bells: somebody looked after they rang, and there is nothing to do.

    By their numbers, each: one with a lower number may ring later, when its transaction commits.
    """
    with connection.cursor() as cursor:
        cursor.execute(HUSH, [list(heard)])


def is_immediate() -> bool:
    """Return whether bells are answered by whoever rings them, and no worker is needed."""
    return bool(settings.ROWHOUSE_JOB_ENGINE == "immediate")


def sync_schedules() -> int:
    """Delete every schedule of the library, and return how many there were.

    A schedule may name any function, so whoever can write one can run any code. Hourly work is kept by
    `doorbell.tick` instead.
    """
    with in_public():
        return int(Schedule.objects.all().delete()[0])


def forget_results() -> int:
    """Delete what the library noted about bells that failed, and return how many notes that were."""
    with in_public():
        return int(Task.objects.all().delete()[0])


class Bells(ORM):
    """The library's queue in the database, by the database's clock, one statement a look.

    It shows that its processes are alive, writes no statistics, and takes no bell while nobody is free to
    answer it: one that lies in a busy pod would be one less for the others.
    """

    def enqueue(self, task: Any) -> None:
        # The library's own way in names a function to run; whoever takes it by mistake hears of it.
        raise NotImplementedError("bells are rung by ring()")

    def dequeue(self) -> list[tuple[int, str]] | None:
        heartbeat.beat("pusher")
        if heartbeat.is_draining() or heartbeat.busy_processes() >= Conf.WORKERS:
            sleep(BUSY_PAUSE_SECONDS)
            return None
        try:
            is_rung = self._take()
        except (DatabaseError, InterfaceError, psycopg2.Error):
            logger.warning("The database did not answer the look for bells; it is asked again", exc_info=True)
            connection.close()
            is_rung = False
        if is_rung:
            return [(0, package())]
        sleep(Conf.POLL)
        return None

    def _take(self) -> bool:
        connection.ensure_connection()
        # The driver's own cursor: the backend's would say first which schema is meant, each second, for nothing.
        with connection.connection.cursor() as cursor:
            cursor.execute(TAKE)
            return bool(cursor.rowcount)

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        heartbeat.beat("sentinel")

    def get_stat(self, key: str) -> None:
        return None

    def get_stats(self, pattern: str) -> list[Any]:
        return []


def package() -> str:
    """Return what the library's processes hand to each other for one bell."""
    return str(
        SignedPackage.dumps(
            {
                "id": uuid4().hex,
                "name": "bell",
                "func": BELL,
                "args": (),
                "kwargs": {},
                "timeout": NO_TIMEOUT,
                "ack_failure": True,
                "started": clock(),
            }
        )
    )


def workers() -> int:
    """Return how many processes answer bells."""
    return int(Conf.WORKERS)


def set_workers(count: int) -> None:
    """Set how many processes answer, before the pool starts."""
    Conf.WORKERS = count
