"""Handlers of the harness's own kinds. Their effects are rows that nothing but the fence keeps single."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, ClassVar, cast

from django.db import connection

from core.errors import RowhouseError
from core.tenancy import tenant_or_none
from jobs.kinds import Ended, Slice, Step

# No unique constraint: a slice that is applied twice leaves two rows.
TABLES = (
    "CREATE TABLE IF NOT EXISTS ledger (job bigint NOT NULL, step int NOT NULL, tenant text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS endings (job bigint NOT NULL, outcome text NOT NULL, code text NOT NULL)",
)


class Refused(RowhouseError):
    """What a handler says that cannot do its job."""

    code: ClassVar[str] = "refused"


def make_tables() -> None:
    """Make the tables of effects in the current tenant."""
    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def ledger(work: Slice) -> Step:
    """Write one row per slice; the payload is {"steps", "seconds"}: how many, and how long each sleeps.

    Every seventh slice sleeps longer than a short lease when the payload says {"slow": seconds}.
    """
    tenant = tenant_or_none()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger (job, step, tenant) VALUES (%s, %s, %s)",
            [work.job_id, work.step, tenant.slug if tenant else ""],
        )
    slow = work.payload.get("slow", 0) if (work.job_id + work.step) % 7 == 0 else 0
    time.sleep(slow or work.payload.get("seconds", 0))
    steps = int(work.payload.get("steps", 1))
    return Step(done=work.step + 1 >= steps, cursor={"n": work.step + 1}, processed=1, total=steps)


def suicide(work: Slice) -> Step:
    """Kill the worker each time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Step(done=True)


def unpicklable(work: Slice) -> Step:
    """Return something that is no Step and cannot be pickled."""
    return cast("Step", lambda: work)


def badcursor(work: Slice) -> Step:
    """Return a cursor that is no JSON."""
    cursor: dict[str, Any] = {"x": object()}
    return Step(done=False, cursor=cursor)


def refuse(work: Slice) -> Step:
    """Refuse, after an effect that must not stay."""
    ledger(work)
    raise Refused("This cannot be done; do something else.")


def ended(work: Ended) -> None:
    """Note an end that was no success, in the transaction that ends the job."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO endings (job, outcome, code) VALUES (%s, %s, %s)",
            [work.job_id, work.outcome, work.code],
        )
