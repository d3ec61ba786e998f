"""Imports against `\\copy` of the same rows into a typed, logged table with a primary key, and against others.

    python -m benchmarks.imports --rows 1000000 --rounds 3 --only ours
    python -m benchmarks.imports --peer-rows 100000 --only peers

A server of the benchmark's own, started and removed here. The file has twelve columns of every type, its keys in
random order and 1 % faulty rows; `\\copy` gets its clean twin, because it stops at the first bad row. All are
measured in one run, in turns, each after a checkpoint; medians count.

An import is the command as people call it, its start included: storing the file, dialect, mapping, validation of
every cell, staging, preview, merge, history. "Confirm of an identical file" is timed inside such a process, from
the confirm to the end of the merge. CPU is the process's and the server's.

Left out: the upload by a browser, the worker's claim of a job, S3 (files lie on the local disk).
Peers run on clean rows, each at the same number as ours beside it. What a run with ten rows takes is subtracted on
both sides, so start-up counts on neither. Beside DRF, which only validates here, stands our preview: it validates,
stages and plans, and writes no record; `cpu_vs_drf_whole_import` has our whole import instead. Beside openpyxl
stands our import of the same workbook; `cpu_vs_openpyxl_from_csv` has our import of the same rows as CSV.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks import imports_ours as ours
from benchmarks import imports_peers as peers
from benchmarks.imports_file import make_files
from benchmarks.imports_ground import Ground, open_ground

RATIOS = {
    "ratio_first_import": ours.FIRST,
    "ratio_unchanged": ours.SAME,
    "ratio_changed_10": ours.TENTH,
    "ratio_update_all": ours.ALL,
}
OURS_TITLES = {
    "import": "ours: CSV, validation, preview, merge, history",
    "preview": "ours: CSV, validation and preview only (beside DRF)",
    "workbook": "ours: XLSX, validation, preview, merge, history",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1, help="repetitions of every import and \\copy")
    parser.add_argument(
        "--peer-rows", type=int, default=20_000, help="rows of each peer, and of ours beside it"
    )
    parser.add_argument("--only", choices=["ours", "peers"], help="leave the other half out")
    parser.add_argument(
        "--peers", nargs="*", choices=sorted(peers.PEERS), help="which peers; all if left out"
    )
    arguments = parser.parse_args()
    figures: dict[str, Any] = dict.fromkeys(
        [
            "rows",
            *RATIOS,
            "ratio_confirm_identical",
            *(peer.figure for peer in peers.PEERS.values()),
            "peak_mb",
        ]
    )
    with open_ground() as ground:
        if arguments.only != "peers":
            figures |= _ours(ground, arguments.rows, arguments.rounds)
        if arguments.only != "ours":
            figures |= _peers(ground, arguments.peer_rows, arguments.peers or list(peers.PEERS))
    print(json.dumps(figures))


def _ours(ground: Ground, rows: int, rounds: int) -> dict[str, Any]:
    folder = ground.folder / "ours"
    folder.mkdir()
    files = make_files(folder, rows)
    measured = ours.measure(ground, files, rounds)
    floor, floor_cpu = measured.seconds(ours.COPY), measured.cpu(ours.COPY)
    confirm = statistics.median(measured.confirms)
    print(f"{rows:,} rows, {files.rejected:,} of them faulty; medians of {rounds}")
    print(f"{'':32}{'seconds':>10}{'x copy':>10}{'CPU s':>10}{'x copy':>10}")
    for name in (ours.COPY, *RATIOS.values()):
        seconds, cpu = measured.seconds(name), measured.cpu(name)
        print(f"{name:32}{seconds:10.2f}{seconds / floor:10.2f}{cpu:10.2f}{cpu / floor_cpu:10.2f}")
    print(f"{'confirm of an identical file':32}{confirm:10.3f}{confirm / floor:10.3f}")
    first = measured.seconds(ours.FIRST)
    return {
        "rows": rows,
        **{figure: round(measured.seconds(name) / floor, 2) for figure, name in RATIOS.items()},
        "ratio_confirm_identical": round(confirm / floor, 4),
        "peak_mb": round(measured.peak_mb()),
        "copy_seconds": round(floor, 2),
        "first_import_seconds": round(first, 2),
        "rows_per_second": round(rows / first),
        "preview_identical_seconds": round(statistics.median(measured.previews), 2),
        "confirm_identical_seconds": round(confirm, 3),
        "cpu_seconds": {name: round(measured.cpu(name), 2) for name in (ours.COPY, *RATIOS.values())},
    }


def _peers(ground: Ground, rows: int, names: list[str]) -> dict[str, Any]:
    folder = ground.folder / "peers"
    compared = peers.measure(ground, folder, rows, names)
    print(f"{rows:,} clean rows, start-up subtracted")
    print(f"{'':56}{'CPU us/row':>12}{'x ours':>10}")
    for name, value in compared.ours.items():
        print(f"{OURS_TITLES[name]:56}{value:12.1f}")
    for name in names:
        print(f"{peers.PEERS[name].title:56}{compared.peers[name]:12.1f}{compared.times(name):10.1f}")
    return {
        "peer_rows": rows,
        "cpu_us_per_row": {
            **{f"ours_{name}": round(value, 1) for name, value in compared.ours.items()},
            **{name: round(value, 1) for name, value in compared.peers.items()},
        },
        "cpu_vs_drf_whole_import": round(compared.times("drf", "import"), 1) if "drf" in names else None,
        "cpu_vs_openpyxl_from_csv": round(compared.times("openpyxl", "import"), 1)
        if "openpyxl" in names
        else None,
        **{peers.PEERS[name].figure: round(compared.times(name), 1) for name in names},
    }


if __name__ == "__main__":
    main()
