"""The process that opens a workbook: limited in memory and time, so that a bad file ends it and nothing else.

Reads one JSON object from standard input, writes one to standard output. Started by `xlsx.py` only.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from importer.issues import WorkbookRefused
from importer.readers.archive import Glance, check_archive, check_file, damaged
from importer.readers.areas import Areas, read_merges, total_areas
from importer.readers.notes import notes_of
from importer.readers.sheet import write_sheet
from importer.readers.texts import Texts, TextsReader
from importer.readers.workbook import (
    SheetPart,
    Workbook,
    read_formats,
    read_total_rows,
    read_workbook,
    shared_texts_part,
)

MEMORY_BYTES = 320 << 20  # with the worker that waits for it, below 512 MiB
FILE_BYTES = 2 << 30  # of any file it writes
CPU_SECONDS = 300


def limit_resources() -> None:
    """Let the kernel end this process when it takes too much."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """End this process when the one that waits for it is killed: nobody would read what it writes."""
    parent = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Return what the parent asked for, or why the workbook is refused."""
    try:
        check_file(Path(task["path"]))
        with zipfile.ZipFile(task["path"]) as archive:
            seen = check_archive(archive)
            book = read_workbook(archive)
            if task["do"] == "sheets":
                return {"sheets": _sheets(book, seen)}
            return _convert(archive, book, seen, task)
    except WorkbookRefused as refused:
        return {"refused": refused.message}
    # NotImplementedError is zipfile's word for a compression or an encryption it does not know, ValueError for
    # places before the beginning of the file.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        return {"refused": damaged(str(error)).message}
    except (MemoryError, RecursionError):
        return {"refused": "The workbook takes more memory than is allowed. Upload the sheet as CSV instead."}


def _sheets(book: Workbook, seen: dict[str, Glance]) -> list[dict[str, Any]]:
    return [
        {"name": sheet.name, "rows": _rows(sheet, seen), "is_hidden": sheet.is_hidden}
        for sheet in book.sheets
    ]


def _rows(sheet: SheetPart, seen: dict[str, Glance]) -> int:
    """Return about how many rows a sheet has, 0 when no cell holds anything."""
    glance = seen.get(sheet.part)
    return max(glance.rows, 1) if glance is not None and glance.has_value else 0


def _convert(
    archive: zipfile.ZipFile, book: Workbook, seen: dict[str, Glance], task: dict[str, Any]
) -> dict[str, Any]:
    sheet, out = _choose(book.sheets, seen, task["sheet"]), Path(task["out"])
    read_formats(archive, book)
    texts = Texts(out.parent)
    if (part := shared_texts_part(archive, book)) is not None:
        TextsReader(texts).read(archive, part)
    totals = read_total_rows(archive, sheet)
    glance = seen.get(sheet.part)
    merges = read_merges(archive, sheet.part) if glance is not None and glance.has_merges else []
    areas = Areas([*merges, *total_areas(totals)])
    written = write_sheet(archive, sheet.part, book, texts, out, areas=areas, header_row=task["header_row"])
    others = [other for other in book.sheets if other is not sheet and _rows(other, seen)]
    return {
        "sheet": sheet.name,
        "rows": written.rows,
        "width": written.width,
        "hazards": [[row, position, word] for (row, position), word in written.hazards.items()],
        "notes": notes_of(written, areas, totals, sheet, others),
        "sheets": _sheets(book, seen),
    }


def _choose(sheets: list[SheetPart], seen: dict[str, Glance], name: str | None) -> SheetPart:
    """Return the named sheet, or the first visible one that is not empty."""
    if name is None:
        visible = [sheet for sheet in sheets if not sheet.is_hidden] or sheets
        return next((sheet for sheet in visible if _rows(sheet, seen)), visible[0])
    found = next((sheet for sheet in sheets if sheet.name == name), None)
    if found is None:
        names = ", ".join(repr(sheet.name) for sheet in sheets[:20])
        raise WorkbookRefused(f"The workbook has no sheet named {name!r}. Choose one of: {names}.")
    return found


if __name__ == "__main__":
    limit_resources()
    end_with_parent()
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))
