"""Handlers of the kinds that exist in tests alone (`apps`). Their effects are rows of the table `effects`."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

from django.db import connection

from core.errors import RowhouseError
from core.tenancy import in_public, tenant_or_none
from jobs.kinds import Ended, Slice, Step
from jobs.models import Job


class Refused(RowhouseError):
    code: ClassVar[str] = "refused"


def _effect(job_id: int, what: str) -> None:
    tenant = tenant_or_none()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO effects (job, what, tenant) VALUES (%s, %s, %s)",
            [job_id, what, tenant.slug if tenant else ""],
        )


def append(work: Slice) -> Step:
    """Write one row per slice, `steps` slices of `seconds` each."""
    n = work.cursor.get("n", 0)
    _effect(work.job_id, f"step {n}")
    time.sleep(work.payload.get("seconds", 0))
    steps = work.payload.get("steps", 1)
    return Step(done=n + 1 == steps, cursor={"n": n + 1}, processed=1, total=steps)


def stumble(work: Slice) -> Step:
    """Die once between the effect and the commit; the file `mark` remembers it."""
    mark = Path(work.payload["mark"])
    _effect(work.job_id, "effect")
    if not mark.exists():
        mark.touch()
        raise ValueError("died between effect and commit")
    return Step(done=True, processed=1)


def refuse(work: Slice) -> Step:
    _effect(work.job_id, "effect")
    raise Refused("This cannot be done; do something else.")


def explode(work: Slice) -> Step:
    _effect(work.job_id, "effect")
    raise ValueError("a secret of the tenant")


def robbed(work: Slice) -> Step:
    """Lose the lease while working."""
    _effect(work.job_id, "effect")
    with in_public():
        Job.objects.filter(pk=work.job_id).update(lease=None)
    return Step(done=True)


def suicide(work: Slice) -> Step:
    os.kill(os.getpid(), signal.SIGKILL)
    return Step(done=True)


def hang(work: Slice) -> Step:
    """Sleep in C and hold the interpreter's lock, once: no signal and no thread gets through."""
    mark = Path(work.payload["mark"])
    if not mark.exists():
        mark.touch()
        ctypes.PyDLL(None).sleep(600)
    _effect(work.job_id, "effect")
    return Step(done=True)


def slow_statement(work: Slice) -> Step:
    _effect(work.job_id, "effect")
    with work.long_statement() as tell, connection.cursor() as cursor:
        tell(7, 20)
        cursor.execute("SELECT pg_sleep(%s)", [work.payload["seconds"]])
    return Step(done=True)


def ended(work: Ended) -> None:
    _effect(work.job_id, f"{work.outcome}: {work.code}")


def ended_badly(work: Ended) -> None:
    raise ValueError("cannot hear it")
