"""The acts that go wrong, once for each job; whichever task comes next gets the connection they leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from random import Random
from time import sleep

from django.db import connection, transaction

from benchmarks.faults.isolation_acts import ACTS, EFFECT, READ, Act, OnPurpose, Task, many, raw, rude
from core.tenancy import in_public
from jobs.models import Job


def fails(task: Task, act: int) -> None:
    many(task, act)
    raise OnPurpose


def fails_in_savepoint(task: Task, act: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(EFFECT, *task.effect(act))
        cursor.execute("SELECT 1 / (id - id) FROM isolation_rows")


def fails_in_public(task: Task, act: int) -> None:
    with in_public():
        list(Job.objects.filter(pk=task.job))
        raise OnPurpose


def fails_with_cursor(task: Task, act: int) -> None:
    with connection.chunked_cursor() as cursor:
        cursor.execute(READ)
        cursor.fetchmany(3)
        raise OnPurpose


def fails_untidily(task: Task, act: int) -> None:
    """Leave a savepoint nobody knows of, a path of its own and a transaction that has failed."""
    rude("SAVEPOINT mine")
    rude("SET LOCAL search_path = pg_catalog")
    rude("SET LOCAL statement_timeout = 'nonsense'")


def timed_out(task: Task, act: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '5ms'")
        cursor.execute("SELECT tenant, pg_sleep(1) FROM isolation_rows")


def unchecked(task: Task, act: int) -> None:
    """Fail when the transaction commits: the row it speaks of does not exist."""
    with connection.cursor() as cursor:
        cursor.execute(EFFECT, [task.job, act, task.tenant, -1])


def terminated(task: Task, act: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def closed(task: Task, act: int) -> None:
    connection.close()
    raw(task, act)


def killed(task: Task, act: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    sleep(60)


# What happens once; the next attempt does `raw` instead.
FAULTS: dict[str, Act] = {
    act.__name__: act
    for act in (
        fails, fails_in_savepoint, fails_in_public, fails_with_cursor, fails_untidily, timed_out, unchecked,
        terminated, closed, killed,
    )
}  # fmt: skip


def perform(task: Task, name: str, act: int) -> None:
    """Do one act of a task."""
    if name in FAULTS:
        if task.is_first(act):
            FAULTS[name](task, act)
        else:
            raw(task, act)
    else:
        ACTS[name][0](task, act)


def effects_of(names: Iterable[str]) -> int:
    """Return how many effects a task of these acts leaves."""
    return sum(1 if name in FAULTS else ACTS[name][1] for name in names)


def random_acts(dice: Random, *, faults: float) -> list[str]:
    """Return what a task shall do; with this probability, something that fails as well."""
    names = dice.choices(list(ACTS), weights=[3 if name in ("raw", "orm") else 1 for name in ACTS], k=2)
    if dice.random() < faults:
        names.insert(dice.randint(0, 2), dice.choice(list(FAULTS)))
    return names
