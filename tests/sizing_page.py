"""The tables of docs/operations/sizing.md, computed from what `benchmarks.load` measured.

    python -m benchmarks.load | tail -n 1 > docs/operations/load-figures.json
    python -m tests.sizing_page            writes the tables anew

Nothing in them is typed in by hand but what the other benchmarks' pages say, which stands in ELSEWHERE with its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tests.source import ROOT

type Figures = dict[str, Any]

PAGE = ROOT / "docs" / "operations" / "sizing.md"
FIGURES = ROOT / "docs" / "operations" / "load-figures.json"
BLOCK = re.compile(r"(<!-- sizing: (\w+) -->\n)(.*?)(<!-- /sizing -->)", re.DOTALL)
HEADROOM = 2.0  # processors are planned to be half busy
ROOM = 1.5  # of memory and disk
MB = 1024 * 1024
# What others measured, in MB, with the page that says so.
ELSEWHERE = {
    "importing": (220, "README.md", "below 220 MB"),
    "workbook": (320, "README.md", "320 MiB of addresses"),
    "exporting": (122, "README.md", "at 122 MB"),
    "web_process": (109, "docs/operations/scaling.md", "the process 109 MB"),
    "connection": (35, "docs/operations/scaling.md", "the largest of 16 connections 35 MB"),
}
MERGE_MB = 256  # ROWHOUSE_MERGE_MEMORY_MB
WAL_GB = 4  # max_wal_size


@dataclass(frozen=True, slots=True)
class Size:
    """What a platform has to bear."""

    name: str
    tenants: int
    people: int  # at work at the same moment
    rows_per_hour: int  # imported, at the busiest
    records: int  # of all tenants together


SIZES = (
    Size("small", 20, 20, 500_000, 2_000_000),
    Size("medium", 200, 150, 3_000_000, 20_000_000),
    Size("large", 1000, 600, 15_000_000, 100_000_000),
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a size takes. CPU in cores, memory in MB."""

    requests_per_second: float
    web_pods: int
    web_cpu: float  # of a pod
    web_mb: int
    worker_pods: int
    worker_cpu: float
    worker_mb: int
    connections: int
    server_cpu: float
    server_mb: int
    disk_gb: int


def need(size: Size, figures: Figures) -> Need:
    """Compute what a size takes from what was measured, with HEADROOM and ROOM."""
    cpu, row = figures["cpu_ms_per_request"], figures["import_cpu_us_per_row"]
    rate = size.people * figures["quiet_requests_per_second"] / figures["clients"]
    per_second = size.rows_per_hour / 3600
    web = rate * cpu["web"] / 1000 * HEADROOM + per_second * row["web"] / 1e6 * HEADROOM
    worker = rate * cpu["worker"] / 1000 * HEADROOM + per_second * row["worker"] / 1e6 * HEADROOM
    server = rate * cpu["server"] / 1000 * HEADROOM + per_second * row["server"] / 1e6 * HEADROOM
    # Two of each from medium on, so that one may die.
    least = 1 if size is SIZES[0] else 2
    web_pods = max(least, ceil(web / figures["web_processes"]))
    worker_pods = max(least, ceil(worker / figures["worker_processes"]))
    web_process = max(figures["web_process_mb"], ELSEWHERE["web_process"][0])
    busy = sum(ELSEWHERE[name][0] for name in ("importing", "workbook", "exporting"))
    worker_mb = figures["worker_mb_at_begin"] + busy
    of_web = figures["web_processes"] * figures["web_threads"]
    of_worker = (
        max(figures["connections"] - of_web, figures["worker_processes"]) + figures["worker_processes"]
    )
    connections = web_pods * of_web + worker_pods * of_worker
    catalog_mb = size.tenants * figures["catalog_bytes_per_tenant"] / MB
    connection_mb = max(figures["server_process_mb"], ELSEWHERE["connection"][0])
    server_mb = (max(512, catalog_mb) + connections * connection_mb + worker_pods * MERGE_MB) * ROOM
    kept = size.records * (figures["record_bytes_per_row"] + figures["history_bytes_per_row"]) / MB
    return Need(
        requests_per_second=rate,
        web_pods=web_pods,
        web_cpu=_quarters(web / web_pods),
        web_mb=_up(web_process * figures["web_processes"] * ROOM, 64),
        worker_pods=worker_pods,
        worker_cpu=_quarters(max(worker / worker_pods, 1)),  # an import keeps one busy
        worker_mb=_up(worker_mb * 1.2, 64),
        connections=connections,
        server_cpu=max(2.0, _quarters(server)),  # a merge keeps one busy, and people want the other
        server_mb=_up(server_mb, 1024),
        disk_gb=ceil((catalog_mb + kept) * ROOM / 1024) + WAL_GB,
    )


def _quarters(cores: float) -> float:
    return ceil(cores * 4) / 4


def _up(mb: float, step: int) -> int:
    return ceil(mb / step) * step


