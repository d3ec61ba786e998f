"""Where a worker can be hit, and what then happens to it. Installed in forked processes alone.

Each worker is born with a fate: at the n-th pass of a named point it is killed or frozen, or at its n-th
COMMIT the connection is lost. So rare points are hit as often as common ones.
"""

from __future__ import annotations

import datetime
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

from django.db import OperationalError, connection
from django.utils import timezone

import importer.validation  # noqa: F401 -- slow to import; a fork has it already
from benchmarks.faults import kinds
from core import storage
from core.backend.base import DatabaseWrapper
from exporter import tasks as exporting
from importer import staging
from importer import tasks as importing
from jobs import claim, dispatcher, ending, lease, runner

# A point and how often it is drawn: those that few workers come by are drawn more.
POINTS = {
    "before-claim": 2, "after-claim": 4, "slice-begun": 4, "statement": 10, "in-copy": 8,
    "before-advance": 4, "after-advance": 4, "after-commit": 4, "after-charge": 2,
    "long-begun": 5, "long-done": 5, "renewal": 6, "renewed": 4,
    "object-written": 4, "before-finish": 5, "after-finish": 6,
    "ended-begun": 6, "ended-done": 6, "end": 5, "end-committed": 6, "release": 5, "released": 5,
    "reap": 3, "dispatch": 3,
}  # fmt: skip
KILL, FREEZE, LOST_BEFORE, LOST_AFTER = "kill", "freeze", "lost-before-commit", "lost-after-commit"
LATEST = {"statement": 40, "before-claim": 20, "reap": 4}  # the n of "at the n-th pass"; 3 elsewhere


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens, where, and at the how-manieth pass."""

    what: str
    point: str
    passes: int


def draw_fate(dice: Random) -> Fate:
    """Return a fate: mostly a death."""
    what = dice.choices((KILL, FREEZE, LOST_BEFORE, LOST_AFTER), (80, 7, 5, 8))[0]
    if what in (LOST_BEFORE, LOST_AFTER):
        return Fate(what, "commit", dice.randint(1, 12))
    point = dice.choices(list(POINTS), list(POINTS.values()))[0]
    return Fate(what, point, dice.randint(1, LATEST.get(point, 3)))


def draw_lost_commit(dice: Random) -> Fate:
    """Return the only fate of people: now and then an answer does not reach them."""
    return Fate(dice.choice((LOST_BEFORE, LOST_AFTER)), "commit", dice.randint(20, 200))


class Hand:
    """Counts passes in this process and strikes when the fate says so; every stroke is noted first."""

    def __init__(self, dice: Random, events: Path, draw: Callable[[Random], Fate] = draw_fate) -> None:
        self.dice = dice
        self.events = events
        self.in_slice = False
        self.next_fate = draw
        self.draw()

    def draw(self) -> None:
        """Take the next fate."""
        self.fate = self.next_fate(self.dice)
        self.left = self.fate.passes

    def at(self, point: str) -> None:
        """Pass a point, perhaps for the last time."""
        if point != self.fate.point:
            return
        self.left -= 1
        if self.left:
            return
        self.note(f"{self.fate.what} {point}")
        if self.fate.what == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        self.draw()
        os.kill(os.getpid(), signal.SIGSTOP)  # whoever froze it lets it go on, later than its lease

    def commit(self) -> str:
        """Pass a COMMIT; returns what is to happen to the connection, or nothing."""
        if self.fate.point != "commit":
            return ""
        self.left -= 1
        if self.left:
            return ""
        what = self.fate.what
        self.note(what)
        self.draw()
        return what

    def note(self, event: str) -> None:
        """Append a line to the file of events, in one write."""
        handle = os.open(self.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{event}\n".encode())
        os.close(handle)


def install(hand: Hand) -> None:
    """Put the points into the product's modules of this process."""
    _claims(hand)
    _work(hand)
    _around(hand, runner, "_charge", "after-commit", "after-charge")
    _around(hand, ending, "end", "end", "end-committed")
    _around(hand, ending, "release", "release", "released")
    _around(hand, claim, "reap", "reap", "reap")
    _around(hand, dispatcher, "dispatch", "dispatch", "dispatch")
    for module, name in (
        (kinds, "ended"), (importing, "preview_ended"), (importing, "merge_ended"), (exporting, "run_ended"),
    ):  # fmt: skip
        _around(hand, module, name, "ended-begun", "ended-done")
    _around(hand, lease.Renewal, "renew", "renewal", "renewed")
    _around(hand, storage.LocalWriter, "finish", "before-finish", "after-finish")
    _around(hand, storage.LocalWriter, "_send", "object-written", "object-written")
    _long_statements(hand)
    _copies(hand)
    install_commits(hand)


