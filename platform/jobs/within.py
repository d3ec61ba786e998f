"""Whether this code runs within a slice of background work: what work asks for on its own is no new wish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_runs: ContextVar[bool] = ContextVar("rowhouse_slice_runs", default=False)


def is_within_work() -> bool:
    """Return whether a slice runs here, or an app is being told how its job ended."""
    return _runs.get()


@contextmanager
def work() -> Iterator[None]:
    """Run the block as background work."""
    token = _runs.set(True)
    try:
        yield
    finally:
        _runs.reset(token)
