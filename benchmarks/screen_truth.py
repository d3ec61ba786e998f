"""Whether the vectorised screen and the scalar truth agree on every cell, over as many cells as you like.

    python -m benchmarks.screen_truth --cells 5000000 --seed 1

Whatever the screen says of a cell must be what `ColumnJudge` says of the prepared cell alone. Where it says
nothing, the judge is asked while importing; how often that is for good cells is its price, printed as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from benchmarks.copied import copied
from benchmarks.screen_cells import TYPES, Column, as_csv, chunk_of, make_column
from datasets.spec import DatasetSpec
from importer.dialect import Dialect
from importer.judging import ColumnJudge, Wrong, make_judges
from importer.readers.csv import Chunk
from importer.readers.grammar import grammar_of
from importer.screening import Screen
from importer.validation import Checked, Validator

ROWS = 500


class Difference(NamedTuple):
    """A cell of which the screen says something else than the truth."""

    column: Column
    cells: tuple[str | None, ...]
    screen: str | None
    truth: str | Wrong | None


@dataclass(slots=True)
class Found:
    """What a comparison found: how many cells by type, and of how many good ones the screen said nothing."""

    cells: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.cells += other.cells
        self.refused += other.refused
        self.left += other.left
        self.differences += other.differences


def compare(cells: int, seed: int, kinds: Sequence[str] = TYPES) -> Found:
    """Compare screen and truth on at least `cells` cells of columns of the types."""
    random, found = Random(seed), Found()
    while found.cells.total() < cells and not found.differences:
        found.add(_compare_file(random, kinds))
    return found


def _compare_file(random: Random, kinds: Sequence[str]) -> Found:
    """Compare one made-up file that has a column of each type."""
    import polars as pl  # noqa: PLC0415 -- slow import

    columns = [make_column(random, number, kind, len(kinds)) for number, kind in enumerate(kinds, start=1)]
    key = tuple(column.spec.name for column in columns if column.is_key)
    spec = DatasetSpec(1, "made", "Made", tuple(column.spec for column in columns), key)
    matches = [column.match for column in columns]
    table = [[column.cell(random) for column in columns] for _ in range(ROWS)]
    screen = Screen(make_judges(spec, matches), len(columns), grammar_of(",", '"'))
    frame = pl.DataFrame(table, schema={f"f{at}": pl.String() for at in range(len(columns))}, orient="row")
    said = screen.look(frame)
    found = Found()
    # Judges of our own: what the screen may have put into the caches of its judges is not asked.
    for number, judge in enumerate(make_judges(spec, matches)):
        values, unsure = said[number]
        found.add(_compare_column(columns[number], judge, table, values.to_list(), set(unsure.to_list())))
    return found


def _compare_column(
    column: Column,
    judge: ColumnJudge,
    table: Sequence[Sequence[str | None]],
    values: Sequence[str | None],
    unsure: Collection[int],
) -> Found:
    found, kind = Found(), column.spec.type
    for row, (cells, value) in enumerate(zip(table, values, strict=True)):
        truth = judge.judge(judge.raw_of(cells))
        if isinstance(truth, Wrong):
            found.refused[kind] += 1
        elif row in unsure:
            found.left[kind] += 1
        if row not in unsure and value != truth:
            found.differences.append(Difference(column, tuple(cells), value, truth))
    found.cells[kind] = len(table)
    return found


def compare_files(cells: int, seed: int) -> tuple[int, list[str]]:
    """Return how many cells were compared within whole files, read at once and row by row, and the differences.

    Rows that are too short and too long, blank ones, corrected ones and cells with hazards are among them.
    """
    random, done, differences = Random(seed), 0, list[str]()
    while done < cells and not differences:
        columns = [
            make_column(random, number, kind, len(TYPES)) for number, kind in enumerate(TYPES, start=1)
        ]
        key = tuple(column.spec.name for column in columns if column.is_key)
        spec = DatasetSpec(1, "made", "Made", tuple(column.spec for column in columns), key)
        table = [_row(random, columns) for _ in range(ROWS)]
        fixes = {row: _row(random, columns) for row in random.sample(range(2, ROWS), random.choice((0, 9)))}
        hazards = {
            (random.randrange(ROWS), random.randrange(9)): "#N/A" for _ in range(random.choice((0, 9)))
        }
        validator = Validator(
            spec, [column.match for column in columns], Dialect(), hazards,
            labels=[column.spec.label for column in columns], fixes=fixes,
        )  # fmt: skip
        validator.few_cells = random.choice((0, validator.few_cells))
        chunk = _chunk(random, table)
        fast, slow = validator.check(chunk), validator.check_slowly(chunk)
        for name, one, other in zip(PARTS, _parts(fast), _parts(slow), strict=True):
            if one != other:
                differences.append(f"{name}: {one!r:.2000} is not {other!r:.2000}")
        done += sum(map(len, table))
    return done, differences


PARTS = ("staged", "issues", "warnings", "rejected", "rows", "blank", "staged rows")


def _parts(checked: Checked) -> tuple[object, ...]:
    return (
        copied(checked), checked.issues, checked.warnings, checked.rejected, checked.rows, checked.blank,
        checked.staged_rows,
    )  # fmt: skip


def _row(random: Random, columns: Sequence[Column]) -> list[str | None]:
    cells = [column.cell(random) for column in columns]
    chance = random.random()
    if chance < 0.02:
        return [None] * random.choice((1, len(cells)))
    if chance < 0.04:
        return cells[: random.randint(1, len(cells))]
    return (
        [*cells, *random.choice(((None,), ("",), (None, ""), ("x",), (None, "y")))]
        if chance < 0.08
        else cells
    )


def _chunk(random: Random, table: Sequence[Sequence[str | None]]) -> Chunk:
    # \x01 and \x02 are two the screen leaves alone.
    masks = str.maketrans("\x01\x02", "  ") if random.random() < 0.9 else {}
    text = as_csv(random, table).translate(masks)
    if random.random() < 0.1 and table[0][0]:
        text = f"\ufeff{text}" if text[0] != '"' else text
    return chunk_of(text, len(table))


def report(found: Found, seconds: float) -> str:
    """Return the figures as a table for people."""
    lines = [f"{'type':<14}{'cells':>12}{'refused':>10}{'good, but left to the judge':>30}"]
    for kind, cells in found.cells.items():
        good = max(cells - found.refused[kind], 1)
        lines.append(
            f"{kind:<14}{cells:>12,}{found.refused[kind] / cells:>10.1%}{found.left[kind] / good:>30.1%}"
        )
    lines.append(f"{found.cells.total():,} cells in {seconds:,.0f} s; {len(found.differences):,} differences")
    return "\n".join(lines + [f"  {difference!r}" for difference in found.differences[:10]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.perf_counter()
    found = compare(options.cells, options.seed)
    print(report(found, time.perf_counter() - begun))
    done, differences = compare_files(options.cells // 10, options.seed)
    print(f"{done:,} cells in whole files; {len(differences)} differences", *differences, sep="\n  ")
    return 1 if found.differences or differences else 0


if __name__ == "__main__":
    sys.exit(main())
