"""A definition that changes under traffic, and what a change of many records takes; on a server of its own.

    python -m benchmarks.changes --seconds 300 --rows 1000000

1. Traffic: people edit, add, list, look at history, import and export while a column goes through every type and
   rule and back, for so many seconds. Counted are requests, changes and whatever nobody should have seen: a page that
   failed, a refusal nobody could explain, a value that is not the last one written, a record that is gone.
2. Size: text to whole number and the revert, of so many records; rows per second, the process's peak memory, and how
   long the longest of a reader's and a writer's statements waited meanwhile.

The last line is one JSON object. With the seed the same values are written; threads take their turns as they like.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from benchmarks.jobs_ground import Ground, open_ground

if TYPE_CHECKING:
    from core.tenancy import TenantRef
    from datasets.change_models import Change
    from datasets.models import Dataset

type Figures = dict[str, Any]


def main() -> None:
    """Play, measure, print; exit 1 when anything was wrong."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that its server and worker end too
    print(f"seed {asked.seed}", flush=True)
    figures: Figures = {"seed": asked.seed}
    with open_ground() as ground:
        if asked.seconds:
            figures |= _traffic(ground, asked)
        if asked.rows:
            figures |= _size(ground, asked.rows)
    for name, value in figures.items():
        print(f"  {name:40}{value:>14}")
    print(json.dumps(figures))
    sys.exit(1 if figures.get("wrong") else 0)


def _traffic(ground: Ground, asked: argparse.Namespace) -> Figures:
    from benchmarks.changes_traffic import Traffic  # noqa: PLC0415 -- after the settings

    traffic = Traffic.opened(ground.tenant("traffic"), records=asked.records, seed=asked.seed)
    with ground.worker():
        traffic.play(asked.seconds)
    traffic.check()
    for wrong in traffic.wrong:
        print(f"WRONG {wrong}", flush=True)
    counts = {name.replace(" ", "_"): number for name, number in sorted(traffic.counts.items())}
    slowest = {f"slowest_{name}_seconds": round(took, 2) for name, took in traffic.slowest.items()}
    return {**counts, **slowest, "records_compared": len(traffic.truth), "wrong": len(traffic.wrong)}


def _size(ground: Ground, rows: int) -> Figures:
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings

    tenant = ground.tenant("size")
    with in_tenant(tenant):
        dataset = create_dataset(
            title="Size", columns=[NewColumn("no", "integer"), NewColumn("v")], key=["no"]
        )
        _fill(dataset, rows)
        waits = _Waits(tenant, dataset)
        with waits:
            change, check, made = _through(dataset)
            _back, check_back, revert = _through(dataset, reverted=change)
    return {
        "size_rows": rows,
        "check_rows_per_second": round(rows / check),
        "change_rows_and_versions_per_second": round(2 * rows / made),
        "check_of_revert_rows_per_second": round(rows / check_back),
        "revert_rows_and_versions_per_second": round(2 * rows / revert),
        "longest_read_seconds": round(waits.longest["read"], 3),
        "longest_write_seconds": round(waits.longest["write"], 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _fill(dataset: Dataset, rows: int) -> None:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    no, v = (column.name for column in dataset.spec().columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ds_{dataset.pk} ({no}, {v}) SELECT n, CASE n %% 3 WHEN 0 THEN ' ' || n ELSE n::text END"
            " FROM generate_series(1, %s) n",
            [rows],
        )
        cursor.execute(f"ANALYZE ds_{dataset.pk}")


def _through(dataset: Dataset, reverted: Change | None = None) -> tuple[Change, float, float]:
    """Check and make a change in this process; return it with the seconds both took."""
    from datasets import changing  # noqa: PLC0415 -- after the settings
    from jobs import services  # noqa: PLC0415 -- after the settings

    started = time.perf_counter()
    change = (
        changing.revert_change(change=reverted)
        if reverted
        else changing.propose_change(dataset=dataset, column=dataset.columns.get(label="v"), type="integer")
    )
    services.run_until_done(int(change.job_id))
    checked = time.perf_counter()
    change.refresh_from_db()
    changing.confirm_change(change=change)
    services.run_until_done(int(change.job_id))
    change.refresh_from_db()
    assert change.state == "CHANGE_SUCCEEDED", change.error
    return change, checked - started, time.perf_counter() - checked


class _Waits:
    """A reader and a writer of single records, and the longest each had to wait."""

    def __init__(self, tenant: TenantRef, dataset: Dataset) -> None:
        self.tenant, self.table = tenant, f"ds_{dataset.pk}"
        self.no = dataset.spec().columns[0].name
        self.longest = {"read": 0.0, "write": 0.0}
        self.over = Event()
        self.threads = [Thread(target=self._act, args=(what,), daemon=True) for what in self.longest]

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _act(self, what: str) -> None:
        from django.db import connection  # noqa: PLC0415 -- after the settings

        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

        sql = {
            "read": f"SELECT {self.no} FROM {self.table} WHERE {self.no} = %s",
            "write": f"UPDATE {self.table} SET {self.no} = {self.no} WHERE {self.no} = %s",
        }[what]
        with in_tenant(self.tenant):
            while not self.over.is_set():
                started = time.perf_counter()
                with connection.cursor() as cursor:
                    cursor.execute(sql, [random.randrange(1000)])
                self.longest[what] = max(self.longest[what], time.perf_counter() - started)
                time.sleep(0.02)
        connection.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.changes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=300, help="how long the traffic goes on; 0: none")
    parser.add_argument("--records", type=int, default=2000, help="records of the traffic's dataset, twice")
    parser.add_argument("--rows", type=int, default=1_000_000, help="records of the large change; 0: none")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    return parser.parse_args()


if __name__ == "__main__":
    main()
