"""An import of a CSV file of any size under a hard memory limit, which the whole process may not exceed.

    python -m benchmarks.imports_memory --megabytes 200
    python -m benchmarks.imports_memory --megabytes 10240 --preview

The command runs in a memory cgroup of its own (version 1, or 2 where one may be made), Django and all; the
database runs outside of it. Where no cgroup can be made, RLIMIT_DATA limits it. A process that needs more is
killed, which the JSON in the last line of the output tells as `oom`. A group is not charged for libraries that
other processes have loaded before, so `peak_mb`, the largest resident size of the process, must keep the limit too.

`--shape wide` makes rows of 2.6 KB whose long text PostgreSQL can compress, so that 10 GB need less disk; `narrow`
rows of 60 bytes; `tiny` rows of 5 bytes; `faulty` narrow rows that are all rejected, `mixed` every second one.
The disk holds the file three times while it is imported: the file, the upload, the worker's copy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.imports_ground import ROOT, Ground, open_ground

MIB = 1 << 20
LIMIT_MB = 256  # what a worker may take
CONTROLLERS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
BLOCK = 4_096  # rows made at a time
DEFINITION: dict[str, Any] = {
    "name": "rows",
    "title": "Rows",
    "primaryKey": ["id"],
    "fields": [
        {"name": "id", "type": "integer"},
        {"name": "status", "type": "string", "constraints": {"enum": ["new", "paid", "sent"]}},
        {"name": "amount", "type": "number", "rowhouse:precision": 12, "rowhouse:scale": 2},
        {"name": "due", "type": "date"},
        {"name": "note", "type": "string"},
    ],
}
WORDS = ("north", "south", "harbour", "bridge", "lighthouse", "market", "garden", "Zürich", "Łódź", "東京")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the command. `peak_mb` is the largest resident size of the process."""

    seconds: float
    peak_mb: float
    is_oom: bool
    told: dict[str, Any]


# ---- the file --------------------------------------------------------------------------------------------


def make_file(path: Path, megabytes: int, shape: str, seed: int) -> int:
    """Write about that much, and return how many rows it has."""
    make, rng = SHAPES[shape], Random(seed)
    notes = [" ".join(rng.choices(WORDS, k=6)) for _ in range(97)]
    rows = written = 0
    with path.open("wb") as file:
        file.write(b"id,status,amount,due,note\n")
        while written < megabytes * MIB:
            block = "".join(make(at, notes) for at in range(rows, rows + BLOCK)).encode()
            rows, written = rows + BLOCK, written + len(block)
            file.write(block)
    return rows


def _key(at: int) -> int:
    return at * 2_654_435_761 % (1 << 36)  # an odd factor: no key comes twice, and none in order


def _cells(at: int) -> str:
    status = ("new", "paid", "sent")[at % 3]
    return f"{_key(at)},{status},{at % 9973}.{at % 100:02d},2026-0{1 + at % 9}-1{at % 10}"


def _narrow(at: int, notes: list[str]) -> str:
    return f"{_cells(at)},{notes[at % 97]}\n"


def _wide(at: int, notes: list[str]) -> str:
    if at % 100 == 37:
        return _faulty(at, notes)
    return f'{_cells(at)},"{f"{notes[at * 7 % 97]}, " * 60}"\n'


def _tiny(at: int, notes: list[str]) -> str:
    return f"{at},new\n"


def _faulty(at: int, notes: list[str]) -> str:
    return f"{_key(at)},lost,ten,2026-02-30,{notes[at % 97]}\n"


def _mixed(at: int, notes: list[str]) -> str:
    return _faulty(at, notes) if at % 2 else _narrow(at, notes)


SHAPES: dict[str, Callable[[int, list[str]], str]] = {
    "wide": _wide, "narrow": _narrow, "tiny": _tiny, "faulty": _faulty, "mixed": _mixed,
}  # fmt: skip


# ---- the limit -------------------------------------------------------------------------------------------


