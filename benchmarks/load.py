"""Mixed traffic of many tenants against gunicorn and a worker on one machine, and what one tenant's import does to it.

    python -m benchmarks.load --tenants 50 --seconds 120 --import-rows 1000000

On a PostgreSQL and an S3 server of its own, with the settings of production: two processes of gunicorn with four
threads each, one worker of two processes. People of every tenant sign in once and then list (sorted, filtered,
searched, paged), open records, edit and read back, follow background work, upload a small file, look at its preview and
confirm, ask for an export and download it. Each waits for an answer, thinks, and goes on. They check what they are
shown: the right records, the last value they wrote, every row in a file, and no word of another tenant.

1. Half of the seconds of that traffic. 2. One more tenant imports its file (upload, preview, confirm, merge, all by the
pages) while nobody else is there. 3. The traffic, while that tenant imports such files one after the other, for as many
seconds. 4. The other half of the quiet traffic. 5. The same people, who do not think any more: requests per second.

`p95_ratio_during_import` is the 95th percentile of all requests of phase 3 by that of phases 1 and 4, and there is one
of each kind. The requests of whoever imports do not count. Client, web, worker and server share the cores; each one's
CPU is told. Downloads end at the storage's own server, whose time is left out, as are style sheets and scripts.

The last line is one JSON object; the exit code is 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.jobs_ground import quantile
from benchmarks.load_ground import (
    ROOT,
    WEB_PROCESSES,
    WEB_THREADS,
    WORKERS,
    Ground,
    Memory,
    open_ground,
    serving,
)
from benchmarks.load_person import Person, Wrong, cells_of, csv_of

type Figures = dict[str, Any]
IMPORTER = "load-9999"
FEW = 20  # samples, below which no percentile is told
SHOWN_ERRORS = 20


@dataclass(slots=True)
class Phase:
    """What the people met in one phase. Seconds of requests and waits by kind; CPU in cores, by part."""

    seconds: float = 0.0
    asked: int = 0
    requests: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # of jobs, by kind
    cores: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def all(self) -> list[float]:
        return [one for of_kind in self.requests.values() for one in of_kind]

    def add(self, other: Phase) -> None:
        """Take the other's samples too, as if both were one phase."""
        both = self.seconds + other.seconds
        for part in {*self.cores, *other.cores}:
            spent = self.cores[part] * self.seconds + other.cores[part] * other.seconds
            self.cores[part] = spent / both
        self.seconds, self.asked = both, self.asked + other.asked
        for mine, theirs in (
            (self.requests, other.requests), (self.waits, other.waits), (self.starts, other.starts)
        ):  # fmt: skip
            for kind, found in theirs.items():
                mine[kind] += found


class Crowd:
    """The people's process, and the errors of everybody so far."""

    def __init__(self, ground: Ground, spec: Figures) -> None:
        self.ground = ground
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load_people"], cwd=ROOT, env=ground.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._send(spec)

    def _send(self, said: Figures) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()

    def ask(self, do: str, **more: Any) -> Figures:
        """Have the people do something, and return their answer.

        :raises SystemExit: their process ended.
        """
        self._send({"do": do, **more})
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"The people's process ended with {self.process.wait()}.")
        answer: Figures = json.loads(line)
        self.errors += answer.get("errors", ())
        return answer

    @contextmanager
    def acting(self, phase: Phase, *, think: float, people: int) -> Iterator[None]:
        """Have people live for the length of the block; the phase is filled in at its end."""
        from benchmarks.load_site import moment, waits_of_jobs  # noqa: PLC0415 -- after the settings

        since, before, began = moment(), self.ground.cpu(), time.perf_counter()
        self.ask("begin", think=think, people=people)
        try:
            yield
        finally:
            after, seconds, until = self.ground.cpu(), time.perf_counter() - began, moment()
            answer = self.ask("end")
        phase.seconds, phase.asked = answer["seconds"], answer["asked_in_time"]
        for kind, took in answer["requests"]:
            phase.requests[kind].append(took)
        for kind, took in answer["waits"]:
            phase.waits[kind].append(took)
        phase.starts |= waits_of_jobs(since, until, IMPORTER)
        phase.cores |= {part: (after[part] - before[part]) / seconds for part in after}
        phase.cores["client"] = answer["cpu"] / seconds

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Measure, print a table for people, and as the last line one JSON object."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that its servers end too
    with open_ground() as ground:
        figures = _measure(ground, asked)
    print(json.dumps(figures))
    sys.exit(1 if figures["errors"] else 0)


