"""Every row of a file against the dataset: staged as canonical text, or rejected with all its issues.

Pure: no Django, no storage, no clock. There is one truth, `ColumnJudge`; the columns' screen only passes what
that truth surely accepts, and a chunk the screen cannot read goes through it cell by cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasets.spec import ColumnSpec, DatasetSpec
from importer.dialect import Dialect
from importer.issues import Issue, shown, visible
from importer.judging import ColumnJudge, Wrong, hazard, make_judges
from importer.mapping import Match
from importer.readers.csv import Chunk
from importer.readers.grammar import Record, grammar_of
from importer.readers.text import BadBytes
from importer.screening import Screen, Screened, is_blank, without_surplus

Cells = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Rejected:
    r"""A row that cannot be stored, with its cells as they stand in the file (a NUL shown as `\x00`)."""

    row: int
    line: int
    cells: tuple[str | None, ...]


@dataclass(slots=True)
class Checked:
    """What became of a chunk. `rows` counts staged and rejected rows; blank ones are counted apart.

    `staged` is CSV for COPY: the row number, then the mapped columns; no value is empty, "" is quoted.
    """

    staged: bytes = b""
    staged_rows: int = 0
    issues: list[Issue] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    rows: int = 0
    blank: int = 0

    def reject(self, row: int, line: int, cells: Cells, issues: Sequence[Issue]) -> None:
        self.issues.extend(issues)
        if any("\x00" in cell for cell in cells if cell):
            cells = [cell and visible(cell) for cell in cells]
        self.rejected.append(Rejected(row, line, tuple(cells)))


class Validator:
    """Checks the chunks of one file for one dataset.

    `hazards` names the cells of a workbook, by (row, position), that show a word but hold no value.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        matches: Sequence[Match],
        dialect: Dialect,
        hazards: Mapping[tuple[int, int], str] | None = None,
    ) -> None:
        self.labels = tuple(match.label for match in matches)
        self.width = len(matches)
        mapped = {
            match.column: (match.position, match.label, match.reading) for match in matches if match.column
        }
        self._judges = make_judges(spec, mapped)
        self.columns: tuple[ColumnSpec, ...] = tuple(judge.column for judge in self._judges)
        self._grammar = grammar_of(dialect.delimiter, dialect.quote)
        self._screen = Screen(self._judges, self.width, self._grammar)
        self._hazards: dict[int, dict[int, str]] = {}
        for (row, position), word in (hazards or {}).items():
            self._hazards.setdefault(row, {})[position] = word

    def check(self, chunk: Chunk) -> Checked:
        """Return the chunk's rows, staged or rejected, each rejected one with every issue it has."""
        screened = self._screen.apply(chunk)
        return self.check_slowly(chunk) if screened is None else self._finish(chunk, screened)

    def check_slowly(self, chunk: Chunk) -> Checked:
        """Return the same as `check`, every cell by the scalar truth."""
        checked = Checked()
        staged: list[list[str | None]] = []
        line = chunk.first_line
        for row, record in enumerate(self._grammar.records(chunk.data.decode()), start=chunk.first_row):
            cells = without_surplus(record.cells, self.width)
            if is_blank(cells, self.width) and row not in chunk.bad_rows:
                checked.blank += 1
            else:
                values, issues = self._check_record(record, row, line, chunk.bad_rows.get(row))
                if values is None:
                    checked.reject(row, line, cells, issues)
                else:
                    staged.append([str(row), *values])
            line += record.lines
        checked.staged, checked.staged_rows = _to_copy(staged), len(staged)
        checked.rows = len(staged) + len(checked.rejected)
        return checked

    def check_row(self, cells: Cells, *, row: int, line: int) -> tuple[list[str | None] | None, list[Issue]]:
        """Return (canonical values in the order of `columns`, or None; every issue) of one row."""
        cells = without_surplus(list(cells), self.width)
        if len(cells) != self.width:
            return None, [self._ragged(cells, row, line)]
        hazards = self._hazards.get(row, {})
        values: list[str | None] = []
        issues: list[Issue] = []
        for judge in self._judges:
            word = hazards.get(judge.position)
            verdict = judge.judge(cells[judge.position]) if word is None else hazard(word)
            if isinstance(verdict, Wrong):
                issues.append(_issue(judge, verdict, row, line, word or cells[judge.position]))
            else:
                values.append(verdict)
        return (None if issues else values), issues

    def _check_record(
        self, record: Record, row: int, line: int, bad: BadBytes | None
    ) -> tuple[list[str | None] | None, list[Issue]]:
        if bad is not None:
            return None, [self._not_text(record.cells, row, line, bad)]
        if record.stray_quote:
            return None, [_stray_quote(record, row, line)]
        return self.check_row(record.cells, row=row, line=line)

    def _finish(self, chunk: Chunk, screened: Screened) -> Checked:
        """Return what the screen found, with the scalar truth's words for every row that is not simply right."""
        import polars as pl  # slow import  # noqa: PLC0415

        checked = Checked(blank=len(screened.blank))
        last = chunk.first_row + chunk.rows
        marked = (
            row - chunk.first_row
            for row in (*self._hazards, *chunk.bad_rows)
            if chunk.first_row <= row < last
        )
        suspects = sorted({*marked, *screened.wrong, *screened.ragged}.difference(screened.blank))
        frame = screened.frame
        for at, fields in zip(suspects, frame[suspects].rows() if suspects else (), strict=True):
            row = chunk.first_row + at
            line = chunk.first_line + (at if screened.lines is None else screened.lines[at])
            cells = screened.ragged.get(at, fields[: self.width])
            if issues := self._explain(chunk, screened, at, cells, row, line):
                checked.reject(row, line, cells, issues)
        left_out = [*screened.blank, *(rejected.row - chunk.first_row for rejected in checked.rejected)]
        rows = pl.int_range(chunk.first_row, last, eager=True).alias("rn")
        out = pl.DataFrame([rows, *(series.alias(f"v{n}") for n, series in enumerate(screened.values))])
        if left_out:
            keep = pl.repeat(True, chunk.rows, dtype=pl.Boolean, eager=True)
            out = out.filter(keep.scatter(left_out, False))
        checked.staged, checked.staged_rows = out.write_csv(include_header=False).encode(), out.height
        checked.rows = checked.staged_rows + len(checked.rejected)
        return checked

    def _explain(
        self, chunk: Chunk, screened: Screened, at: int, cells: Cells, row: int, line: int
    ) -> list[Issue]:
        """Return every issue of a row the screen could not pass."""
        if row in chunk.bad_rows:
            return [self._not_text(cells, row, line, chunk.bad_rows[row])]
        if at in screened.ragged or row in self._hazards:
            return self.check_row(cells, row=row, line=line)[1]
        return [_issue(judge, wrong, row, line, cells[judge.position]) for judge, wrong in screened.wrong[at]]

    def _ragged(self, cells: Cells, row: int, line: int) -> Issue:
        has = f"The row has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header {self.width}."
        if len(cells) > self.width:
            rule = f"{has} Quote cells that hold the delimiter, or give the further column a label."
            extra = next((cell for cell in cells[self.width :] if cell), "")
            return Issue("extra-cell", row, line, "", shown(extra), rule)
        rule = f"{has} Add the missing cells, even empty ones."
        return Issue("missing-cell", row, line, self.labels[len(cells)], "", rule)

    def _not_text(self, cells: Cells, row: int, line: int, bad: BadBytes) -> Issue:
        found = next((at for at, cell in enumerate(cells) if cell and bad.word in cell), None)
        label = self.labels[found] if found is not None and found < self.width else ""
        value = shown(cells[found]) if found is not None else bad.word
        rule = f"At byte {bad.offset:,} of the file stands {bad.word}, no text in its encoding. Correct the cell."
        return Issue("encoding-error", row, line, label, value, rule)


def _issue(judge: ColumnJudge, wrong: Wrong, row: int, line: int, raw: str | None) -> Issue:
    return Issue(wrong.code, row, line, judge.label, shown(raw), wrong.rule)


def _stray_quote(record: Record, row: int, line: int) -> Issue:
    last = line + record.lines - 1
    return Issue(
        "unterminated-quote",
        row,
        line,
        "",
        shown(next((cell for cell in record.cells if cell and "\n" in cell), "")),
        f"A quote opens on or after line {line} and closes within a cell on or before line {last}, so the lines "
        "between became one row. Close or double that quote.",
    )


def _to_copy(rows: list[list[str | None]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NOTNULL).writerows(rows)
    return out.getvalue().encode()
