"""The file that jobs import: the demo's runways, again and again."""

from __future__ import annotations

import csv
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "platform" / "rowhouse" / "demo" / "files" / "runways.csv"


def make_file(path: Path, rows: int) -> None:
    """Write `rows` runways: the real ones again and again, each time with ids of their own."""
    with SOURCE.open(encoding="utf-8", newline="") as source:
        header, *records = csv.reader(source)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        written = 0
        while written < rows:
            shift = written // len(records) * 1_000_000
            for record in records[: rows - written]:
                writer.writerow([int(record[0]) + shift, *record[1:]])
            written += min(len(records), rows - written)
