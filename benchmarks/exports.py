"""Exports against `\\copy … to stdout` of the same rows, and against others.

    python -m benchmarks.exports --rows 1000000 --rounds 3 --only ours
    python -m benchmarks.exports --peer-rows 100000 --only peers

A PostgreSQL of the benchmark's own and rclone's S3 server on a folder, over loopback; both are removed at the end.
(--server moto takes moto's, which is written in Python and takes a third of a core itself.) The records are those of
the benchmark of imports, twelve columns of every type. Everything is measured in one run, in turns; medians count.

Ours is what a worker does: from opening the snapshot to the object that is whole in the storage, the records in the
order they were added, every value in its canonical text. It is timed from within, in a fresh process each time, whose
start and first look at the storage are left out; reading polars, where a format needs it, is in it. The floor is
psql's `\\copy` of the table's rows as they lie, to nowhere. CPU is the process's and the server's; the S3 server's is
left out. `peak_mb` is of CSV.gz to S3, start included; the others' peaks are named beside it.

Peers make the same file of the same rows and send it to the same server; CPU, and what a run with ten rows takes is
subtracted on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.imports_file import make_files
from benchmarks.imports_ground import ROOT, Ground, Timed, open_ground
from benchmarks.imports_ours import Tenant
from core.embedded import _binary

COPY = "copy"
# Name, format and mode of each of ours, and whether it goes to S3.
OURS = {
    "gzip_s3": ("csv.gz", "EXACT", True),
    "gzip_spreadsheet_s3": ("csv.gz", "SPREADSHEET", True),
    "csv": ("csv", "EXACT", False),
    "jsonl": ("jsonl", "EXACT", False),
    "parquet": ("parquet", "EXACT", False),
    "xlsx": ("xlsx", "EXACT", False),
}
PEERS = {"orm": "csv.gz", "import_export": "csv.gz", "xlsxwriter": "xlsx"}
FEW, STARTS = 10, 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer-rows", type=int, default=20_000)
    parser.add_argument("--only", choices=["ours", "peers"], help="leave the other half out")
    parser.add_argument("--server", choices=["rclone", "moto"], default="rclone")
    parser.add_argument("--formats", nargs="*", choices=sorted(OURS), help="which of ours; all if left out")
    arguments = parser.parse_args()
    figures: dict[str, Any] = dict.fromkeys(
        ["ratio_gzip_s3", "ratio_parquet", "ratio_xlsx", "cpu_vs_orm", "cpu_vs_import_export", "peak_mb"]
    )
    with open_ground() as ground, s3_server(arguments.server, ground.folder / "s3") as s3:
        tenant = Tenant(ground, "bench-exports")
        if arguments.only != "peers":
            figures |= _ours(
                ground, tenant, s3, arguments.rows, arguments.rounds, arguments.formats or list(OURS)
            )
        if arguments.only != "ours":
            figures |= _peers(ground, tenant, s3, arguments.peer_rows)
    print(json.dumps(figures))


@contextmanager
def s3_server(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """Start a server and give the environment that keeps files there."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.exports_s3", name, str(folder)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    try:
        endpoint, bucket, access, secret = server.stdout.readline().split()
        yield {
            "ROWHOUSE_S3_BUCKET": bucket,
            "ROWHOUSE_S3_ENDPOINT": endpoint,
            "ROWHOUSE_S3_ACCESS_KEY": access,
            "ROWHOUSE_S3_SECRET_KEY": secret,
        }
    finally:
        server.stdin.close()
        server.wait()


def _filled(ground: Ground, tenant: Tenant, rows: int, slug: str) -> Path:
    """Import so many clean rows into a new dataset; returns their file."""
    folder = ground.folder / slug
    folder.mkdir()
    files = make_files(folder, rows)
    tenant.dataset(files.definition, slug=slug)
    tenant.import_file(files.clean, {"created": rows}, dataset=slug)
    for path in (files.faulty, files.tenth, files.all):
        path.unlink()
    return files.clean


