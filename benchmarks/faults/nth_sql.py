"""The N-th event of a worker's database connections goes wrong: statements, COPY included, commits, connects.

The connections are psycopg2's own with these two classes in between, so that nothing that reaches the server
is missed. What goes wrong is real: the server raises, or its process is ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any

import psycopg2
from psycopg2 import extensions

from core.backend import cursors

# What the server says of a statement it cannot do now; the transaction is aborted as by any error.
# Said by the platform's own role: a tenant's may not run such a block.
REFUSAL = "SET LOCAL ROLE NONE;DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '53200'; END $$"
IS_THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
PATIENCE_SECONDS = 10.0
SAID_BYTES = 160


@dataclass(slots=True)
class Plan:
    """Which event goes wrong and how; `seen` counts in shared memory, so that a child process counts too.

    `kind` is statement, lone (a statement that is a transaction of its own), commit, connect or any; `how` is
    error, before (the connection is lost before it), after (it is done, the answer is lost) or kill.
    """

    sql: Callable[..., list[Any]]
    kind: str = ""
    how: str = ""
    number: int = 0
    is_armed: bool = False
    seen: Any = field(default_factory=lambda: RawValue("l", 0))
    said: Any = field(default_factory=lambda: RawArray("c", SAID_BYTES))

    @property
    def is_hit(self) -> bool:
        return bool(0 < self.number <= self.seen.value)

    @property
    def events(self) -> int:
        return int(self.seen.value)

    @property
    def struck(self) -> str:
        return str(self.said.value.decode(errors="replace"))

    def set(self, kind: str, how: str, number: int) -> None:
        self.kind, self.how, self.number, self.seen.value, self.said.value = kind, how, number, 0, b""

    def next(self, kind: str, what: str) -> str:
        """Count an event and return how it must go wrong, if it must. A kill never returns."""
        if not self.is_armed or (self.kind != "any" and self.kind not in kind):
            return ""
        self.seen.value += 1
        if self.seen.value != self.number:
            return ""
        self.said.value = " ".join(what.split()).encode()[: SAID_BYTES - 1]
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.how

    def end_backend(self, link: extensions.connection) -> None:
        """End the server's side of a connection, and wait until it is gone."""
        pid = link.info.backend_pid
        self.sql("SELECT pg_terminate_backend(%s)", pid)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.sql(IS_THERE, pid)[0][0]:
            assert time.monotonic() < deadline, "the server does not end a connection's process"
            time.sleep(0.001)


class Cursor(cursors.Cursor):
    """Asks the plan before every statement."""

    def execute(self, query: Any, values: Any = None) -> None:
        self._do(str(query), lambda: super(Cursor, self).execute(query, values))

    def executemany(self, query: Any, values: Any) -> None:
        self._do(str(query), lambda: super(Cursor, self).executemany(query, values))

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self._do(str(sql), lambda: super(Cursor, self).copy_expert(sql, file, size))

    def _do(self, what: str, work: Callable[[], None]) -> None:
        link: Any = self.connection
        how = link.plan.next("lone statement" if link.autocommit else "statement", what)
        if how == "error":
            extensions.cursor.execute(self, REFUSAL)
        if how == "before":
            link.plan.end_backend(link)
        work()
        if how == "after":
            link.lose()


class Connection(cursors.Connection):
    """Hands out such cursors, and asks the plan before every commit."""

    plan: Plan

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        return super().cursor(*arguments, **{"cursor_factory": Cursor, **options})

    def commit(self) -> None:
        how = self.plan.next("commit", "COMMIT")
        if how == "before":
            self.plan.end_backend(self)
        super().commit()
        if how == "after":
            self.lose()
        self.plan.next("done", "after COMMIT")

    def lose(self) -> None:
        """Lose the connection as if the last answer had not come."""
        self.plan.end_backend(self)
        with extensions.connection.cursor(self) as cursor:
            cursor.execute("SELECT 1")


def name_of(pid: int) -> str:
    """Return what the connections of a process are called at the server."""
    return f"nth-{pid}"


@contextmanager
def listening(plan: Plan) -> Iterator[None]:
    """Put the plan between this process and its database."""
    from django.db import connections  # noqa: PLC0415 -- after the settings

    from core.backend.base import DatabaseWrapper  # noqa: PLC0415 -- after the settings

    original = DatabaseWrapper.get_new_connection

    def get_new_connection(self: Any, parameters: dict[str, Any]) -> Any:
        if plan.next("connect", "connect"):
            raise psycopg2.OperationalError("planted: the server does not accept connections")
        own = {"connection_factory": Connection, "application_name": name_of(os.getpid())}
        return original(self, {**parameters, **own})

    connections.close_all()
    Connection.plan = plan
    DatabaseWrapper.get_new_connection = get_new_connection  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        connections.close_all()
        DatabaseWrapper.get_new_connection = original  # type: ignore[method-assign]
