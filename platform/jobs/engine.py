"""The queue library, and the only module (with the worker command) that knows which one it is.

It rings a bell ("there may be work") and keeps a pool of processes that answer it. It never knows which job,
so a lost, doubled or late bell changes nothing but the moment. Another library means another `engine`.
"""

from __future__ import annotations

from typing import Any

from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from core.clock import now as clock
from core.tenancy import in_public
from jobs import heartbeat

BELL = "jobs.doorbell.work"
NO_TIMEOUT = -1  # a merge may take longer than any limit; `heartbeat` notices a hung process


def ring(count: int = 1) -> None:
    """Ring `count` times, in the caller's transaction: a bell that is rolled back never rang."""
    with in_public():
        for _ in range(count):
            async_task(BELL, timeout=NO_TIMEOUT)


def pending() -> int:
    """Return how many bells nobody has answered yet."""
    with in_public():
        return int(OrmQ.objects.filter(lock__lte=clock()).count())


def sync_schedules() -> int:
    """Delete every schedule of the library, and return how many there were.

    A schedule may name any function, so whoever can write one can run any code. Hourly work is kept by
    `doorbell.tick` instead.
    """
    with in_public():
        return int(Schedule.objects.all().delete()[0])


class HeartbeatBroker(ORM):
    """The library's queue in the database, that shows its processes are alive and writes no statistics."""

    def dequeue(self) -> Any:
        heartbeat.beat("pusher")
        return super().dequeue()

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        heartbeat.beat("sentinel")

    def get_stat(self, key: str) -> None:
        return None

    def get_stats(self, pattern: str) -> list[Any]:
        return []


def set_workers(count: int) -> None:
    """Set how many processes answer, before the pool starts."""
    Conf.WORKERS = count
