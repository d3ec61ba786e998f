"""The clean-up of a history of ten million versions while people edit, read and import; on a server of its own.

    python -m benchmarks.retention --versions 10000000
    python -m benchmarks.retention --short

1. Ours: the product's job, in the product's worker, with the dataset's retention.
2. The peer: what django-simple-history's `clean_old_history` sends, one `DELETE` of all that is older, on a second
   dataset of the same history, under the lock that keeps imports and plans of an undo from seeing half of it.
3. The floor: the same people at the second dataset, and no clean-up at all.

The people are processes of their own: two save records through the product's forms, one reads lists and histories, one
imports small files from upload to merge. Meanwhile the server is asked every 20 ms who waits for a lock (pg_locks) and
for how long, and how long the longest statement on a history has been running. Reported are the longest wait for a lock
of anybody, the longest and the 99th percentile of each sort of the people's statements, the versions removed per
second, and what the table takes before, right after, and after a VACUUM.

A history here is of three columns, twenty versions of each record, evenly over 400 days, of which 30 are kept. The last
line is one JSON object; the exit code is 1 where anybody waited for more than a second for ours.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from benchmarks.jobs_ground import ROOT, Ground, open_ground, quantile, until

if TYPE_CHECKING:
    from core.tenancy import TenantRef
    from datasets.models import Dataset

type Figures = dict[str, Any]

PER_RECORD = 20  # versions
DAYS, KEPT_DAYS = 400, 30
LOOK_SECONDS = 0.02
MOST_WAIT_SECONDS = 1.0
PEOPLE = ("edit", "edit", "read", "import")
FLOOR_SECONDS = 30


def main() -> None:
    """Fill, clean, measure, print; exit 1 when somebody waited too long for ours."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that its server and worker end too
    figures: Figures = {"versions": asked.versions}
    with open_ground() as ground:
        figures |= _played(ground, asked.versions)
    for name, value in figures.items():
        print(f"  {name:44}{value:>16}")
    too_long = figures["ours_longest_lock_wait_seconds"] > MOST_WAIT_SECONDS
    print(json.dumps(figures))
    sys.exit(1 if too_long or figures["people_who_failed"] else 0)


def _played(ground: Ground, versions: int) -> Figures:
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
    from datasets.pruning import set_history_days  # noqa: PLC0415 -- after the settings

    tenant = ground.tenant("retention")
    figures: Figures = {}
    failed: list[str] = []
    with in_tenant(tenant), ground.worker():
        for who in ("ours", "peer"):
            dataset = _made(tenant, who.title(), versions)
            before = _size(dataset)
            kept = _old(dataset)
            with _people(ground, dataset, who, failed) as told, _Watch(ground) as watch:
                time.sleep(5)  # everybody is at work
                started = time.monotonic()
                if who == "ours":
                    set_history_days(dataset=dataset, days=KEPT_DAYS)
                    _job_done(ground)
                else:
                    _peer(dataset)
                took = time.monotonic() - started
                time.sleep(2)
            figures |= {f"{who}_{name}": value for name, value in (watch.figures() | _told(told)).items()}
            removed = kept - _old(dataset)
            figures |= {
                f"{who}_removed": removed,
                f"{who}_seconds": round(took, 1),
                f"{who}_removed_per_second": round(removed / took),
                f"{who}_mb_before": before,
                f"{who}_mb_after": _size(dataset),
            }
            started = time.monotonic()
            _vacuum(ground, dataset, tenant)
            figures |= {
                f"{who}_mb_after_vacuum": _size(dataset),
                f"{who}_vacuum_seconds": round(time.monotonic() - started, 1),
            }
        with _people(ground, dataset, "floor", failed) as told, _Watch(ground) as watch:
            time.sleep(FLOOR_SECONDS)
        figures |= {f"floor_{name}": value for name, value in (watch.figures() | _told(told)).items()}
    for wrong in failed:
        print(f"WRONG {wrong}", flush=True)
    return figures | {"people_who_failed": len(failed)}


# ---- the stage


def _made(tenant: TenantRef, title: str, versions: int) -> Dataset:
    """Make a dataset whose records have twenty versions each, the newest of which is what they say."""
    from django.db import connection, transaction  # noqa: PLC0415 -- after the settings

    from audit.tracking import untracked  # noqa: PLC0415 -- after the settings
    from datasets import ddl  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings

    columns = [NewColumn("no", "integer"), NewColumn("name"), NewColumn("amount", "integer")]
    dataset = create_dataset(title=title, columns=columns, key=["no"])
    no, name, amount = (column.name for column in dataset.spec().columns)
    records, table = versions // PER_RECORD, f"ds_{dataset.pk}"
    started = time.monotonic()
    with transaction.atomic(), untracked(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            f"INSERT INTO {table} ({no}, {name}, {amount}) SELECT n, 'record ' || n, {PER_RECORD}"
            " FROM generate_series(1, %s) n",
            [records],
        )
        # Round after round, as it grows in life: the versions of a record lie far apart.
        cursor.execute(
            f"INSERT INTO {table}_history (id, {no}, {name}, {amount}, history_date, history_type)"
            f" SELECT t.id, t.{no}, t.{name}, r, now() - make_interval(secs => {DAYS} * 86400.0"
            f" * (1 - ((r - 1) * %s + t.id)::float / ({PER_RECORD} * %s))), CASE r WHEN 1 THEN '+' ELSE '~' END"
            f" FROM generate_series(1, {PER_RECORD}) r CROSS JOIN {table} t ORDER BY r, t.id",
            [records, records],
        )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
        cursor.execute(f"ANALYZE {table}_history")
    ddl.index_new_versions(dataset.spec())  # as an import does
    print(f"{title}: {versions:,} versions made in {time.monotonic() - started:.0f} s", flush=True)
    return dataset


