"""Reads one file as a preview does, under limits of its own: a program, told the path, CPU seconds and MiB.

Everything is imported and used once before the limits are set, so they are what the file itself may cost:
seconds of CPU after which the kernel ends the process, and bytes of address space that cannot be had.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

from core.errors import RowhouseError
from datasets.spec import ColumnSpec, DatasetSpec
from importer.dialect import sniff_path
from importer.gate import HEAD_BYTES, file_kind
from importer.mapping import suggest
from importer.readers.csv import read_chunks
from importer.validation import Validator

SPEC = DatasetSpec(
    1, "rows", "Rows",
    (
        ColumnSpec(1, "id", "integer", is_required=True),
        ColumnSpec(2, "name", "text"),
        ColumnSpec(3, "amount", "decimal"),
        ColumnSpec(4, "due", "date"),
    ),
    ("c1",),
)  # fmt: skip


def preview(path: Path) -> dict[str, int]:
    """Return how many rows were staged and rejected."""
    with path.open("rb") as file:
        file_kind(file.read(HEAD_BYTES), path.name)
    sniffed = sniff_path(path)
    matches = suggest(sniffed.labels, sniffed.samples, SPEC.columns)
    validator = Validator(SPEC, matches, sniffed.dialect)
    staged = rejected = 0
    for chunk in read_chunks(path, sniffed.dialect):
        checked = validator.check(chunk)
        staged, rejected = staged + checked.staged_rows, rejected + len(checked.rejected)
    return {"staged": staged, "rejected": rejected}


def warm_up(folder: Path) -> None:
    """Use once whatever takes memory for good: threads, tables of the regular expressions, polars' pools."""
    many = "id,name,amount,due\n" + "x,y,1.50,2026-01-01\n" * 2_000  # enough for the screen of whole columns
    for text in ('id,name,amount,due\n1,x,1.5,2026-01-01\nx,"a\nb"c,,\n', "id;name\n1;\xe9\n", many):
        file = folder / f"warm_{os.getpid()}.csv"
        file.write_bytes(text.encode())
        preview(file)
        file.unlink()


def limit(cpu_seconds: int, memory_mib: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = int(time.process_time()) + 1 + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def main() -> None:
    path = Path(sys.argv[1])
    warm_up(path.parent)
    before = time.process_time()
    limit(int(sys.argv[2]), int(sys.argv[3]))
    try:
        told: dict[str, object] = dict(preview(path))
    except RowhouseError as error:
        told = {"refused": error.code, "message": error.message}
    print(json.dumps(told | {"cpu": round(time.process_time() - before, 2)}))  # noqa: T201 -- a program


if __name__ == "__main__":
    main()
