"""The N-th failure: each single thing that can go wrong does, one at a time, N = 1, 2, 3 … until nothing did.

After each the flow is finished by a worker nothing happens to, and everything must be as if nothing had
happened: SQLite tests its out-of-memory and I/O errors this way.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from benchmarks.faults import nth_sql, nth_storage

if TYPE_CHECKING:
    from benchmarks.faults.flows import Site
    from benchmarks.faults.ground import Ground
    from benchmarks.faults.nth_child import Work

Trap = nth_sql.Plan | nth_storage.Calls
FLOWS = ("import", "export", "hour", "cancel", "sync", "undo", "fix")
MAX_ROUNDS = 12  # of a healthy worker; each is a moment at which rests and leases are over
# As if the time had passed that a job rests, or that a dead worker's lease lasts.
TIME_PASSES = """
UPDATE public.jobs_job SET not_before = least(not_before, now()),
       lease_until = least(lease_until, now() - interval '1 s')
 WHERE schema = %s AND state IN ('QUEUED', 'RUNNING')"""


@dataclass(frozen=True, slots=True)
class Loop:
    """One way to fail; `plant` sets which N does. In the short form every `stride`-th N is taken."""

    group: str
    title: str
    trap: Trap
    plant: Callable[[int], None]
    stride: int
    flows: tuple[str, ...] = FLOWS
    is_forked: bool = False
    is_lasting: bool = False  # from its N-th event on everything goes wrong, until the job is given up

    def does(self, ground: Ground, work: Work) -> bool | None:
        """Do the workers' part: here, or in a process of its own, of which it returns whether it was killed."""
        from benchmarks.faults.nth_child import killed  # noqa: PLC0415 -- after the settings

        if isinstance(self.trap, nth_sql.Plan) and self.is_forked:
            return killed(ground, self.trap, work)
        work.do()
        return None


@dataclass(slots=True)
class Player:
    """Plays loops and keeps count."""

    ground: Ground
    short: bool
    seed: int
    runs: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    lengths: dict[tuple[str, str], int] = field(default_factory=dict)  # of a flow, counted in such events

    def play_all(self, loops: Iterable[Loop], prefix: str) -> None:
        """Play loops, in the long form each in a tenant of its own: tens of thousands of files take time to list."""
        if self.short:
            with site_of(self.ground, prefix) as site:
                for number, loop in enumerate(loops):
                    self.play(loop, site, number)
            return
        for number, loop in enumerate(loops):
            with site_of(self.ground, f"{prefix}{number}") as site:
                self.play(loop, site, number)

    def play(self, loop: Loop, site: Site, number: int) -> None:
        """Play a loop in each of its flows."""
        began, runs, restarts = time.monotonic(), self.runs.total(), self.restarts
        stride = loop.stride if self.short else 1
        for place, flow in enumerate(loop.flows):
            first = 1 + (self.seed + 11 * number + 5 * place) % stride
            self.count_up(loop, site, flow, range(first, sys.maxsize, stride))
        runs, restarts = self.runs.total() - runs, self.restarts - restarts
        say(f"nth: {loop.title:34} {runs:5} failures {restarts:5} restarts {time.monotonic() - began:6.1f} s")

    def count_up(self, loop: Loop, site: Site, flow: str, numbers: Iterable[int]) -> None:
        """Play a flow with its N-th event gone wrong, for one N after another, until nothing went wrong.

        :raises Broken: the outcome after some failure is not the expected one.
        """
        from benchmarks.faults.flows import FLOWS, Broken  # noqa: PLC0415 -- after the settings

        for number in numbers:
            if self.short and number > self.lengths.get((loop.group, flow), number):
                return
            loop.plant(number)
            try:
                FLOWS[flow](site, partial(self.part, loop, site))
            except Exception as error:
                where = f"{loop.title}, flow {flow}, N = {number} ({loop.trap.struck}), seed {self.seed}"
                raise Broken(f"{where}: {error}") from error
            if not loop.trap.is_hit:
                self.lengths[loop.group, flow] = loop.trap.events
                return
            self.runs[loop.group] += 1

    def part(self, loop: Loop, site: Site, work: Work) -> None:
        """Do the workers' part with the trap set, then let a healthy worker finish it."""
        was_hit, loop.trap.is_armed = loop.trap.is_hit, True
        try:
            was_killed = loop.does(self.ground, work)
            if loop.is_lasting:
                finish(site, work)
        finally:
            loop.trap.is_armed = False
        is_hit_now = loop.trap.is_hit and not was_hit
        if was_killed is not None and was_killed != is_hit_now:
            raise AssertionError("the process ended otherwise than by its kill")
        if is_hit_now and not loop.is_lasting:
            self.restarts += finish(site, work)


