"""Whether rows that go to the database as they stand hold what the scalar truth would have written.

    python -m benchmarks.pattern_truth --cells 5000000 --seed 1

Files of one column of every type, option and reading, with any delimiter and quote: each cell of a row that fits
its pattern must be accepted by `ColumnJudge`, without a warning, and mean the canonical text. What PostgreSQL
itself makes of such cells is compared in importer/tests/test_row_pattern.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from benchmarks.copied import stored
from benchmarks.screen_cells import TYPES, Column, as_csv, chunk_of, make_column
from datasets.spec import ColumnSpec, DatasetSpec
from importer.judging import Wrong, make_judges
from importer.mapping import Match
from importer.readers.grammar import grammar_of
from importer.rowpattern import row_pattern

ROWS = 500
MARKS = ((",", '"'), (";", '"'), ("\t", '"'), ("|", "'"), (";", ""), ("^", "'"), ("\x1f", '"'))


class Passed(NamedTuple):
    """A cell that went as it stands, and the truth about it."""

    column: ColumnSpec
    text: str | None
    truth: str | Wrong | None


@dataclass(slots=True)
class Compared:
    """How many cells were tried and passed, by type, and those that passed wrongly."""

    cells: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    differences: list[Passed] = field(default_factory=list)


def compare(cells: int, seed: int, kinds: Sequence[str] = TYPES) -> Compared:
    """Compare pattern and truth on at least `cells` cells of columns of the types."""
    random, found = Random(seed), Compared()
    while found.cells.total() < cells and not found.differences:
        for kind in kinds:
            passed = list(pass_column(random, kind))
            found.cells[kind] += ROWS
            found.passed[kind] += len(passed)
            found.differences += [each for each in passed if is_wrong(each)]
    return found


def is_wrong(passed: Passed) -> bool:
    return isinstance(passed.truth, Wrong) or stored(passed.text, passed.column) != passed.truth


def pass_column(random: Random, kind: str) -> Iterator[Passed]:
    """Yield the cells of a made-up column that go as they stand, each with the truth."""
    delimiter, quote = random.choice(MARKS)
    column = _column(random, kind)
    spec = DatasetSpec(1, "made", "Made", (column.spec,), (column.spec.name,) if column.is_key else ())
    (judge,) = make_judges(spec, [column.match])
    pattern = row_pattern([judge], 1, grammar_of(delimiter, quote))
    if pattern is None:
        return
    pattern.worth_it = ROWS  # even if it is one row
    cells = [column.cell(random) for _ in range(ROWS)]
    if not quote:
        cells = [None if set(cell or "") & {delimiter, "\r", "\n"} else cell or None for cell in cells]
    chunk = chunk_of(as_csv(random, [[cell] for cell in cells], delimiter, quote), ROWS)
    fitted = pattern.fit(chunk, ())
    for row in fitted.rows.filter(fitted.fits).to_list() if fitted else ():
        cell = cells[row - chunk.first_row]
        truth = judge.judge(cell)
        if not isinstance(truth, Wrong) and (warning := judge.warn(truth)):
            truth = warning
        yield Passed(column.spec, cell, truth)


def _column(random: Random, kind: str) -> Column:
    """Return a column whose cells are stored as they stand, as far as the mapping goes."""
    while True:
        column = make_column(random, 1, kind, 1)
        if column.match.recipe == Match(0, "", None, "", 0).recipe:
            return column


def report(found: Compared, seconds: float) -> str:
    """Return the figures as a table for people."""
    lines = [f"{'type':<14}{'cells':>12}{'as they stand':>16}"]
    lines += [f"{kind:<14}{cells:>12,}{found.passed[kind]:>16,}" for kind, cells in found.cells.items()]
    lines.append(f"{found.cells.total():,} cells in {seconds:,.0f} s; {len(found.differences):,} differences")
    return "\n".join(lines + [f"  {difference!r}" for difference in found.differences[:10]])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.perf_counter()
    found = compare(options.cells, options.seed)
    print(report(found, time.perf_counter() - begun))
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