def _ours(
    ground: Ground, tenant: Tenant, s3: dict[str, str], rows: int, rounds: int, names: list[str]
) -> dict[str, Any]:
    _filled(ground, tenant, rows, "stock")
    table = _table(ground, tenant, "stock")
    ground.superuser("CHECKPOINT")
    measured: dict[str, list[Timed]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for _ in range(rounds):
        for name in names:
            measured[COPY].append(_floor(ground, table))
            word, mode, is_s3 = OURS[name]
            timed, sizes[name] = _timed(ground, tenant, s3 if is_s3 else {}, "stock", word, mode, rows)
            measured[name].append(timed)
    seconds = {name: statistics.median(one.seconds for one in runs) for name, runs in measured.items()}
    cpu = {name: statistics.median(one.cpu for one in runs) for name, runs in measured.items()}
    peaks = {name: max(one.peak_mb for one in runs) for name, runs in measured.items()}
    print(f"{rows:,} rows of 12 columns; medians of {rounds}")
    print(f"{'':24}{'seconds':>10}{'x copy':>8}{'CPU s':>8}{'x copy':>8}{'peak MB':>9}{'MB':>8}")
    for name in (COPY, *names):
        print(
            f"{name:24}{seconds[name]:10.2f}{seconds[name] / seconds[COPY]:8.2f}{cpu[name]:8.2f}"
            f"{cpu[name] / cpu[COPY]:8.2f}{peaks[name]:9.0f}{sizes.get(name, 0) / 1e6:8.1f}"
        )
    return {
        "rows": rows,
        **{f"ratio_{name}": round(seconds[name] / seconds[COPY], 2) for name in names},
        **{f"cpu_ratio_{name}": round(cpu[name] / cpu[COPY], 2) for name in names},
        "peak_mb": round(peaks["gzip_s3"]) if "gzip_s3" in names else None,
        "peaks_mb": {name: round(peaks[name]) for name in names},
        "copy_seconds": round(seconds[COPY], 2),
    }


def _timed(
    ground: Ground, tenant: Tenant, s3: dict[str, str], slug: str, word: str, mode: str, rows: int
) -> tuple[Timed, int]:
    """Export once; returns its own times and the file's bytes.

    :raises SystemExit: the file does not hold every row.
    """
    ground.settle()
    served = ground.server_cpu()
    run = ground.run("-m", "benchmarks.exports_driver", tenant.slug, slug, word, mode, codes=(0,), **s3)
    served = ground.server_cpu() - served
    said = json.loads(run.output.splitlines()[-1])
    if said["rows"] != rows:
        raise SystemExit(f"{word} holds {said['rows']} of {rows} rows.")
    return replace(run, seconds=said["seconds"], cpu=said["own_cpu"] + served), int(said["bytes"])


def _table(ground: Ground, tenant: Tenant, slug: str) -> str:
    link = ground.link()
    with link.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM public.tenants_tenant WHERE slug = %s", [tenant.slug])
        (schema,) = cursor.fetchone()
        cursor.execute(f'SELECT id FROM "{schema}".datasets_dataset WHERE slug = %s', [slug])
        (pk,) = cursor.fetchone()
        cursor.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attname ~ '^c[0-9]+$' AND NOT attisdropped",
            [f'"{schema}".ds_{pk}'],
        )
        (columns,) = cursor.fetchone()
        cursor.execute(f'ANALYZE "{schema}".ds_{pk}')
    link.close()
    return f'"{schema}".ds_{pk} ({columns})'


def _floor(ground: Ground, table: str) -> Timed:
    """Time psql's `\\copy` of the table as CSV to nowhere, its start included: hundredths of a second."""
    import resource  # noqa: PLC0415 -- not on every system
    import time  # noqa: PLC0415 -- beside the above

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    ground.settle()
    served, own, started = ground.server_cpu(), children(), time.perf_counter()
    subprocess.run(
        [str(_binary("psql")), ground.server.url(), "-X", "-q", "-c", f"\\copy {table} to stdout (format csv)"],
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return Timed(seconds, ground.server_cpu() - served + children() - own)


def _peers(ground: Ground, tenant: Tenant, s3: dict[str, str], rows: int) -> dict[str, Any]:
    ground.superuser("CREATE DATABASE peers OWNER rowhouse")
    url = ground.server.url("peers")
    taken: dict[str, dict[int, float]] = defaultdict(dict)
    for count, slug in ((FEW, "few"), (rows, "many")):
        clean = _filled(ground, tenant, count, slug)
        ground.run("-m", "benchmarks.imports_peer", "reset", DATABASE_URL=url)
        _fill_peers(ground, clean)
        for word in sorted(set(PEERS.values())):
            taken[word][count] = min(_cpu_of_ours(ground, tenant, s3, slug, word) for _ in range(STARTS))
        for name in PEERS:
            ground.settle()
            out = str(ground.folder / "peer.out")
            runs = (
                ground.run("-m", "benchmarks.exports_peer", name, out, codes=(0,), DATABASE_URL=url, **s3)
                for _ in range(STARTS if count == FEW else 1)
            )
            done = [(int(run.output.split()[-1]), run.cpu) for run in runs]
            if any(written != count for written, _ in done):
                raise SystemExit(f"{name} wrote {done[0][0]} of {count} rows.")
            taken[name][count] = min(cpu for _, cpu in done)
        shutil.rmtree(ground.folder / slug)
    each = {name: (found[rows] - found[FEW]) / rows * 1e6 for name, found in taken.items()}
    print(f"{rows:,} rows, start-up subtracted")
    print(f"{'':40}{'CPU us/row':>12}{'x ours':>10}")
    for word in sorted(set(PEERS.values())):
        print(f"{'ours: ' + word + ' to S3':40}{each[word]:12.1f}")
    for name, word in PEERS.items():
        print(f"{name + ' (beside our ' + word + ')':40}{each[name]:12.1f}{each[name] / each[word]:10.1f}")
    return {
        "peer_rows": rows,
        "cpu_us_per_row": {name: round(value, 1) for name, value in each.items()},
        **{f"cpu_vs_{name}": round(each[name] / each[word], 1) for name, word in PEERS.items()},
    }


def _cpu_of_ours(ground: Ground, tenant: Tenant, s3: dict[str, str], slug: str, word: str) -> float:
    ground.settle()
    return ground.run("-m", "benchmarks.exports_driver", tenant.slug, slug, word, codes=(0,), **s3).cpu


def _fill_peers(ground: Ground, clean: Path) -> None:
    """Give the peers' table the same rows."""
    link = ground.link("peers")
    with link.cursor() as cursor, clean.open("rb") as file:
        names = "key, name, note, status, quantity, price, rate, is_open, day, seen_at, comment, due"
        cursor.copy_expert(
            f"COPY imports_peer_plainstock ({names}) FROM STDIN (FORMAT csv, HEADER true)", file
        )
        cursor.execute("VACUUM ANALYZE imports_peer_plainstock")
    link.close()


if __name__ == "__main__":
    main()
