"""A large workbook, read by the child process and judged by a worker: time, and the peak memory of both.

    python -m benchmarks.imports_xlsx --rows 1000000

The sheet has 12 columns; two of them hold texts of which no two are alike, all of them shared, as spreadsheet
programs write them. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

PRELUDE = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
LABELS = (
    "id", "code", "status", "amount", "quantity", "day", "moment", "is open", "rate", "name", "note", "total",
)  # fmt: skip
STATES = ("new", "paid", "sent", "lost")
BATCH = 5_000
SHARED = len(LABELS) + len(STATES)


def write_workbook(path: Path, rows: int) -> None:
    """Write a sheet of `rows` rows below its header, piece by piece."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, text in _small_parts().items():
            archive.writestr(name, PRELUDE + text)
        for name, pieces in (("sharedStrings", _texts(rows)), ("worksheets/sheet1", _sheet(rows))):
            with archive.open(f"xl/{name}.xml", "w", force_zip64=True) as part:
                for piece in pieces:
                    part.write(piece.encode())


def _small_parts() -> dict[str, str]:
    def links(*targets: tuple[str, str]) -> str:
        body = "".join(
            f'<Relationship Id="r{at}" Type="{OFFICE}/{kind}" Target="{target}"/>'
            for at, (kind, target) in enumerate(targets)
        )
        return f'<Relationships xmlns="{PACKAGE}">{body}</Relationships>'

    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": links(("officeDocument", "xl/workbook.xml")),
        "xl/_rels/workbook.xml.rels": links(
            ("worksheet", "worksheets/sheet1.xml"),
            ("sharedStrings", "sharedStrings.xml"),
            ("styles", "styles.xml"),
        ),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Orders" sheetId="1" r:id="r0"/></sheets></workbook>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/>'
        '<xf numFmtId="22"/><xf numFmtId="10"/></cellXfs></styleSheet>',
    }


def _texts(rows: int) -> Iterator[str]:
    yield f'<sst xmlns="{MAIN}" uniqueCount="{SHARED + 2 * rows}">'
    yield "".join(f"<si><t>{text}</t></si>" for text in (*LABELS, *STATES))
    for begin in range(0, rows, BATCH):
        yield "".join(
            f"<si><t>code-{n * 7919 % 99999989:08d}</t></si><si><t>Customer {n * 31 % 1000003} of {n}</t></si>"
            for n in range(begin, min(begin + BATCH, rows))
        )
    yield "</sst>"


def _sheet(rows: int) -> Iterator[str]:
    yield f'<worksheet xmlns="{MAIN}"><dimension ref="A1:L{rows + 1}"/><sheetData><row r="1" spans="1:12">'
    yield "".join(f'<c r="{"ABCDEFGHIJKL"[at]}1" t="s"><v>{at}</v></c>' for at in range(len(LABELS)))
    yield "</row>"
    for begin in range(0, rows, BATCH):
        yield "".join(_row(n) for n in range(begin, min(begin + BATCH, rows)))
    yield "</sheetData></worksheet>"


def _row(n: int) -> str:
    r = n + 2
    return (
        f'<row r="{r}" spans="1:12"><c r="A{r}"><v>{n}</v></c><c r="B{r}" t="s"><v>{SHARED + 2 * n}</v></c>'
        f'<c r="C{r}" t="s"><v>{len(LABELS) + n % 4}</v></c><c r="D{r}"><v>{n % 100_003 / 7}</v></c>'
        f'<c r="E{r}"><v>{n % 977}</v></c><c r="F{r}" s="1"><v>{40_000 + n % 6_000}</v></c>'
        f'<c r="G{r}" s="2"><v>{40_000 + n * 0.001}</v></c><c r="H{r}" t="b"><v>{n % 2}</v></c>'
        f'<c r="I{r}" s="3"><v>{n % 1_000 / 1_000}</v></c><c r="J{r}" t="s"><v>{SHARED + 2 * n + 1}</v></c>'
        f'<c r="K{r}" t="str"><f>B{r}&amp;"x"</f><v>note {n % 50}</v></c><c r="L{r}">'
        f"<v>{n * 3 % 1_000_000}.25</v></c></row>"
    )


def read_as_worker(path: Path) -> dict[str, float]:
    """Read the workbook as a worker does, in this process: the child, then every chunk judged.

    Return the seconds of the child, of the judging, and the peak memory of the child and of this process.
    """
    import django  # noqa: PLC0415 -- only the measured process is to load it

    django.setup()
    from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec  # noqa: PLC0415 -- needs the set-up
    from importer.dialect import sniff_path  # noqa: PLC0415 -- needs the set-up
    from importer.mapping import suggest  # noqa: PLC0415 -- needs the set-up
    from importer.readers.csv import read_chunks  # noqa: PLC0415 -- needs the set-up
    from importer.readers.xlsx import to_csv  # noqa: PLC0415 -- needs the set-up
    from importer.validation import Validator  # noqa: PLC0415 -- needs the set-up

    types = (
        "integer", "text", "text", "decimal", "integer", "date", "timestamp", "boolean", "decimal", "text", "text",
        "decimal",
    )  # fmt: skip
    columns = tuple(
        ColumnSpec(at, label, kind, at == 1, False, ColumnOptions(scale=12) if kind == "decimal" else ColumnOptions())
        for at, (label, kind) in enumerate(zip(LABELS, types, strict=True), start=1)
    )  # fmt: skip
    spec = DatasetSpec(1, "orders", "Orders", columns, ("c1",))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sheet.csv"
        begun = time.perf_counter()
        made = to_csv(path, None, out)
        read = time.perf_counter()
        sniffed = sniff_path(out, overrides={"encoding": "utf-8", "delimiter": ",", "sheet": made.sheet})
        validator = Validator(
            spec, suggest(sniffed.labels, sniffed.samples, columns), sniffed.dialect, made.hazards
        )
        checked = [validator.check(chunk).rows for chunk in read_chunks(out, sniffed.dialect)]
    return {
        "rows": sum(checked),
        "seconds": round(read - begun, 2),
        "judging": round(time.perf_counter() - read, 2),
        "child_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "worker_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(rows: int) -> dict[str, float]:
    """Write a workbook of `rows` rows, read it in a process of its own, and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.xlsx"
        write_workbook(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB")
        environment = {"DJANGO_SETTINGS_MODULE": "rowhouse.settings", "PYTHONPATH": ".:platform"} | dict(
            os.environ
        )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.imports_xlsx", "--read", str(path)],
            stdout=subprocess.PIPE,
            check=True,
            env=environment,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--read", type=Path, help="only read this workbook, and print the figures")
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_as_worker(options.read)))
        return
    found = measure(options.rows)
    print(f"judged in {found['judging']} s")
    figures = {
        "xlsx_rows": int(found["rows"]),
        "xlsx_seconds": found["seconds"],
        "xlsx_peak_mb_child": round(found["child_mb"]),
        "xlsx_peak_mb_worker": round(found["worker_mb"]),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
