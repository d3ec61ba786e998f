"""The demo's files: the real ones as they are, and the two made from them. Pure but for reading them."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "files"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault planted in a file, as the import must report it."""

    row: int
    line: int
    column: str
    value: str
    code: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Faulty:
    """A file with planted faults; `rejected` rows hold them."""

    content: bytes
    faults: tuple[Fault, ...]
    rejected: int


def read(name: str) -> list[list[str]]:
    """Return every record of one of the files, the header first."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def faulty_navaids() -> Faulty:
    """Return the navaids with six bad rows, and one good cell of two lines, so that lines run ahead of rows."""
    rows = read("navaids.csv")
    label = {name: at for at, name in enumerate(rows[0])}
    # Index in `rows` → (column, value, code); the row a person sees is one more.
    cells = {
        4: ("frequency_khz", "37O", "type-error"),
        29: ("latitude_deg", "north", "type-error"),
        49: ("id", "", "primary-key"),
        59: ("elevation_ft", "1_000", "type-error"),
        79: ("id", rows[1][label["id"]], "primary-key"),
    }
    for at, (column, value, _code) in cells.items():
        rows[at][label[column]] = value
    rows[19][label["name"]] += "\nand annex"
    rows[99].append("one cell too many")
    faults = [Fault(at + 1, _line(at), column, value, code) for at, (column, value, code) in cells.items()]
    faults.append(Fault(100, _line(99), "", "one cell too many", "extra-cell"))
    return Faulty(_written(rows), tuple(sorted(faults, key=lambda one: one.row)), len(faults))


def _line(at: int) -> int:
    """Return the physical line of a record: one more than its row, below the cell of two lines."""
    return at + 1 + (at > 19)


def renamed_cities() -> bytes:
    """Return the cities under other labels, in another order, three of them with a new subcountry."""
    rows = read("world-cities.csv")
    for at in (10, 20, 30):
        rows[at][2] = f"{rows[at][2]} (renamed)"
    rows[0] = ["Name", "COUNTRY", "Sub-Country", "GeoNameID"]
    return _written([[row[3], row[1], row[2], row[0]] for row in rows], delimiter=";")


def _written(rows: list[list[str]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
