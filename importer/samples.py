"""What a mapping makes of the first rows of a file: the values as they would be stored, or what is wrong.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets.spec import DatasetSpec
from importer.judging import Wrong, make_judges
from importer.mapping import Match, Samples

SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """One cell: its value (None: no value), and the rule it breaks, if any."""

    value: str | None
    rule: str = ""


def results(matches: Sequence[Match], spec: DatasetSpec, samples: Samples, width: int) -> list[list[Result]]:
    """Return the results of the first rows for each match in turn; none for one without a column."""
    rows = [(*row, *[None] * (width - len(row))) for row in samples[:SHOWN_ROWS]]
    found = []
    for match in matches:
        cells = []
        for judge in make_judges(spec, [match]):
            for row in rows:
                raw = judge.raw_of(row)
                verdict = judge.judge(raw)
                cells.append(Result(raw, verdict.rule) if isinstance(verdict, Wrong) else Result(verdict))
        found.append(cells)
    return found
