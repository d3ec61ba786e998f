"""The files that are imported, made by seed: twelve columns of every type, keys in random order, 1 % faulty rows.

`faulty.csv` is what people upload; `clean.csv` is its twin in which the faulty rows are right, because `\\copy`
stops at the first bad one. `tenth.csv` changes one number in a tenth of the good rows, `all.csv` in all of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 20260826
FAULTY_SHARE = 0.01
FIRST_FAULTY_ROW = 100  # the samples by which a file's marks are guessed hold no fault
LABELS = (
    "id", "name", "note", "status", "quantity", "price", "rate", "is_open", "day", "seen_at", "comment", "due",
)  # fmt: skip
STATUSES = ("new", "open", "paid", "sent", "closed", "returned")
WORDS = (
    "north", "south", "east", "west", "harbour", "bridge", "lighthouse", "market", "station", "garden", "quarry",
    "mill", "tower", "ferry", "depot", "school", "Zürich", "Málaga", "Łódź", "København", "東京", "river", "crossing",
)  # fmt: skip
DEFINITION: dict[str, Any] = {
    "name": "stock",
    "title": "Stock",
    "primaryKey": ["id"],
    "fields": [
        {"name": "id", "type": "integer"},
        {"name": "name", "type": "string", "constraints": {"maxLength": 60}},
        {"name": "note", "type": "string"},
        {"name": "status", "type": "string", "constraints": {"enum": list(STATUSES)}},
        {"name": "quantity", "type": "integer", "constraints": {"required": True}},
        {"name": "price", "type": "number", "rowhouse:precision": 12, "rowhouse:scale": 2},
        {"name": "rate", "type": "number", "rowhouse:precision": 18, "rowhouse:scale": 9},
        {"name": "is_open", "type": "boolean"},
        {"name": "day", "type": "date"},
        {"name": "seen_at", "type": "datetime"},
        {"name": "comment", "type": "string"},
        {"name": "due", "type": "date"},
    ],
}
_AT = {label: position for position, label in enumerate(LABELS)}


@dataclass(frozen=True, slots=True)
class Files:
    """What was made. `changed` counts the rows of `tenth` that differ from `faulty`."""

    faulty: Path
    clean: Path
    tenth: Path
    all: Path
    definition: Path
    rows: int
    rejected: int
    changed: int

    @property
    def good(self) -> int:
        return self.rows - self.rejected


def _cell(label: str, text: str) -> Callable[[list[str], str], list[str]]:
    """Return a fault that writes `text`, as it stands in CSV, into one column."""

    def put(cells: list[str], _earlier: str) -> list[str]:
        cells[_AT[label]] = text
        return cells

    return put


# Each takes the cells of a good row and the key of an earlier one, and returns the cells of a faulty row.
FAULTS: tuple[Callable[[list[str], str], list[str]], ...] = (
    lambda cells, _: cells[:-1],
    lambda cells, _: cells[:4],
    lambda cells, _: [*cells, "surplus"],
    lambda cells, _: [*cells, "", "surplus"],
    lambda cells, earlier: [earlier, *cells[1:]],
    *(_cell("id", text) for text in ("", "x17", "17.0")),
    *(_cell("name", text) for text in ("n\x00ul", "n" * 61)),
    *(_cell("status", text) for text in ("unknown", "NEW", "op en")),
    *(
        _cell("quantity", text)
        for text in ("", "abc", "1.5", "1_000", "1e3", "0x1F", "9" * 20, "--5", "1 000", "\N{FULLWIDTH DIGIT ONE}")
    ),
    *(_cell("price", text) for text in ('"12,50"', "1.234", "99999999999.00", "NaN", "Infinity", "$5")),
    *(_cell("rate", text) for text in ("0.1234567891", "1.0.0")),
    *(_cell("is_open", text) for text in ("maybe", "2")),
    *(_cell("day", text) for text in ("2024-02-30", "31/12/2024", "20240131", "infinity")),
    *(_cell("seen_at", text) for text in ("2024-01-01T25:00:00Z", "yesterday", "2024-01-01")),
    *(_cell("due", text) for text in ("2024-13-01", "soon")),
)  # fmt: skip


def make_files(folder: Path, rows: int) -> Files:
    """Write the four files and the dataset's definition."""
    made = Files(
        **{name: folder / f"{name}.csv" for name in ("faulty", "clean", "tenth", "all")},
        definition=folder / "definition.json",
        rows=rows, rejected=0, changed=0,
    )  # fmt: skip
    made.definition.write_text(json.dumps(DEFINITION), encoding="utf-8")
    chance = random.Random(SEED)
    keys = list(range(1, rows + 1))
    chance.shuffle(keys)
    chosen = range(min(FIRST_FAULTY_ROW, rows), rows)
    faulty_rows = set(chance.sample(chosen, min(int(rows * FAULTY_SHARE), len(chosen))))
    changed, earlier = 0, ""
    with ExitStack() as open_files:
        out = [
            open_files.enter_context(path.open("w", encoding="utf-8", newline="")).write
            for path in (made.faulty, made.clean, made.tenth, made.all)
        ]
        for write in out:
            write(",".join(LABELS) + "\n")
        faulty, clean, tenth, everything = out
        for number, key in enumerate(keys):
            cells = _row(key, chance)
            line = ",".join(cells) + "\n"
            clean(line)
            if number in faulty_rows:
                wrong = ",".join(chance.choice(FAULTS)(cells, earlier)) + "\n"
                for write in (faulty, tenth, everything):
                    write(wrong)
                continue
            earlier = cells[0]
            quantity = int(cells[_AT["quantity"]])
            cells[_AT["quantity"]] = str(quantity + 1)
            is_changed = number % 10 == 0
            changed += is_changed
            faulty(line)
            tenth(",".join(cells) + "\n" if is_changed else line)
            cells[_AT["quantity"]] = str(quantity + 2)
            everything(",".join(cells) + "\n")
    return Files(
        made.faulty, made.clean, made.tenth, made.all, made.definition, rows, len(faulty_rows), changed
    )


def _row(key: int, chance: random.Random) -> list[str]:
    """Return the cells of a good row as they stand in the file."""
    at = chance.random
    words = chance.choices(WORDS, k=7)
    note = " ".join(words)
    if at() < 0.005:
        note = f'"{words[0]}\n""{words[1]}"", {note}"'
    elif at() < 0.05:
        note = f'"{note}, {words[0]}"'
    price = f"{at() * 100_000:.2f}"
    if at() < 0.02:
        price = price[:-1]  # 12.5 for 12.50, as spreadsheets write it
    luck = at()
    comment = "" if luck < 0.2 else '""' if luck < 0.22 else f"{words[2]} {words[3]} {int(at() * 1000)}"
    return [
        str(key),
        f"{words[4]} {words[5]} {int(at() * 10_000)}",
        note,
        STATUSES[int(at() * len(STATUSES))],
        str(int(at() * 100_000)),
        price,
        f"{at() * 1000:.9f}",
        "true" if at() < 0.5 else "false",
        f"20{10 + int(at() * 16)}-{1 + int(at() * 12):02}-{1 + int(at() * 28):02}",
        f"20{10 + int(at() * 16)}-{1 + int(at() * 12):02}-{1 + int(at() * 28):02}"
        f"T{int(at() * 24):02}:{int(at() * 60):02}:{int(at() * 60):02}Z",
        comment,
        "" if at() < 0.3 else f"20{20 + int(at() * 10)}-{1 + int(at() * 12):02}-{1 + int(at() * 28):02}",
    ]
