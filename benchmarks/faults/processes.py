"""Real worker processes told apart, and the work they are given; what the scenarios with whole families share."""

from __future__ import annotations

import io
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.ground import Ground, kill_family
from core.tenancy import TenantRef, in_tenant
from jobs import services

CRASHED = 70  # the exit code of a worker that lost one of its processes
YARD_WORKERS = 2
LEASE_SECONDS = 2


def until[T](look: Callable[[], T], what: str, seconds: float = 90) -> T:
    """Return what `look` finds, once it finds something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return found


def lives(pid: int) -> bool:
    """Return whether a process is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Return a process's own children, the oldest first."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return sorted(found, key=_begun)


def _begun(pid: int) -> tuple[int, int]:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid
    return 0, pid


def group_of(leader: int) -> list[int]:
    """Return the living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


@dataclass(slots=True)
class Family:
    """One worker command and its processes, told apart by what they wrote into the folder."""

    process: subprocess.Popen[bytes]
    folder: Path
    workers: int
    roles: dict[str, int] = field(default_factory=dict)
    pool: list[int] = field(default_factory=list)

    def is_complete(self) -> bool:
        """Look who is who, once all are there: before the first worker process is replaced by a younger one."""
        if not self.roles:
            said = {name: self._said(name) for name in ("sentinel", "pusher")}
            below = children_of(said["sentinel"]) if all(said.values()) else []
            if len(below) == self.workers + 2 and said["pusher"] in below:
                # The library starts the workers, then its monitor, then the pusher.
                *self.pool, monitor = (pid for pid in below if pid != said["pusher"])
                self.roles = {"main": self.process.pid, "monitor": monitor, **said}
        return bool(self.roles)

    def _said(self, name: str) -> int:
        with suppress(OSError, ValueError):
            return int((self.folder / name).read_text())
        return 0

    def members(self) -> list[int]:
        """Return every process of the family that was seen when it was complete."""
        return [*self.roles.values(), *self.pool]

    def is_gone(self) -> bool:
        """Return whether nothing of the family lives on, not even a process nobody noted."""
        return not any(map(lives, self.members())) and not group_of(self.roles["sentinel"])

    def working(self) -> list[int]:
        """Return the processes that are in a slice now."""
        return [int(path.name.removeprefix("slice-")) for path in self.folder.glob("slice-*")]

    def victim(self, kind: str) -> int:
        """Return a process of the kind, 0 when there is none at the moment."""
        if kind == "working":
            return next(iter(self.working()), 0)
        if kind == "idle":
            busy = {int(path.name.rpartition("-")[2]) for path in self.folder.glob("busy-*")}
            return next((pid for pid in self.pool if pid not in busy and lives(pid)), 0)
        return self.roles[kind]


def submit_ledger(ref: TenantRef, steps: int, seconds: float) -> int:
    """Submit a job of `steps` slices that each write one row, and return its number."""
    with in_tenant(ref):
        mark = f"ledger:{os.urandom(6).hex()}"
        return services.submit("fault.ledger", target=mark, payload={"steps": steps, "seconds": seconds}).pk


def check_ledgers(ground: Ground, refs: list[TenantRef]) -> tuple[int, int]:
    """Return how many slices are lost and how many are doubled, over all ended ledger jobs of these tenants."""
    lost = doubled = 0
    for ref in refs:
        counts = ground.sql(
            f"SELECT (payload->>'steps')::int, state, (SELECT count(*) FROM \"{ref.schema}\".ledger l"
            " WHERE l.job = j.id), (SELECT count(DISTINCT l.step) FROM"
            f' "{ref.schema}".ledger l WHERE l.job = j.id), step FROM jobs_job j'
            " WHERE schema = %s AND kind = 'fault.ledger'",
            ref.schema,
        )
        for steps, state, rows, distinct, step in counts:
            doubled += rows - distinct
            lost += (step if state != "DONE" else steps) - distinct
    return lost, doubled


def orders(first: int, rows: int) -> io.BytesIO:
    """Return a file of `rows` orders from `first` on."""
    salt = random.randrange(10**6)  # so that a repeat changes what stands there
    lines = ["id,name,amount", *(f"{first + at},order {first + at},{salt + at}" for at in range(rows))]
    return io.BytesIO("\n".join(lines).encode())


@dataclass(slots=True)
class Yard:
    """What each trial gets: the ground, tenants and a folder for its workers."""

    ground: Ground
    refs: list[TenantRef]
    folder: Path
    started: int = 0

    @contextmanager
    def workers(self, *envs: Mapping[str, str], may_die: bool = False) -> Iterator[list[Family]]:
        """Run workers that leave when they are asked to, and until then lose none of their processes."""
        families = [self._start(env) for env in envs]
        try:
            for family in families:
                until(family.is_complete, f"a whole family in {family.folder}")
            yield families
            staying = [each for each in families if not (may_die and each.process.poll() == CRASHED)]
            for family in staying:
                assert all(map(lives, family.members())), f"of {family.roles}, {family.pool} one died"
                family.process.terminate()
            assert [family.process.wait(30) for family in staying] == [0] * len(staying)
        finally:
            for family in families:
                kill_family(family.process)

    def _start(self, env: Mapping[str, str]) -> Family:
        folder = self.folder / f"worker-{self.started}"
        self.started += 1
        chosen = {
            "ROWHOUSE_WORKERS": str(YARD_WORKERS),
            "ROWHOUSE_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "ROWHOUSE_TICK_SECONDS": "1",
            **env,
        }
        return Family(self.ground.worker(folder=folder, env=chosen), folder, YARD_WORKERS)

    def submit(self, jobs: int, *, steps: int = 4, seconds: float = 0.1) -> list[int]:
        return [submit_ledger(self.refs[n % len(self.refs)], steps, seconds) for n in range(jobs)]

    def states(self, jobs: list[int]) -> list[str]:
        return [state for (state,) in self.ground.sql("SELECT state FROM jobs_job WHERE id = ANY(%s)", jobs)]

    def finish(self, jobs: list[int], seconds: float = 60) -> float:
        """Wait until all these jobs are done, and return how long that took."""
        begin = time.monotonic()
        until(lambda: set(self.states(jobs)) == {"DONE"}, f"the end of jobs {jobs}", seconds)
        return time.monotonic() - begin
