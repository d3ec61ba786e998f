"""The keys of rejected rows: their records are in the file, although the rows cannot be imported as they are.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datasets.spec import DatasetSpec
from importer.framing import without_surplus
from importer.issues import Issue
from importer.judging import make_judges
from importer.mapping import Match
from importer.validation import Rejected

type Key = tuple[str, ...]
# Issues of a whole row: its cells may be shown in another way, or be cut elsewhere, than they were meant.
UNSURE = frozenset({"encoding-error", "unterminated-quote", "cell-too-large"})


class KeyReader:
    """Reads the key of a row as the validator does, whatever else is wrong with the row."""

    def __init__(self, spec: DatasetSpec, matches: Iterable[Match], width: int) -> None:
        self.columns = spec.key_columns
        self._width = width
        judges = {judge.column.name: judge for judge in make_judges(spec, matches)}
        self._judges = [judges[name] for name in spec.key if name in judges]

    def read(self, cells: Sequence[str | None]) -> Key | None:
        """Return the canonical key in its order, or None when it cannot be told for sure."""
        own = without_surplus(list(cells), self._width)
        if len(own) != self._width or len(self._judges) < len(self.columns):
            return None
        verdicts = [judge.judge(judge.raw_of(own)) for judge in self._judges]
        known = tuple(verdict for verdict in verdicts if isinstance(verdict, str))
        return known if len(known) == len(verdicts) else None

    def split(
        self, rejected: Iterable[Rejected], issues: Iterable[Issue]
    ) -> tuple[list[tuple[object, ...]], int]:
        """Return (row, key) of the rows whose key can be relied on, and how many have none.

        A key is not to be relied on where its own cell is one of the row's issues, or where nobody can say
        which cells the issue is about: the cells then show what stands in their place.
        """
        if not self.columns:
            return [], 0
        labels = {judge.label for judge in self._judges}
        doubtful = {
            issue.row
            for issue in issues
            if issue.code in UNSURE or issue.column in labels or not issue.column
        }
        keys = [(row.row, None if row.row in doubtful else self.read(row.cells)) for row in rejected]
        known: list[tuple[object, ...]] = [(row, *key) for row, key in keys if key is not None]
        return known, len(keys) - len(known)
