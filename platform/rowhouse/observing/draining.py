"""Leaving without an error: told to end, a web pod first says that it is not ready, and goes on answering for a while.

Whoever sends it requests hears of a pod's end a little later than the pod does. The flag is a page of memory that the
processes share from before they are forked.
"""

from __future__ import annotations

import mmap
import signal
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

_flag = mmap.mmap(-1, 1)


def is_draining() -> bool:
    """Return whether this process and those it shares its start with were told to end."""
    return _flag[0] != 0


def begin() -> None:
    """Say that the end has come."""
    _flag[0] = 1


def take_back() -> None:
    """Say that it has not: for tests."""
    _flag[0] = 0


def delay_sigterm(seconds: float, then: Handler) -> None:
    """At the first SIGTERM of this process, begin to drain, and hand it on after so many seconds; a second one at once.

    :param then: who ends the process.
    """

    def told(number: int, frame: FrameType | None) -> None:
        if is_draining() or seconds <= 0:
            begin()
            then(signal.SIGTERM, frame)
            return
        begin()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def over(number: int, frame: FrameType | None) -> None:
        then(signal.SIGTERM, frame)

    signal.signal(signal.SIGALRM, over)
    signal.signal(signal.SIGTERM, told)
