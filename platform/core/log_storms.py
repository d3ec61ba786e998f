"""Logs that a storm of the same error cannot fill the disk with.

The same line (logger, level, wording, kind of error and where it came up) is written so many times a minute; the rest
is counted, and the first line of the next minute says how many there were. Long lines are cut.
"""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic
from typing import Any

MINUTE_SECONDS = 60.0
MOST_KINDS = 1_000  # of lines that are told apart in a minute; beyond, all others are one kind
MOST_LETTERS = 16_000  # of one value or traceback
_CUT = " … (cut)"


class Storms(logging.Filter):
    """Let each kind of line from `level` on pass `most` times a minute, and say of the next how many did not.

    :param most: 0 lets all pass.
    """

    def __init__(self, *, most: int, level: int = logging.WARNING) -> None:
        super().__init__()
        self.most = most
        self.level = level
        self._lock = Lock()
        self._since = 0.0
        self._seen: dict[object, int] = {}
        self._held: dict[
            object, int
        ] = {}  # until the next of its kind is written; at most one minute's kinds

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.most or record.levelno < self.level:
            return True
        kind = _kind_of(record)
        with self._lock:
            now = monotonic()
            if now - self._since >= MINUTE_SECONDS:
                late = {one: seen - self.most for one, seen in self._seen.items() if seen > self.most}
                self._held = {one: self._held.get(one, 0) + late.get(one, 0) for one in {*self._held, *late}}
                self._since, self._seen = now, {}
            if kind not in self._seen and len(self._seen) >= MOST_KINDS:
                kind = "any other"
            self._seen[kind] = self._seen.get(kind, 0) + 1
            if self._seen[kind] > self.most:
                return False
            held = self._held.pop(kind, 0)
        if held:
            record.held_back = held
        return True


def add_held_back(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Put on the line how many like it were held back in the minute before, if any were."""
    record = event.get("_record")
    if held := getattr(record, "held_back", 0):
        event["held_back"] = held
    return event


def cut_long(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut the texts of a line that are too long; of a traceback the end is kept, where the error is."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MOST_LETTERS:
            is_traceback = key == "exception"
            event[key] = _CUT + value[-MOST_LETTERS:] if is_traceback else value[:MOST_LETTERS] + _CUT
    return event


def _kind_of(record: logging.LogRecord) -> object:
    message: Any = record.msg
    wording = message.get("event") if isinstance(message, dict) else message
    error = record.exc_info[1] if record.exc_info else None
    return (record.name, record.levelno, str(wording)[:200], type(error).__qualname__, _place_of(error))


def _place_of(error: BaseException | None) -> tuple[str, int] | None:
    """Return the file and line in which an error came up."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else None