def finish(site: Site, work: Work) -> int:
    """Let a healthy worker finish what there is, and return how often it had to begin."""
    from benchmarks.faults.flows import active_jobs  # noqa: PLC0415 -- after the settings

    for rounds in range(1, MAX_ROUNDS + 1):
        site.ground.sql(TIME_PASSES, site.tenant.schema)
        work.do()
        if not active_jobs(site):
            return rounds
    raise AssertionError(f"the work is stuck: {MAX_ROUNDS} rounds of a healthy worker did not finish it")


def sql_loops(plan: nth_sql.Plan) -> Iterator[Loop]:
    """Yield the ways in which the database can fail a worker, and the death of the worker itself."""

    def loop(group: str, title: str, kind: str, how: str, stride: int) -> Loop:
        return Loop(group, title, plan, partial(plan.set, kind, how), stride, is_forked=how == "kill")

    yield loop("statement", "statement refused", "statement", "error", 89)
    yield loop("statement", "connection lost before a statement", "statement", "before", 89)
    # Within a transaction that is the connection lost before the next one, or before its COMMIT.
    yield loop("lone", "lone statement done, answer lost", "lone", "after", 17)
    yield loop("connect", "no connection to be had", "connect", "error", 1)
    yield loop("commit", "connection lost before COMMIT", "commit", "before", 9)
    yield loop("commit", "COMMIT done, answer lost", "commit", "after", 9)
    yield loop("kill", "process killed", "any", "kill", 97)


def storage_loops(calls: nth_storage.Calls, where: str, stride: int) -> Iterator[Loop]:
    """Yield the ways in which a storage can fail a worker."""
    flows = ("import", "export", "hour", "sync", "fix")
    for how in nth_storage.HOWS:
        yield Loop(f"storage {where}", f"{where}: {how}", calls, partial(calls.set, how), stride, flows)
    gone = partial(calls.set, "error", times=sys.maxsize)
    again = ("import again", "export again")
    yield Loop(f"storage {where}", f"{where}: gone for good", calls, gone, stride, again, is_lasting=True)


@contextmanager
def site_of(ground: Ground, prefix: str) -> Iterator[Site]:
    """Give a tenant of its own whose work alone is found meanwhile, and whose files are soon too many."""
    from django.test.utils import override_settings  # noqa: PLC0415 -- after the settings

    from benchmarks.faults import flows, nth_child  # noqa: PLC0415 -- after the settings

    with override_settings(**nth_child.KEEPING):
        site = flows.make_site(ground, f"{prefix}-{os.urandom(2).hex()}")
        with flows.alone(site.tenant):
            yield site


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Play every loop on a folder, and those of the storage on an S3 server too.

    :raises Broken: the outcome after some failure is not the expected one.
    """
    plan, calls = nth_sql.Plan(ground.sql), nth_storage.Calls()
    player = Player(ground, short, seed)
    with nth_sql.listening(plan), nth_storage.local(calls):
        player.play_all(chain(sql_loops(plan), storage_loops(calls, "folder", 6)), "nth")
    with nth_storage.s3(calls):
        player.play_all(storage_loops(calls, "S3", 3), "nth-s3")
    ground.sql("DELETE FROM public.django_q_ormq")  # bells that nobody will answer
    done = player.runs
    say(f"nth: {sum(done.values())} failures, {player.restarts} restarts, 0 lost, 0 doubled, 0 stuck")
    return {
        "nth_statements": done["statement"] + done["lone"] + done["connect"],
        "nth_commits": done["commit"],
        "nth_storage": done["storage folder"] + done["storage S3"],
        "kills": done["kill"],
        **dict.fromkeys(("lost", "doubled", "stuck"), 0),  # else it had raised
    }


def say(line: str) -> None:
    """Tell people how far it is."""
    print(line, file=sys.stderr, flush=True)
