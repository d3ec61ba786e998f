"""What a random task does: every way this product talks to its database, and every way that can go wrong half-way.

Each act knows the tenant from the job's payload, written by whoever submitted it, and holds whatever it reads
against that. An act that fails does so once for each job, and leaves its transaction as untidy as it can.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction

from accounts.models import User
from audit.models import Event
from audit.services import record
from core.backend.cursors import Statements
from core.tenancy import bind_connection
from datasets.models import Dataset
from jobs import services as jobs
from jobs.kinds import Slice

ROWS = 40
SECOND = "isolation_second"
TABLES = Statements(f"""
CREATE TABLE isolation_rows (id bigint PRIMARY KEY, tenant text NOT NULL);
INSERT INTO isolation_rows SELECT id, %(tenant)s FROM generate_series(1, {ROWS}) id;
CREATE TABLE isolation_effects (
  job bigint NOT NULL, act int NOT NULL, tenant text NOT NULL,
  "row" bigint NOT NULL REFERENCES isolation_rows DEFERRABLE INITIALLY DEFERRED)""")
READ = "SELECT id, tenant FROM isolation_rows ORDER BY id"
EFFECT = 'INSERT INTO isolation_effects (job, act, tenant, "row") VALUES (%s, %s, %s, %s)'
EVENT = "isolation.task.ran"


class ForeignRow(Exception):
    """A task was given another tenant's row, or none at all."""


class OnPurpose(Exception):
    """A handler that failed half-way."""


@dataclass(slots=True)
class Task:
    """One task at work. `folder` remembers which failures have happened already, whatever was rolled back."""

    work: Slice
    tenant: str
    dice: Random
    folder: Path

    @property
    def job(self) -> int:
        return self.work.job_id

    def effect(self, act: int, count: int = 1) -> list[tuple[int, int, str, int]]:
        return [(self.job, act, self.tenant, self.dice.randint(1, ROWS)) for _ in range(count)]

    def is_first(self, act: int) -> bool:
        """Return whether this act of the job has not failed yet, and remember that it will."""
        try:
            (self.folder / f"{self.job}-{act}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def check(self, rows: Iterable[tuple[Any, ...]], at: int = 1, count: int | None = None) -> None:
        """Hold rows against the tenant.

        :raises ForeignRow: one is another's, or there are not as many as there must be.
        """
        found = [row[at] for row in rows]
        if any(tenant != self.tenant for tenant in found) or (count is not None and len(found) != count):
            raise ForeignRow(f"job {self.job} of {self.tenant} read {sorted(set(found))}, {len(found)} rows")


def orm(task: Task, act: int) -> None:
    dataset = Dataset.objects.get(slug="orders")
    User.objects.get(email=f"owner@{task.tenant}.example")
    record(EVENT, target=dataset, tenant=task.tenant, job=task.job)
    last = Event.objects.filter(name=EVENT).order_by("-pk").values_list("pk", "data__tenant")
    task.check(last[:5])


def raw(task: Task, act: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, tenant FROM isolation_rows WHERE id = %s", [task.dice.randint(1, ROWS)])
        task.check(cursor.fetchall(), count=1)
        cursor.execute(EFFECT, *task.effect(act))


def many(task: Task, act: int) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(EFFECT, task.effect(act, 3))


def copy_in(task: Task, act: int) -> None:
    lines = "".join("\t".join(map(str, row)) + "\n" for row in task.effect(act, 5))
    with connection.cursor() as cursor:
        cursor.copy_expert('COPY isolation_effects (job, act, tenant, "row") FROM STDIN', io.StringIO(lines))


def copy_out(task: Task, act: int) -> None:
    for source in ("isolation_rows", "(SELECT id, tenant FROM isolation_rows WHERE id > 3)"):
        out = io.StringIO()
        with connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {source} TO STDOUT", out)
        task.check(tuple(line.split("\t")) for line in out.getvalue().splitlines())


def server_side_cursor(task: Task, act: int) -> None:
    with connection.chunked_cursor() as cursor:
        cursor.execute(READ)
        rows = cursor.fetchmany(7)
        jobs.status(task.job)  # into public and back, while the cursor is open
        rows += cursor.fetchall()
    task.check(rows, count=ROWS)


def savepoint(task: Task, act: int) -> None:
    try:
        with transaction.atomic():
            many(task, act)
            raise OnPurpose
    except OnPurpose:
        raw(task, act)


def public(task: Task, act: int) -> None:
    target = f"child of {task.job} by {act}"
    payload = {"tenant": task.tenant, "acts": ["raw"], "seed": task.job}
    child = jobs.submit("isolation.task", target=target, payload=payload, idem_key=target)
    jobs.status(child.pk)
    jobs.is_active("isolation.task", target)
    raw(task, act)


@contextmanager
def second_connection(*, is_bound: bool = True) -> Iterator[Any]:
    """Open one beside the default, in the tenant unless somebody forgets to bind it."""
    other = connections[DEFAULT_DB_ALIAS].copy(SECOND)
    if is_bound:
        bind_connection(other)
    connections[SECOND] = other
    try:
        yield other
    finally:
        del connections[SECOND]
        other.close()


def second(task: Task, act: int) -> None:
    with second_connection() as other, other.cursor() as cursor:
        cursor.execute(READ)
        task.check(cursor.fetchall(), count=ROWS)
        # Nothing marks this one: it belongs to whom the session has served so far.
        cursor.copy_expert("COPY isolation_rows TO STDOUT", io.StringIO())


def long(task: Task, act: int) -> None:
    with task.work.long_statement(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(tenant), pg_sleep(%s) FROM isolation_rows", [task.dice.choice([0.0, 0.01, 0.02, 0.4])]
        )
        task.check(cursor.fetchall(), at=0, count=1)


def timeout(task: Task, act: int) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '5ms'")
            cursor.execute("SELECT tenant, pg_sleep(1) FROM isolation_rows")
    except DatabaseError:
        raw(task, act)


def tracked(task: Task, act: int) -> None:
    """Write a record, whose history a trigger of `public` writes."""
    table = f"ds_{Dataset.objects.get(slug='orders').pk}"
    number = -(task.job * 10 + act)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} (c1, c2, c3) VALUES (%s, %s, 1)", [number, task.tenant])
        cursor.execute(f"UPDATE {table} SET c3 = 2 WHERE c1 = %s", [number])


def dirty_path(task: Task, act: int) -> None:
    """Leave a path behind that Django knows nothing of."""
    rude("SET search_path = pg_catalog")
    raw(task, act)


def rude(statement: str) -> None:
    """Run a statement behind Django's back."""
    with connection.connection.cursor() as cursor:
        cursor.execute(statement)


Act = Callable[[Task, int], None]
# By name, with the number of effects that stay.
ACTS: dict[str, tuple[Act, int]] = {
    "orm": (orm, 0),
    "raw": (raw, 1),
    "many": (many, 3),
    "copy_in": (copy_in, 5),
    "copy_out": (copy_out, 0),
    "cursor": (server_side_cursor, 0),
    "savepoint": (savepoint, 1),
    "public": (public, 1),
    "second": (second, 0),
    "long": (long, 0),
    "timeout": (timeout, 1),
    "tracked": (tracked, 0),
    "dirty_path": (dirty_path, 1),
}
