"""The engine without processes: a bell is answered by whoever rang it, once its transaction has committed.

For scripts and tests that want their work done when the call returns. A job that rests, or waits for its
moment, waits for the next bell or tick.
"""

from __future__ import annotations

from contextvars import ContextVar

from django.db import transaction

from core.tenancy import in_public
from jobs import claim, runner

_working: ContextVar[bool] = ContextVar("rowhouse_working_here", default=False)


def ring(count: int) -> None:
    """Do what is waiting, after the caller's transaction; rolled back, it never rang."""
    if count:
        transaction.on_commit(_work)


def pending() -> int:
    """Return 0: no bell waits here."""
    return 0


def _work() -> None:
    if _working.get():  # a slice rang; the loop around it will see to it
        return
    token = _working.set(True)
    try:
        with in_public():
            while (job := claim.claim_cancelled() or claim.claim()) is not None:
                runner.run_slice(job)
    finally:
        _working.reset(token)
