"""Asking what may hang, without hanging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic


class StillAsking(Exception):
    """There was no answer in the time that was given."""


@dataclass(frozen=True, slots=True)
class _Answer[T]:
    at: float
    value: T | None
    error: Exception | None


class Patient[T]:
    """A question that one thread at a time asks; whoever wants the answer waits no longer than he says.

    A thread that never comes back is the only one ever lost: while it hangs, nobody asks again.

    :param ask: the question; what it raises is raised to whoever waits.
    :param fresh_seconds: how long an answer is good for all who ask again.
    """

    def __init__(self, ask: Callable[[], T], *, fresh_seconds: float) -> None:
        self._ask = ask
        self._fresh_seconds = fresh_seconds
        self._changed = Condition()
        self._is_asking = False
        self._last: _Answer[T] | None = None

    def answer(self, *, wait_seconds: float) -> T:
        """Return the answer, at most as old as answers are fresh.

        :raises StillAsking: there was none in `wait_seconds`.
        """
        asked = monotonic()
        deadline = asked + wait_seconds
        with self._changed:
            while self._last is None or self._last.at < asked - self._fresh_seconds:
                if not self._is_asking:
                    self._is_asking = True
                    Thread(target=self._run, name="asking", daemon=True).start()
                if not self._changed.wait(deadline - monotonic()):
                    raise StillAsking
            assert self._last is not None
            if self._last.error is not None:
                raise self._last.error
            return self._last.value  # type: ignore[return-value] # None only if that is the answer

    def _run(self) -> None:
        value, error = None, None
        try:
            value = self._ask()
        except Exception as raised:  # noqa: BLE001 -- told to whoever waits
            error = raised
        with self._changed:
            self._is_asking = False
            self._last = _Answer(monotonic(), value, error)
            self._changed.notify_all()