def _job_done(ground: Ground) -> None:
    from core.tenancy import in_public  # noqa: PLC0415 -- after the settings
    from jobs.services import submit  # noqa: PLC0415 -- after the settings

    job = submit("datasets.prune_history", target="benchmark", payload={})

    def has_ended() -> bool:
        with in_public():
            job.refresh_from_db()
        return job.has_ended

    until(has_ended, "the clean-up", pause=0.2)
    assert job.state == "DONE", (job.state, job.error)
    print(f"ours: {job.step:,} slices of {job.busy_seconds / job.step:.2f} s", flush=True)


def _peer(dataset: Dataset) -> None:
    """What one statement does: everything older goes at once, under the lock of whoever writes many records."""
    from django.db import connection, transaction  # noqa: PLC0415 -- after the settings

    from datasets import ddl  # noqa: PLC0415 -- after the settings

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        ddl.lock_dataset(dataset.pk)
        cursor.execute(
            f"DELETE FROM ds_{dataset.pk}_history WHERE history_date < now() - make_interval(days => {KEPT_DAYS})"
        )


def _size(dataset: Dataset) -> int:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s) / 1024 / 1024", [f"ds_{dataset.pk}_history"])
        return int(cursor.fetchone()[0])


def _old(dataset: Dataset) -> int:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM ds_{dataset.pk}_history"
            f" WHERE history_date < now() - make_interval(days => {KEPT_DAYS})"
        )
        return int(cursor.fetchone()[0])


def _vacuum(ground: Ground, dataset: Dataset, tenant: TenantRef) -> None:
    import psycopg2  # noqa: PLC0415 -- slow import

    link = psycopg2.connect(ground.server.url())
    link.autocommit = True
    with link.cursor() as cursor:
        cursor.execute(f"VACUUM {tenant.schema}.ds_{dataset.pk}_history")
    link.close()


# ---- the people


@dataclass
class _Told:
    files: list[Path] = field(default_factory=list)


@contextmanager
def _people(ground: Ground, dataset: Dataset, who: str, failed: list[str]) -> Iterator[_Told]:
    """Have everybody at work for the length of the block."""
    told = _Told()
    stop = ground.folder / f"stop-{who}"
    working = []
    for number, role in enumerate(PEOPLE):
        out = ground.folder / f"{who}-{number}.json"
        told.files.append(out)
        words = ["retention", str(dataset.pk), role, str(number), str(stop), str(out)]
        working.append(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.retention_people", *words], env=os.environ, cwd=ROOT
            )
        )
    try:
        until(lambda: all(file.exists() for file in told.files), "the people to be there")
        yield told
    finally:
        stop.touch()
        for role, process in zip(PEOPLE, working, strict=True):
            if process.wait(120):
                failed.append(f"{who}: {role} ended with {process.returncode}")


def _told(told: _Told) -> Figures:
    seconds: dict[str, list[float]] = {}
    for file in told.files:
        for sort, taken in json.loads(file.read_text()).items():
            seconds.setdefault(sort, []).extend(taken)
    figures: Figures = {}
    for sort, taken in sorted(seconds.items()):
        figures[f"{sort}s"] = len(taken)
        figures[f"longest_{sort}_seconds"] = round(max(taken, default=0.0), 3)
        figures[f"p99_{sort}_seconds"] = round(quantile(taken, 0.99), 4) if taken else 0.0
    return figures


class _Watch:
    """Looks at the server all the time: who waits for which lock, and since when."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.over = Event()
        self.longest_wait = self.longest_statement = 0.0
        self.waiting = ""
        self.thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def figures(self) -> Figures:
        """Return the longest wait for a lock, and the longest DELETE from a history."""
        if self.waiting:
            print(f"waited longest: {self.waiting}", flush=True)
        return {
            "longest_lock_wait_seconds": round(self.longest_wait, 3),
            "longest_delete_seconds": round(self.longest_statement, 2),
        }

    def _look(self) -> None:
        import psycopg2  # noqa: PLC0415 -- slow import

        link = psycopg2.connect(
            host=str(self.ground.server.socket_folder), user="postgres", dbname="postgres"
        )
        link.autocommit = True
        with link.cursor() as cursor:
            while not self.over.is_set():
                cursor.execute(
                    "SELECT extract(epoch FROM clock_timestamp() - l.waitstart)::float, l.locktype || ': ' || a.query"
                    " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted"
                    " AND l.waitstart IS NOT NULL AND a.backend_type = 'client backend' ORDER BY l.waitstart LIMIT 1"
                )
                if (found := cursor.fetchone()) and found[0] > self.longest_wait:
                    self.longest_wait, self.waiting = found[0], found[1][-160:]
                cursor.execute(
                    "SELECT max(extract(epoch FROM clock_timestamp() - query_start))::float FROM pg_stat_activity"
                    " WHERE state = 'active' AND pid <> pg_backend_pid() AND query ~ 'DELETE FROM ds_[0-9]+_history'"
                )
                self.longest_statement = max(self.longest_statement, (cursor.fetchone() or [0])[0] or 0.0)
                time.sleep(LOOK_SECONDS)
        link.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retention",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--versions", "--rows", type=int, default=10_000_000, help="of each of the histories")
    parser.add_argument("--short", action="store_true", help="400,000 versions")
    asked = parser.parse_args()
    if asked.short:
        asked.versions = 400_000
    return asked


if __name__ == "__main__":
    main()