def _measure(ground: Ground, asked: argparse.Namespace) -> Figures:
    from benchmarks import load_site  # noqa: PLC0415 -- after the settings

    figures: Figures = {
        name: getattr(asked, name) for name in ("seed", "tenants", "clients", "seconds", "records", "import_rows")
    }  # fmt: skip
    figures |= {
        "worker_env": dict(asked.worker_env), "worker_nice": asked.worker_nice,
        "think_seconds": asked.think, "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1),
        "web_processes": WEB_PROCESSES, "web_threads": WEB_THREADS, "worker_processes": WORKERS,
    }  # fmt: skip
    bare = _catalog(ground)
    spec = load_site.make_people(ground.port, asked.tenants, asked.clients, asked.records)
    figures |= {f"{name}_per_tenant": (_catalog(ground)[name] - bare[name]) // asked.tenants for name in bare}
    load_site.make_tenant(IMPORTER)
    content = _import_file(asked.import_rows)
    ground.superuser("CHECKPOINT")
    quiet, busy, loaded = Phase(), Phase(), Phase()
    memory = Memory(ground)
    with serving(ground, dict(asked.worker_env), asked.worker_nice):
        crowd = Crowd(ground, {**spec, "seed": asked.seed})
        try:
            signed = crowd.ask("sign-in")
            _say("signed in", signed)
            _say("everybody has done everything once", crowd.ask("tour"))
            memory.look()
            figures |= {f"{part}_mb_at_begin": round(mb) for part, mb in memory.whole.items()}
            with memory.watched():
                _quiet(crowd, quiet, asked)
                figures |= _alone(crowd, content, asked.import_rows)
                figures |= _busy(crowd, busy, content, asked)
                second = Phase()
                _quiet(crowd, second, asked)
                quiet.add(second)
                with crowd.acting(loaded, think=0, people=asked.clients):
                    time.sleep(asked.loaded_seconds)
                figures["connections"] = _connections(ground)
        finally:
            crowd.close()
    _report(quiet, busy, loaded, signed)
    for error in crowd.errors[:SHOWN_ERRORS]:
        print(f"WRONG {error}")
    return figures | _figures(quiet, busy, loaded, memory) | {"errors": len(crowd.errors)}


def _quiet(crowd: Crowd, phase: Phase, asked: argparse.Namespace) -> None:
    with crowd.acting(phase, think=asked.think, people=asked.clients):
        time.sleep(asked.seconds / 2)


# ---- the tenant that imports


def _import_file(rows: int) -> bytes:
    return csv_of([cells_of(IMPORTER, number) for number in range(1, rows + 1)]).encode()


def _alone(crowd: Crowd, content: bytes, rows: int) -> Figures:
    """Import once while nobody else does anything; also what a row takes on the disk."""
    who = _importer(crowd, "Alone")
    before, used = _wal(crowd.ground), crowd.ground.cpu()
    took = _import(crowd, who, content, rows)
    written = _wal(crowd.ground) - before
    spent = {part: seconds - used[part] for part, seconds in crowd.ground.cpu().items()}
    print(f"imported alone in {sum(took.values()):.1f} s", file=sys.stderr)
    return {
        "import_alone_seconds": round(sum(took.values()), 1),
        **{f"import_alone_{part}_seconds": round(seconds, 1) for part, seconds in took.items()},
        "import_cpu_us_per_row": {part: round(seconds / rows * 1e6, 1) for part, seconds in spent.items()},
        "file_bytes_per_row": len(content) // rows,
        "wal_bytes_per_row": written // rows,
        **_row_bytes(rows),
    }


def _busy(crowd: Crowd, phase: Phase, content: bytes, asked: argparse.Namespace) -> Figures:
    """Import again and again beside the traffic, whole imports, until the seconds are over."""
    taken: list[float] = []
    with crowd.acting(phase, think=asked.think, people=asked.clients):
        until = time.perf_counter() + asked.seconds
        while not taken or time.perf_counter() < until:
            who = _importer(crowd, f"Busy {len(taken)}")
            taken.append(sum(_import(crowd, who, content, asked.import_rows).values()))
    print(f"imported beside traffic in {', '.join(f'{one:.1f}' for one in taken)} s", file=sys.stderr)
    return {"imports_beside_traffic": len(taken), "import_busy_seconds": round(sum(taken) / len(taken), 1)}


def _importer(crowd: Crowd, title: str) -> Importer:
    """Return somebody who is signed in, in front of a new dataset."""
    from benchmarks.load_site import PASSWORD, open_importer  # noqa: PLC0415 -- after the settings
    from tenants.models import Tenant  # noqa: PLC0415 -- likewise

    place = open_importer(crowd.ground.port, Tenant.objects.get(slug=IMPORTER).ref, title)
    who = Importer(place, f"owner@{IMPORTER}.example", PASSWORD, True, 1, 1, random.Random(1))
    who.act("sign_in")
    crowd.errors += who.tally.errors
    return who


def _import(crowd: Crowd, who: Importer, content: bytes, rows: int) -> dict[str, float]:
    """Import the file by the pages; return the seconds of upload, preview and merge."""
    try:
        return who.import_whole(content, rows)
    except (Wrong, OSError) as wrong:
        crowd.errors.append(f"import of {rows:,} rows: {wrong!r}")
        return {"upload": 0.0, "preview": 0.0, "merge": 0.0}


class Importer(Person):
    """Whoever imports the large file."""

    def import_whole(self, content: bytes, rows: int) -> dict[str, float]:
        """Upload, wait for the preview, confirm, wait for the end.

        :raises Wrong: not every row became a record.
        """
        began = time.perf_counter()
        job = self.send_file("large.csv", content)
        sent = time.perf_counter()
        page = self.until_shown(job, b'name="seen"', "preview")
        self.check_figures(page, {"new": rows, "rejected": 0})
        self.confirm(job, page)
        confirmed = time.perf_counter()
        done = self.until_shown(job, b"im-state im-success", "merge")
        self.check_figures(done, {"new": rows, "rejected": 0})
        ended = time.perf_counter()
        return {"upload": sent - began, "preview": confirmed - sent, "merge": ended - confirmed}


# ---- what the server tells


def _catalog(ground: Ground) -> dict[str, int]:
    """Return what the platform's database has of catalog bytes and of relations."""
    del ground
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relnamespace = 'pg_catalog'::regnamespace"
            " AND relkind = 'r'), count(*) FROM pg_class"
        )
        size, relations = cursor.fetchone()
    return {"catalog_bytes": int(size), "relations": int(relations)}


