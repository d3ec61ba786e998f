"""The process that opens a workbook: limited in memory and time, so that a bad file ends it and nothing else.

Reads one JSON object from standard input, writes one to standard output. Started by `xlsx.py` only.
"""

from __future__ import annotations

import json
import resource
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from importer.issues import WorkbookRefused
from importer.readers.archive import check_archive, damaged
from importer.readers.sheet import write_sheet
from importer.readers.workbook import SheetPart, count_rows, read_texts_and_formats, read_workbook

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 240


def limit_resources() -> None:
    """Let the kernel end this process when it takes too much."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Return what the parent asked for, or why the workbook is refused."""
    try:
        with zipfile.ZipFile(task["path"]) as archive:
            check_archive(archive)
            if task["do"] == "sheets":
                return {"sheets": _sheets(archive)}
            return _convert(archive, task["sheet"], Path(task["out"]))
    except WorkbookRefused as refused:
        return {"refused": refused.message}
    # NotImplementedError is zipfile's word for a compression or an encryption it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        return {"refused": damaged(str(error)).message}
    except (MemoryError, RecursionError):
        return {"refused": "The workbook takes more memory than is allowed. Upload the sheet as CSV instead."}


def _sheets(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [
        {"name": sheet.name, "rows": count_rows(archive, sheet.part), "is_hidden": sheet.is_hidden}
        for sheet in read_workbook(archive).sheets
    ]


def _convert(archive: zipfile.ZipFile, name: str | None, out: Path) -> dict[str, Any]:
    book = read_workbook(archive)
    sheet = _choose(archive, book.sheets, name)
    read_texts_and_formats(archive, book)
    written = write_sheet(archive, sheet.part, book, out)
    notes = []
    if written.formulas:
        notes.append(f"{written.formulas:,} cells hold formulas; their stored results are used.")
    return {
        "sheet": sheet.name,
        "rows": written.rows,
        "width": written.width,
        "hazards": [[row, position, word] for (row, position), word in written.hazards.items()],
        "notes": notes,
    }


def _choose(archive: zipfile.ZipFile, sheets: list[SheetPart], name: str | None) -> SheetPart:
    """Return the named sheet, or the first visible one that is not empty."""
    if name is None:
        visible = [sheet for sheet in sheets if not sheet.is_hidden] or sheets
        return next((sheet for sheet in visible if count_rows(archive, sheet.part)), visible[0])
    found = next((sheet for sheet in sheets if sheet.name == name), None)
    if found is None:
        names = ", ".join(repr(sheet.name) for sheet in sheets[:20])
        raise WorkbookRefused(f"The workbook has no sheet named {name!r}. Choose one of: {names}.")
    return found


if __name__ == "__main__":
    limit_resources()
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))
