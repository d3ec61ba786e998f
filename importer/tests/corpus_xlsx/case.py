"""What a case of the corpus says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from importer.tests.workbooks import parts, rows, write

type Parts = Mapping[str, str | bytes]
type Records = list[list[str]]


@dataclass(frozen=True, slots=True)
class Case:
    """A workbook by its parts (or its bytes), and either its records or why it is refused.

    `hazards` maps cells such as "B2" to their words. `ids` are those of the attack cases it stands for.
    """

    name: str
    book: Parts | bytes
    records: Records = field(default_factory=list)
    hazards: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: str = ""
    sheet: str | None = None
    header_row: int | None = None
    ids: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        if isinstance(self.book, bytes):
            path.write_bytes(self.book)
            return path
        return write(path, self.book)


def line(*cells: str, **options: object) -> Parts:
    """Return a workbook of one row."""
    return parts(rows("".join(cells)), **options)  # type: ignore[arg-type]


def cell(
    ref: str, value: str, *, kind: str = "", style: int | None = None, formula: str | None = None
) -> str:
    """Return a cell's XML."""
    attributes = (f' s="{style}"' if style is not None else "") + (f' t="{kind}"' if kind else "")
    said = "" if formula is None else f"<f>{formula}</f>"
    return f'<c r="{ref}"{attributes}>{said}<v>{value}</v></c>'
