"""A process that works until it kills itself at the N-th event, forked from one that never worked.

The harness cannot fork itself: the reader of CSV files keeps threads, which a fork leaves behind with whatever
they had locked. Python's fork server imports this module once and forks from there.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

if TYPE_CHECKING:
    from benchmarks.faults.ground import Ground
    from benchmarks.faults.nth_sql import Plan

if not apps.ready:
    django.setup()

from django.db import DatabaseError, InterfaceError, connections
from django.test.utils import override_settings

from benchmarks.faults import nth_sql
from core.tenancy import connection, in_public, leave_tenant, tenant_or_none
from jobs import doorbell

KEPT_FILES = 3  # of a dataset: each export also prunes
KEEPING = {"ROWHOUSE_EXPORT_KEEP_COUNT": KEPT_FILES, "ROWHOUSE_EXPORT_KEEP_DAYS": 0}
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
PATIENCE_SECONDS = 10.0
FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker does: tick at a moment, if one is given, and answer the bell until nothing waits."""

    due: datetime | None = None

    def do(self) -> None:
        """Work as a worker's process does, which outlives the loss of its database and goes on elsewhere."""
        try:
            if self.due is not None:
                with in_public():
                    doorbell.tick(self.due)
            doorbell.work()
        except (DatabaseError, InterfaceError):
            connection.close()
        where = (tenant_or_none(), connection.schema_name)
        leave_tenant()
        if where != (None, "public"):
            raise AssertionError(f"the worker was left inside a tenant: {where}")


def killed(ground: Ground, plan: Plan, work: Work) -> bool:
    """Work in a process of its own and return whether it was killed; the server has let go of it then."""
    FORKS.set_forkserver_preload([__name__])
    values = (plan.kind, plan.how, plan.number, plan.seen, plan.said)
    child = FORKS.Process(target=_work, args=(work, *values))
    child.start()
    child.join()
    if child.exitcode not in (0, -9):
        raise AssertionError(f"the child process broke off with {child.exitcode}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ground.sql(CONNECTED, nth_sql.name_of(child.pid or 0))[0][0]:
        assert time.monotonic() < deadline, "the server keeps the connection of a dead process"
        time.sleep(0.005)
    return child.exitcode != 0


def _work(work: Work, kind: str, how: str, number: int, seen: Any, said: Any) -> None:
    plan = nth_sql.Plan(_no_sql, kind, how, number, is_armed=True, seen=seen, said=said)
    with override_settings(**KEEPING), nth_sql.listening(plan):
        work.do()
    connections.close_all()
    sys.stderr.flush()
    os._exit(0)


def _no_sql(statement: str, *values: object) -> list[Any]:
    raise AssertionError("a process that is killed ends nobody's connection")
