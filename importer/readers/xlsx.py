"""Workbooks: always opened in a child process with limits, never in ours.

Pure: no Django.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from importer.issues import WorkbookRefused

WALL_SECONDS = 600
CHILD = "importer.readers.xlsx_child"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A worksheet; `rows` is 0 when no cell of it holds anything."""

    name: str
    rows: int
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Converted:
    """A sheet written as canonical CSV: `rows` records, blank or at most `width` wide.

    `hazards` maps (row, position from 0) to the word of a cell that holds no value to trust. `sheets` are all that
    the workbook has.
    """

    sheet: str
    rows: int
    width: int
    hazards: dict[tuple[int, int], str]
    notes: tuple[str, ...]
    sheets: tuple[Sheet, ...] = ()

    def hazards_to_json(self) -> str:
        return json.dumps([[row, position, word] for (row, position), word in self.hazards.items()])


def hazards_from_json(text: str) -> dict[tuple[int, int], str]:
    """Return the hazards that `Converted.hazards_to_json` wrote."""
    return {(row, position): word for row, position, word in json.loads(text)}


def sheets(path: Path) -> tuple[Sheet, ...]:
    """Return the worksheets of a workbook, in its order.

    :raises WorkbookRefused: it is damaged, hostile, or larger than the limits.
    """
    return _listed(_ask({"do": "sheets", "path": str(path)}))


def to_csv(path: Path, sheet: str | None, out: Path, *, header_row: object = None) -> Converted:
    """Write a sheet (None: the first visible one that is not empty) as canonical UTF-8 CSV to `out`.

    Records correspond to the sheet's rows from row 1, so row numbers stay. Dates are ISO, booleans
    true and false, numbers in full, percentages values. When refused, `out` holds nothing of use. No row from
    the header on is narrower than those between it and the header: `header_row` is a person's choice of it.

    :raises WorkbookRefused: it is damaged, hostile, or larger than the limits, or has no such sheet.
    """
    chosen = int(str(header_row)) if str(header_row).isdecimal() else None
    answer = _ask({"do": "convert", "path": str(path), "sheet": sheet, "out": str(out), "header_row": chosen})
    hazards = {(row, position): word for row, position, word in answer["hazards"]}
    return Converted(
        answer["sheet"],
        answer["rows"],
        answer["width"],
        hazards,
        tuple(answer["notes"]),
        _listed(answer),
    )


def _listed(answer: dict[str, Any]) -> tuple[Sheet, ...]:
    return tuple(Sheet(**sheet) for sheet in answer["sheets"])


def _ask(task: dict[str, Any]) -> dict[str, Any]:
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", CHILD],
            input=json.dumps(task).encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            env={"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},  # and none of our secrets
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise WorkbookRefused(
            "The workbook could not be read within the limits of memory and time. "
            "Delete what is not needed, or upload the sheet as CSV instead."
        ) from None
    if "refused" in answer:
        raise WorkbookRefused(answer["refused"])
    return answer