def _wal(ground: Ground) -> int:
    del ground
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(cursor.fetchone()[0])


def _row_bytes(rows: int) -> Figures:
    """Return what the records of the last import and their history take, indexes included, by row."""
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from core.tenancy import in_tenant  # noqa: PLC0415 -- likewise
    from datasets.models import Dataset  # noqa: PLC0415 -- likewise
    from tenants.models import Tenant  # noqa: PLC0415 -- likewise

    ref = Tenant.objects.get(slug=IMPORTER).ref
    with in_tenant(ref):
        newest = Dataset.objects.order_by("-pk").values_list("pk", flat=True)[0]
    found: Figures = {}
    for what, table in (("record", f"ds_{newest}"), ("history", f"ds_{newest}_history")):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [f'"{ref.schema}"."{table}"'])
            found[f"{what}_bytes_per_row"] = int(cursor.fetchone()[0]) // rows
    return found


def _connections(ground: Ground) -> int:
    del ground
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


# ---- what is told


def _ratios(busy: dict[str, list[float]], quiet: dict[str, list[float]]) -> dict[str, float]:
    return {
        kind: round(quantile(found, 0.95) / quantile(quiet[kind], 0.95), 2)
        for kind, found in sorted(busy.items())
        if len(found) >= FEW and len(quiet.get(kind, ())) >= FEW
    }


def _figures(quiet: Phase, busy: Phase, loaded: Phase, memory: Memory) -> Figures:
    def milliseconds(phase: Phase, part: float) -> int:
        return round(quantile(phase.all, part) * 1000)

    return {
        "requests": len(quiet.all) + len(busy.all) + len(loaded.all),
        "requests_per_second": round(loaded.asked / loaded.seconds, 1),
        "quiet_requests_per_second": round(quiet.asked / quiet.seconds, 1),
        "busy_requests_per_second": round(busy.asked / busy.seconds, 1),
        "p95_ratio_during_import": round(quantile(busy.all, 0.95) / quantile(quiet.all, 0.95), 2),
        "p50_ratio_during_import": round(quantile(busy.all, 0.5) / quantile(quiet.all, 0.5), 2),
        "p95_ratios_by_kind": _ratios(busy.requests, quiet.requests),
        "p95_ratios_of_waits": _ratios(busy.waits, quiet.waits),
        "p95_ratios_of_job_starts": _ratios(busy.starts, quiet.starts),
        "p50_ms": {name: milliseconds(phase, 0.5) for name, phase in _named(quiet, busy, loaded)},
        "p95_ms": {name: milliseconds(phase, 0.95) for name, phase in _named(quiet, busy, loaded)},
        "cores_used": {
            name: {part: round(used, 2) for part, used in phase.cores.items()}
            for name, phase in _named(quiet, busy, loaded)
        },
        "cpu_ms_per_request": {
            part: round(used * quiet.seconds / max(quiet.asked, 1) * 1000, 1)
            for part, used in quiet.cores.items()
        },
        **{f"{part}_mb": round(mb) for part, mb in memory.whole.items()},
        **{f"{part}_process_mb": round(mb) for part, mb in memory.largest.items()},
    }