def _around(hand: Hand, owner: Any, name: str, before: str, after: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def passed(*args: Any, **kwargs: Any) -> Any:
        hand.at(before)
        result = original(*args, **kwargs)
        hand.at(after)
        return result

    setattr(owner, name, passed)


def _claims(hand: Hand) -> None:
    original = claim.claim

    def claimed(*args: Any, **kwargs: Any) -> Any:
        hand.at("before-claim")
        job = original(*args, **kwargs)
        if job is not None:
            hand.at("after-claim")
        return job

    vars(claim)["claim"] = claimed


def _work(hand: Hand) -> None:
    work, advance = runner._work, runner._advance

    def worked(*args: Any, **kwargs: Any) -> Any:
        hand.in_slice = True
        try:
            hand.at("slice-begun")
            step = work(*args, **kwargs)
        finally:
            hand.in_slice = False
        hand.at("before-advance")
        return step

    def advanced(*args: Any, **kwargs: Any) -> int:
        try:
            processed = advance(*args, **kwargs)
        except ending.Fenced:
            hand.note("fenced")
            raise
        hand.at("after-advance")
        return processed

    vars(runner).update(_work=worked, _advance=advanced)


def _long_statements(hand: Hand) -> None:
    original = lease.kept

    @contextmanager
    def kept(*args: Any, **kwargs: Any) -> Iterator[None]:
        with original(*args, **kwargs):
            hand.at("long-begun")
            _linger(hand.dice)
            yield
            hand.at("long-done")

    vars(lease)["kept"] = kept


def _linger(dice: Random) -> None:
    """Sometimes make the statement longer than the lease, so that renewals happen."""

    if dice.random() < 0.15:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [dice.uniform(0.2, 1.6)])


class _Pieces:
    """Bytes that a COPY reads piece by piece, with a point between two."""

    def __init__(self, hand: Hand, data: bytes) -> None:
        self.hand, self.data, self.place = hand, data, 0

    def read(self, size: int = -1) -> bytes:
        if self.place:
            self.hand.at("in-copy")
        piece = self.data[self.place : self.place + 512]
        self.place += len(piece)
        return piece


def _copies(hand: Hand) -> None:

    def copy(cursor: Any, sql: str, data: bytes) -> None:
        if data:
            cursor.copy_expert(sql, _Pieces(hand, data))

    vars(staging)["copy"] = copy


def install_commits(hand: Hand) -> None:
    """Let this process's statements and COMMITs be points."""

    def statement(execute: Callable[..., Any], *arguments: Any) -> Any:
        if hand.in_slice:
            hand.at("statement")
        return execute(*arguments)

    connection.execute_wrappers.append(statement)
    owner: Any = DatabaseWrapper
    original = owner._commit

    def commit(wrapper: Any) -> None:
        what = hand.commit() if wrapper.alias == "default" else ""
        if what == LOST_BEFORE:
            _cut(wrapper.connection)
        original(wrapper)
        if what == LOST_AFTER:
            _cut(wrapper.connection)
            raise OperationalError("the connection was lost before COMMIT was answered")

    owner._commit = commit


def _cut(link: Any) -> None:
    """Shut the socket below a connection; neither side is asked."""
    with suppress(OSError):
        end = socket.socket(fileno=os.dup(link.fileno()))
        end.shutdown(socket.SHUT_RDWR)
        end.close()


def skew_clock(seconds: float) -> None:
    """Let this process believe that it is so much later: `time.time()` and Django's now()."""

    class Skewed(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Skewed:
            moment = super().now(tz)
            return moment + datetime.timedelta(seconds=seconds)

    true_time = time.time
    vars(time)["time"] = lambda: true_time() + seconds
    vars(timezone)["datetime"] = Skewed
