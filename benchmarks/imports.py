"""A whole first import of a large file, against `\\copy` of the same file into a typed table with a primary key.

    python -m benchmarks.imports --rows 1000000

Both read the same file, in the same run: `\\copy` before and after the import, its median is the measure. The
import is the command as people call it, its start included: dialect, mapping, validation of every cell, staging,
preview, merge, history by trigger. What is left out: the upload by a browser.
"""

from __future__ import annotations

import argparse
import atexit
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "platform" / "rowhouse" / "demo" / "files" / "runways.csv"


@dataclass(frozen=True, slots=True)
class Timed:
    """One run of a child process. `peak_mb` is its largest resident size."""

    seconds: float
    peak_mb: float
    output: str


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


def run(*command: str, environment: dict[str, str]) -> Timed:
    """Run a command to its end.

    :raises SystemExit: it failed; its errors are printed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        _pid, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{errors.read()}")
        return Timed(seconds, usage.ru_maxrss / 1024, out.read())


class Bench:
    """One tenant in a database of the benchmark's own, and `\\copy` beside it."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "ROWHOUSE_DATA": str(folder), "ROWHOUSE_LOG_LEVEL": "WARNING"}
        self.slug = f"bench-{os.getpid()}"

    def rowhouse(self, *arguments: str) -> Timed:
        return run(sys.executable, "-m", "rowhouse", *arguments, environment=self.environment)

    def set_up(self) -> None:
        self.rowhouse("migrate_tenants")
        self.rowhouse("provision_tenant", self.slug, "--admin", "bench@rowhouse.example")
        self.rowhouse(
            "create_dataset",
            "--tenant",
            self.slug,
            "--name",
            "Runways",
            "--infer",
            str(SOURCE),
            "--key",
            "id",
        )

    def import_file(self, path: Path) -> tuple[Timed, dict[str, Any]]:
        timed = self.rowhouse(
            "import_file", str(path), "--tenant", self.slug, "--dataset", "runways", "--json"
        )
        return timed, json.loads(timed.output)

    def copy(self, link: Any, path: Path, columns: list[tuple[str, str]]) -> float:
        """Return the seconds of `\\copy` into a new typed table with a primary key, logged as ours is."""
        defined = ", ".join(f'"{name}" {kind}' for name, kind in columns)
        with link.cursor() as cursor, path.open("rb") as file:
            cursor.execute(f'CREATE SCHEMA IF NOT EXISTS floor; DROP TABLE IF EXISTS floor.c1; '
                           f'CREATE TABLE floor.c1 ({defined}, PRIMARY KEY ("{columns[0][0]}"))')  # fmt: skip
            started = time.perf_counter()
            cursor.copy_expert("COPY floor.c1 FROM STDIN (FORMAT csv, HEADER true)", file)
            seconds = time.perf_counter() - started
            cursor.execute("DROP TABLE floor.c1")  # or autovacuum would work on it during the import
            return seconds

    def columns(self, link: Any) -> list[tuple[str, str]]:
        """Return name and type of the dataset's own columns, so that the floor stores the same."""
        with link.cursor() as cursor:
            cursor.execute("SELECT schema_name FROM public.tenants_tenant WHERE slug = %s", [self.slug])
            (schema,) = cursor.fetchone()
            cursor.execute(
                "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c"
                " ON c.oid = a.attrelid WHERE c.relnamespace = %s::regnamespace AND c.relname ~ '^ds_[0-9]+$'"
                " AND a.attnum > 1 AND NOT a.attisdropped ORDER BY a.attnum",
                [schema],
            )
            return list(cursor.fetchall())

    def tear_down(self, link: Any) -> None:
        with link.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS floor CASCADE")
        self.rowhouse("suspend_tenant", self.slug)
        self.rowhouse("delete_tenant", self.slug, "--confirm", self.slug)


def connect(bench: Bench) -> Any:
    import psycopg2  # noqa: PLC0415 -- after the server is up

    url = bench.environment.get("DATABASE_URL")
    link = psycopg2.connect(url or _embedded(Path(bench.environment["ROWHOUSE_DATA"])))
    link.autocommit = True
    return link


def _embedded(folder: Path) -> str:
    from core.embedded import EmbeddedServer  # noqa: PLC0415 -- the installed project's

    server = EmbeddedServer(folder.resolve() / "postgres")
    server.start()
    atexit.register(server.stop)
    return server.url()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1, help="repetitions of copy, import, copy")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("ROWHOUSE_DATA", ROOT / ".rowhouse" / "bench"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"runways-{arguments.rows}.csv"
    make_file(path, arguments.rows)

    floors: list[float] = []
    imports: list[Timed] = []
    again: list[Timed] = []
    for _round in range(arguments.rounds):
        bench = Bench(folder)
        link = connect(bench)  # first, so that the embedded server stays up between our commands
        bench.set_up()
        columns = bench.columns(link)
        floors.append(bench.copy(link, path, columns))
        timed, said = bench.import_file(path)
        assert said["created"] == arguments.rows, said
        imports.append(timed)
        floors.append(bench.copy(link, path, columns))
        timed, said = bench.import_file(path)
        assert said["unchanged"] == arguments.rows, said
        again.append(timed)
        bench.tear_down(link)
        link.close()
    path.unlink()

    floor = statistics.median(floors)
    first = statistics.median(one.seconds for one in imports)
    unchanged = statistics.median(one.seconds for one in again)
    figures = {
        "rows": arguments.rows,
        "copy_seconds": round(floor, 2),
        "first_import_seconds": round(first, 2),
        "ratio_first_import": round(first / floor, 2),
        "ratio_unchanged": round(unchanged / floor, 2),
        "rows_per_second": round(arguments.rows / first),
        "peak_mb": round(max(one.peak_mb for one in imports + again)),
    }
    print(f"{'':28}{'seconds':>10}{'x copy':>10}")
    print(f"{'copy, typed, primary key':28}{floor:10.2f}{1:10.2f}")
    print(f"{'first import':28}{first:10.2f}{first / floor:10.2f}")
    print(f"{'the same file again':28}{unchanged:10.2f}{unchanged / floor:10.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