def _named(*phases: Phase) -> list[tuple[str, Phase]]:
    return list(zip(("quiet", "busy", "loaded"), phases, strict=True))


def _report(quiet: Phase, busy: Phase, loaded: Phase, signed: Figures) -> None:
    named = _named(quiet, busy, loaded)
    print(f"{'':22}" + "".join(f"{name:>26}" for name, _ in named) + f"{'p95 ratio':>11}")
    print(f"{'':22}" + f"{'number':>10}{'p50 ms':>8}{'p95 ms':>8}" * len(named))
    for kind in sorted({kind for _, phase in named for kind in phase.requests}):
        _row(kind, [phase.requests.get(kind, []) for _, phase in named])
    _row("all requests", [phase.all for _, phase in named])
    print("\nuntil the page shows it, in ms (it looks every 2 s)")
    for kind in sorted({kind for _, phase in named for kind in phase.waits}):
        _row(kind, [phase.waits.get(kind, []) for _, phase in named])
    print("\nfrom a job's request to its first slice, in ms")
    for kind in sorted({kind for _, phase in named for kind in phase.starts}):
        _row(kind, [phase.starts.get(kind, []) for _, phase in named])
    took = [seconds for kind, seconds in signed["requests"] if kind == "sign in"]
    if took:
        print(f"\nsigning in, four at a time: p50 {quantile(took, 0.5) * 1000:.0f} ms")
    for name, phase in named:
        used = ", ".join(f"{part} {cores:.2f}" for part, cores in phase.cores.items())
        print(
            f"{name}: {phase.asked / phase.seconds:.1f} requests per second for {phase.seconds:.0f} s; cores: {used}"
        )
    print(flush=True)


def _row(kind: str, samples: list[list[float]]) -> None:
    line = f"{kind:22}"
    for found in samples:
        if found:
            line += f"{len(found):>10}{quantile(found, 0.5) * 1000:>8.0f}{quantile(found, 0.95) * 1000:>8.0f}"
        else:
            line += f"{0:>10}{'':16}"
    quiet, busy, *_ = samples
    if len(quiet) >= FEW and len(busy) >= FEW:
        line += f"{quantile(busy, 0.95) / quantile(quiet, 0.95):>11.2f}"
    print(line)


def _say(what: str, answer: Figures) -> None:
    print(f"{what}: {len(answer['requests'])} requests, {len(answer['errors'])} errors", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument(
        "--tenants", type=int, help="with people, besides the one that imports (50, or 3 if short)"
    )
    parser.add_argument(
        "--clients", type=int, help="people in all (50, or 5 if short; one for each tenant at least)"
    )
    parser.add_argument("--think", type=float, help="seconds between two acts, about (10, or 1 if short)")
    parser.add_argument(
        "--seconds", type=int, help="of the quiet and of the busy traffic each (120, or 12 if short)"
    )
    parser.add_argument("--loaded-seconds", type=int, help="of those who do not think (30, or 5 if short)")
    parser.add_argument("--records", type=int, help="of each tenant at the begin (5000, or 300 if short)")
    parser.add_argument(
        "--import-rows", "--rows", type=int, help="of the large file (1000000, or 20000 if short)"
    )
    parser.add_argument("--short", action="store_true", help="about a minute: what is right, not how fast")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--worker-env",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the worker alone",
    )
    parser.add_argument(
        "--worker-nice", type=int, default=0, help="by how much the worker gives way to others"
    )
    asked = parser.parse_args()
    usual = {
        "tenants": (50, 3), "clients": (50, 5), "think": (10.0, 1.0), "seconds": (120, 12), "loaded_seconds": (30, 5),
        "records": (5000, 300), "import_rows": (1_000_000, 20_000),
    }  # fmt: skip
    for name, (whole, short) in usual.items():
        if getattr(asked, name) is None:
            setattr(asked, name, short if asked.short else whole)
    asked.clients = max(asked.clients, asked.tenants)
    if not 1 <= asked.tenants < 9999:
        parser.error("1 to 9,998 tenants")
    if asked.records < 120:
        parser.error("at least 120 records, or a list has no second page")
    return asked


def _pair(said: str) -> tuple[str, str]:
    name, _, value = said.partition("=")
    return name, value


if __name__ == "__main__":
    main()