# ---- tables


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _sizes(figures: Figures) -> str:
    needs = [need(size, figures) for size in SIZES]

    def row(word: str, values: list[str]) -> tuple[str, ...]:
        return (word, *values)

    return _table(
        ("", *(size.name for size in SIZES)),
        [
            row("tenants", [f"{size.tenants:,}" for size in SIZES]),
            row("people at work at once", [f"{size.people:,}" for size in SIZES]),
            row("which ask, requests per second", [f"{one.requests_per_second:,.0f}" for one in needs]),
            row("rows imported in the busiest hour", [f"{size.rows_per_hour:,}" for size in SIZES]),
            row("records of all", [f"{size.records:,}" for size in SIZES]),
            row(
                f"**web**: pods of {figures['web_processes']} × {figures['web_threads']}",
                [str(one.web_pods) for one in needs],
            ),
            row("cores, memory of each", [f"{one.web_cpu:g}, {one.web_mb} MB" for one in needs]),
            row(
                f"**worker**: pods of {figures['worker_processes']} processes",
                [str(one.worker_pods) for one in needs],
            ),
            row("cores, memory of each", [f"{one.worker_cpu:g}, {one.worker_mb} MB" for one in needs]),
            row("**PostgreSQL**: cores", [f"{one.server_cpu:g}" for one in needs]),
            row("memory", [f"{one.server_mb // 1024} GB" for one in needs]),
            row("connections of ours", [str(one.connections) for one in needs]),
            row("disk", [f"{one.disk_gb:,} GB" for one in needs]),
        ],
    )


def _run(figures: Figures) -> str:
    return (
        f"{figures['tenants']} tenants with {figures['records']:,} records each, {figures['clients']} people who think"
        f" about {figures['think_seconds']:g} s between two acts, {figures['import_rows']:,} rows of 7 columns imported"
        f" beside them, on {figures['cores']} cores that carried a load of {figures['load_before']} before it began;"
        f" {figures['requests']:,} requests, {figures['errors']} errors.\n"
    )


def _import(figures: Figures) -> str:
    rows = [
        ("all requests: 95th percentile", f"{figures['p95_ratio_during_import']:.2f}"),
        ("all requests: median", f"{figures['p50_ratio_during_import']:.2f}"),
        *(
            (f"{kind}: 95th percentile", f"{ratio:.2f}")
            for kind, ratio in figures["p95_ratios_by_kind"].items()
        ),
        *(
            (f"first slice of `{kind}`: 95th percentile", f"{ratio:.2f}")
            for kind, ratio in figures["p95_ratios_of_job_starts"].items()
        ),
        (
            "requests answered in a second",
            _by(figures, "busy_requests_per_second", "quiet_requests_per_second"),
        ),
        ("the import, by its time alone", _by(figures, "import_busy_seconds", "import_alone_seconds")),
    ]
    return _table(("while one tenant imports", "x"), rows)


def _by(figures: Figures, one: str, other: str) -> str:
    return f"{figures[one] / figures[other]:.2f}"


# What was measured, in the words of the page; the names are those of the benchmark's last line.
MEASURED = (
    (
        "CPU of a request, the mean of the mix: web, PostgreSQL, worker",
        "{cpu_ms_per_request[web]:.0f}, {cpu_ms_per_request[server]:.0f}, {cpu_ms_per_request[worker]:.0f} ms",
    ),
    (
        "requests per second of the whole machine, client included, when nobody thinks",
        "{requests_per_second:.0f}",
    ),
    (
        "the median and the 95th percentile of all requests in quiet traffic",
        "{p50_ms[quiet]} and {p95_ms[quiet]} ms",
    ),
    (
        "CPU of an imported row: web (upload), worker, PostgreSQL",
        "{import_cpu_us_per_row[web]:.0f}, {import_cpu_us_per_row[worker]:.0f},"
        " {import_cpu_us_per_row[server]:.0f} µs",
    ),
    ("rows per second of an import by the pages, alone", "{import_rows_per_second:,.0f}"),
    ("memory of a web process, the largest", "{web_process_mb} MB"),
    (
        "memory of the worker's processes together, at rest and at most",
        "{worker_mb_at_begin} and {worker_mb} MB",
    ),
    (
        "memory of PostgreSQL's processes, shared buffers left out: the largest, and all together",
        "{server_process_mb} and {server_mb} MB",
    ),
    ("connections of one web pod and one worker", "{connections}"),
    (
        "a row in the file; as a record with its indexes; as its first version in history",
        "{file_bytes_per_row}, {record_bytes_per_row}, {history_bytes_per_row} bytes",
    ),
    ("WAL of an imported row", "{wal_bytes_per_row} bytes"),
    ("a tenant in the catalog, with one dataset", "{catalog_mb:.1f} MB, {relations_per_tenant} relations"),
)


def _measured(figures: Figures) -> str:
    known = {
        **figures,
        "import_rows_per_second": figures["import_rows"] / figures["import_alone_seconds"],
        "catalog_mb": figures["catalog_bytes_per_tenant"] / MB,
    }
    return _table(("what", "measured"), [(what, said.format_map(known)) for what, said in MEASURED])


TABLES = {"sizes": _sizes, "run": _run, "measured": _measured, "import": _import}


def filled(page: str, figures: Figures) -> str:
    """Return the page with its tables made anew.

    :raises AssertionError: the page lacks one of them.
    :raises KeyError: the figures lack one.
    """
    there = {found[2] for found in BLOCK.finditer(page)}
    assert there == set(TABLES), f"the page has {sorted(there)}, not {sorted(TABLES)}"
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]](figures) + found[4], page)


def figures_of() -> Figures:
    """Return what the last measurement said."""
    said: Figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    return said


def main() -> None:
    figures = figures_of()
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
