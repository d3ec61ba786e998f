"""The others, each in a process of its own on a database of its own, and our command on the same rows beside it."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.imports_file import LABELS, make_files
from benchmarks.imports_ground import Ground
from benchmarks.imports_ours import Tenant

DATABASE = "peers"
FEW = 10  # what a run with so few rows takes is start-up
STARTS = 3  # the least of so many: the first one also fills caches


@dataclass(frozen=True, slots=True)
class Peer:
    """What is run (`benchmarks.imports_peer.work`), how the table calls it, and its figure in the JSON."""

    title: str
    figure: str
    beside: str = "import"  # which of our runs it is compared with


PEERS = {
    "import_export_history": Peer(
        "django-import-export: dry run, import, history", "cpu_vs_import_export_history"
    ),
    "import_export_bulk": Peer(
        "django-import-export: dry run, bulk import, no history", "cpu_vs_import_export_bulk"
    ),
    "simple_history_bulk": Peer("bulk_create_with_history, nothing validated", "cpu_vs_simple_history_bulk"),
    "drf": Peer("DRF serializer per row, validation only", "cpu_vs_drf", "preview"),
    "openpyxl": Peer("openpyxl, get_or_create per row, no history", "cpu_vs_openpyxl", "workbook"),
}


# Our runs: which file, and further words of the command. A preview validates, stages, plans, and writes no record.
OURS: dict[str, tuple[str, tuple[str, ...]]] = {
    "import": ("csv", ()),
    "preview": ("csv", ("--preview",)),
    "workbook": ("xlsx", ()),
}


@dataclass(slots=True)
class Compared:
    """CPU microseconds per row, of our runs and of the peers."""

    ours: dict[str, float] = field(default_factory=dict)
    peers: dict[str, float] = field(default_factory=dict)

    def times(self, name: str, beside: str = "") -> float:
        return self.peers[name] / self.ours[beside or PEERS[name].beside]


def measure(ground: Ground, folder: Path, rows: int, names: Sequence[str]) -> Compared:
    """Run each of the peers and our command on the same `rows` clean rows."""
    many, few = _clean(folder / "many", rows), _clean(folder / "few", FEW)
    compared = Compared()
    tenant = Tenant(ground, "bench-peers")
    for name in dict.fromkeys(["import", *(PEERS[name].beside for name in names)]):
        kind, words = OURS[name]

        def imported(
            files: dict[str, Path], count: int, slug: str, kind: str = kind, words: tuple[str, ...] = words
        ) -> float:
            tenant.dataset(folder / "many" / "definition.json", slug=slug)
            ground.settle()
            return tenant.import_file(files[kind], {"created": count}, *words, dataset=slug).cpu

        started = min(imported(few, FEW, f"{name}-few-{number}") for number in range(STARTS))
        compared.ours[name] = (imported(many, rows, f"{name}-many") - started) / rows * 1e6
    ground.superuser(f"CREATE DATABASE {DATABASE} OWNER rowhouse")
    for name in names:
        kind = OURS[PEERS[name].beside][0]
        started = min(_run(ground, name, few[kind], FEW) for _ in range(STARTS))
        compared.peers[name] = (_run(ground, name, many[kind], rows) - started) / rows * 1e6
    tenant.remove()
    return compared


def _run(ground: Ground, name: str, path: Path, rows: int) -> float:
    """Return the CPU seconds of a peer's run on empty tables.

    :raises SystemExit: it did not take every row.
    """
    url = ground.server.url(DATABASE)
    ground.run("-m", "benchmarks.imports_peer", "reset", DATABASE_URL=url)
    ground.settle()
    timed = ground.run("-m", "benchmarks.imports_peer", name, str(path), DATABASE_URL=url)
    taken = int(timed.output.split()[-1])
    if taken != rows:
        raise SystemExit(f"{name} took {taken} of {rows} rows.")
    return timed.cpu


def _clean(folder: Path, rows: int) -> dict[str, Path]:
    folder.mkdir(parents=True)
    clean = make_files(folder, rows).clean
    workbook = folder / "clean.xlsx"
    _write_workbook(clean, workbook)
    return {"csv": clean, "xlsx": workbook}


def _write_workbook(source: Path, target: Path) -> None:
    """Write the rows of a CSV as people have them in a workbook: numbers, days, moments and truths as such."""
    from openpyxl import Workbook  # noqa: PLC0415 -- slow import

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("stock")
    sheet.append(list(LABELS))
    with source.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            sheet.append([_typed(label, row[label]) for label in LABELS])
    workbook.save(target)


def _typed(label: str, text: str) -> object:
    if text == "":
        return None
    match label:
        case "id" | "quantity":
            return int(text)
        case "price" | "rate":
            return float(text)
        case "is_open":
            return text == "true"
        case "day" | "due":
            return dt.date.fromisoformat(text)
        case "seen_at":
            return dt.datetime.fromisoformat(text).replace(tzinfo=None)
        case _:
            return text