class Cage:
    """A limit that the kernel holds: a memory cgroup where one can be made, else RLIMIT_DATA."""

    def __init__(self, limit_mb: int) -> None:
        self._bytes = limit_mb * MIB
        self._group = next((made for root in CONTROLLERS if (made := self._make(root))), None)

    @property
    def name(self) -> str:
        return f"cgroup {self._group}" if self._group else "RLIMIT_DATA"

    def _make(self, root: Path) -> Path | None:
        files = {"memory.limit_in_bytes": None, "memory.memsw.limit_in_bytes": None, "memory.max": None}
        group = root / f"rowhouse-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            return None
        there = [name for name in files if (group / name).exists()]
        try:
            for name in there:
                (group / name).write_text(str(self._bytes))
            if (swap := group / "memory.swap.max").exists():
                swap.write_text("0")
        except OSError:
            there = []
        if not there:
            group.rmdir()
            return None
        return group

    def enter(self) -> None:
        """Go inside: called in the child before it becomes the command."""
        if self._group is not None:
            (self._group / "cgroup.procs").write_text("0")
        else:
            resource.setrlimit(resource.RLIMIT_DATA, (self._bytes, self._bytes))

    def charged_mb(self) -> float:
        """Return the most that was charged to the group, cached files included, which it may drop; 0: no group."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self._group is not None and (self._group / name).exists():
                return int((self._group / name).read_text()) / MIB
        return 0.0

    def close(self) -> None:
        if self._group is not None:
            self._group.rmdir()


def run_caged(ground: Ground, cage: Cage, words: list[str], environment: dict[str, str]) -> Outcome:
    """Run a command inside the limit to its end; a kill by the limit is an outcome, other failures are not.

    :raises SystemExit: it failed otherwise; what it said is printed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "manage.py", *words, "--json"], stdout=out, stderr=errors, cwd=ROOT,
            env=ground.environment | environment, preexec_fn=cage.enter,  # noqa: PLW1509 -- no thread runs here
        )  # fmt: skip
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        said, seconds = errors.read(), time.perf_counter() - started
        is_oom = child.returncode == -9 or "MemoryError" in said or "memory allocation" in said
        if not is_oom and child.returncode not in (0, 3):
            sys.exit(f"{' '.join(words)} ended with {child.returncode}:\n{said[-4000:]}")
        return Outcome(seconds, usage.ru_maxrss / 1024, is_oom, json.loads(out.read() or "{}"))


def main() -> None:
    asked = _arguments()
    began = time.perf_counter()
    cage = Cage(asked.limit_mb)
    try:
        with open_ground() as ground:
            path = ground.folder / "rows.csv"
            _prepare(ground)
            rows = make_file(path, asked.megabytes, asked.shape, asked.seed)
            megabytes = path.stat().st_size / MIB
            print(
                f"{rows:,} rows, {megabytes:,.0f} MB, made in {time.perf_counter() - began:.0f} s; {cage.name}"
            )
            words = ["import_file", str(path), "--tenant", "acme", "--dataset", "rows"]
            more = {"ROWHOUSE_UPLOAD_MAX_MB": str(path.stat().st_size // MIB + 1)}
            done = run_caged(
                ground, cage, words + ["--preview"] * asked.preview, more | _environment(asked.set)
            )
            charged = cage.charged_mb()
    finally:
        cage.close()
    for name, value in done.told.items():
        print(f"  {name:<12}{value!s:>14}")
    figures = {
        "megabytes": round(megabytes), "limit_mb": asked.limit_mb, "peak_mb": round(done.peak_mb, 1), "rows": rows,
        "seconds": round(done.seconds, 1), "oom": done.is_oom, "rejected": done.told.get("rejected"),
        "charged_mb": round(charged, 1), "shape": asked.shape, "limited_by": cage.name.split()[0],
    }  # fmt: skip
    print(json.dumps(figures))
    sys.exit(done.is_oom or done.peak_mb > asked.limit_mb)


def _prepare(ground: Ground) -> None:
    definition = ground.folder / "rows.json"
    definition.write_text(json.dumps(DEFINITION))
    ground.run("manage.py", "migrate_tenants")
    ground.run("manage.py", "provision_tenant", "acme", "--admin", "owner@acme.example")
    ground.run("manage.py", "create_dataset", "--tenant", "acme", "--definition", str(definition))


def _environment(pairs: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports_memory", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--limit-mb", type=int, default=LIMIT_MB)
    parser.add_argument("--shape", choices=SHAPES, default="wide")
    parser.add_argument("--preview", action="store_true", help="without the merge, which takes more disk")
    parser.add_argument("--seed", type=int, default=20260826)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the environment")
    return parser.parse_args()


if __name__ == "__main__":
    main()
