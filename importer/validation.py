"""Every row of a file against the dataset: staged, or rejected with all its issues.

Pure: no Django, no storage, no clock. There is one truth, `ColumnJudge`; the row's pattern and the columns' screen
only pass what that truth surely accepts, and what the screen cannot read goes through it cell by cell.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datasets.spec import ColumnSpec, DatasetSpec
from importer.copytext import CopyForm, spliced, written
from importer.dialect import Dialect
from importer.framing import is_blank, without_surplus
from importer.issues import Issue, shown, visible_cells
from importer.judging import ColumnJudge, Wrong, hazard, make_judges
from importer.keyhashes import KeyHasher
from importer.mapping import Match
from importer.readers.csv import Chunk, Mark
from importer.readers.footer import NOTE_RULE, looks_like_note
from importer.readers.grammar import Record, grammar_of
from importer.readers.text import BadBytes
from importer.rowpattern import DEFAULT_QUOTE, Fitted, row_pattern
from importer.screening import Screen, Screened

if TYPE_CHECKING:
    import polars as pl

Cells = Sequence[str | None]
FEW_CELLS = 3_000  # the judges have looked at so many before the screen has begun


@dataclass(frozen=True, slots=True)
class Rejected:
    r"""A row that cannot be stored, with its cells as they stand in the file (a NUL shown as `\x00`)."""

    row: int
    line: int
    cells: tuple[str | None, ...]


@dataclass(slots=True)
class Checked:
    """What became of a chunk. `rows` counts staged and rejected rows; blank ones are counted apart.

    `issues` are errors, each of a rejected row; `warnings` are about staged rows. `staged` is text for COPY, in
    the `form` that all chunks of a file have; `hashes` are those of its keys, if they can be told. `marks` say
    where some of its records begin, if that is known.
    """

    staged: bytes = b""
    form: CopyForm = field(default_factory=CopyForm)
    staged_rows: int = 0
    issues: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    rows: int = 0
    blank: int = 0
    hashes: pl.DataFrame | None = field(default=None, compare=False)
    marks: Sequence[Mark] = ()

    def reject(self, row: int, line: int, cells: Cells, issues: Sequence[Issue]) -> None:
        self.issues.extend(issues)
        self.rejected.append(Rejected(row, line, tuple(visible_cells(cells))))


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen in the rows of a chunk: the values of all of them by column, and which are not staged (from 0)."""

    checked: Checked
    chunk: Chunk
    columns: Sequence[pl.Series]
    left_out: Collection[int]


class Validator:
    """Checks the chunks of one file for one dataset.

    `labels` are those of the file, which is as wide as they are many; several matches may read one position,
    a constant reads none. `hazards` names the cells of a workbook, by (row, position), that show a word but
    hold no value. `fixes` are the cells that stand for a row of the file, whatever the file has there.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        matches: Sequence[Match],
        dialect: Dialect,
        hazards: Mapping[tuple[int, int], str] | None = None,
        *,
        labels: Sequence[str] | None = None,
        fixes: Mapping[int, Cells] | None = None,
    ) -> None:
        self.labels = _labels_of(matches) if labels is None else tuple(labels)
        self.width = len(self.labels)
        self._judges = make_judges(spec, matches)
        self.columns: tuple[ColumnSpec, ...] = tuple(judge.column for judge in self._judges)
        self._grammar = grammar_of(dialect.delimiter, dialect.quote)
        self._screen = Screen(self._judges, self.width, self._grammar)
        self._pattern = row_pattern(self._judges, self.width, self._grammar)
        self.form = self._form()
        self.few_cells = FEW_CELLS
        self._fixes = fixes or {}
        self._hazards: dict[int, dict[int, str]] = {}
        for (row, position), word in (hazards or {}).items():
            if row not in self._fixes:
                self._hazards.setdefault(row, {})[position] = word
        self._marked = sorted({*self._hazards, *self._fixes})

    def check(self, chunk: Chunk) -> Checked:
        """Return the chunk's rows, staged or rejected, each rejected one with every issue it has."""
        fitted = None
        if self._pattern is not None:
            fitted = self._pattern.fit(chunk, {*self._marked_in(chunk), *chunk.bad_rows})
        return self._write(self._look(fitted.rest) if fitted else self._look(chunk), fitted)

    def check_slowly(self, chunk: Chunk) -> Checked:
        """Return the same as `check`, every cell by the scalar truth."""
        return self._write(self._look_slowly(chunk))

    def _form(self) -> CopyForm:
        """Return how rows are written for COPY: as in the file, where some may go there as they stand."""
        key = tuple(number for number, judge in enumerate(self._judges) if judge.is_key)
        order, delimiter, quote = tuple(range(len(self._judges))), ",", DEFAULT_QUOTE
        if self._pattern is not None:
            order = tuple(sorted(order, key=lambda number: self._judges[number].position))
            delimiter, quote = self._grammar.delimiter, self._grammar.quote.decode() or DEFAULT_QUOTE
        places = [order.index(number) for number in key]
        return CopyForm(
            tuple(self.columns[at] for at in order), order, delimiter, quote,
            is_as_in_file=self._pattern is not None, key=key,
            hasher=KeyHasher([self.columns[at] for at in key], places, delimiter, quote) if key else None,
        )  # fmt: skip

    def _write(self, looked: _Looked, fitted: Fitted | None = None) -> Checked:
        checked, columns, left_out = looked.checked, looked.columns, looked.left_out
        if fitted is None:
            copied = written(self.form, looked.chunk, columns, left_out)
        else:
            copied = spliced(self.form, fitted, columns, left_out)
            checked.marks = fitted.marks
        checked.staged, checked.staged_rows, checked.hashes = copied
        checked.rows = checked.staged_rows + len(checked.rejected)
        checked.form = self.form
        return checked

    def _look(self, chunk: Chunk) -> _Looked:
        marked = self._marked_in(chunk)
        fixed = {chunk.at_of(row) for row in marked if row in self._fixes}
        is_few = chunk.rows * len(self._judges) <= self.few_cells
        screened = None if is_few else self._screen.apply(chunk, fixed)
        return self._look_slowly(chunk) if screened is None else self._finish(chunk, screened, marked)

    def _look_slowly(self, chunk: Chunk) -> _Looked:
        import polars as pl  # slow import  # noqa: PLC0415

        checked, left_out = Checked(), set[int]()
        rows: list[Sequence[str | None]] = []
        nothing = [None] * len(self.columns)
        further = 0
        for at, record in enumerate(self._grammar.records(chunk.data.decode())):
            row, line = chunk.row_of(at), chunk.line_of(at, further)
            bad = None if row in self._fixes else chunk.bad_rows.get(row)
            cells = without_surplus(list(self._fixes.get(row, record.cells)), self.width)
            values: list[str | None] | None = None
            if is_blank(cells, self.width) and bad is None:
                checked.blank += 1
            else:
                values, issues = self._check_record(record, row, line, bad)
                if values is None:
                    checked.reject(row, line, cells, issues)
                else:
                    checked.warnings += issues
            if values is None:
                left_out.add(at)
            rows.append(nothing if values is None else values)
            further += record.lines - 1
        columns = [
            pl.Series([values[number] for values in rows], dtype=pl.String) for number in range(len(nothing))
        ]
        return _Looked(checked, chunk, columns, left_out)

    def check_row(self, cells: Cells, *, row: int, line: int) -> tuple[list[str | None] | None, list[Issue]]:
        """Return (canonical values in the order of `columns`, warnings) of one row, or (None, every error)."""
        cells = without_surplus(list(cells), self.width)
        if len(cells) != self.width:
            return None, [self._ragged(cells, row, line)]
        hazards = self._hazards.get(row, {})
        values: list[str | None] = []
        issues: list[Issue] = []
        for judge in self._judges:
            word = next((hazards[at] for at in judge.sources if at in hazards), None) if hazards else None
            verdict = judge.judge(judge.raw_of(cells)) if word is None else hazard(word)
            if isinstance(verdict, Wrong):
                issues.append(_issue(judge, verdict, row, line, word or judge.shown_of(cells)))
            else:
                values.append(verdict)
        return (None, issues) if issues else (values, self._warnings(values, row, line))

    def standing(self, row: int, cells: Cells) -> Cells:
        """Return the cells that stand for a row of the file: its own, or those it was corrected to."""
        return self._fixes.get(row, cells)

    def _warnings(self, values: Cells, row: int, line: int) -> list[Issue]:
        return [
            Issue(warned.code, row, line, judge.label, shown(value), warned.rule, "warning")
            for judge, value in zip(self._judges, values, strict=True)
            if (warned := judge.warn(value))
        ]

    def _check_record(
        self, record: Record, row: int, line: int, bad: BadBytes | None
    ) -> tuple[list[str | None] | None, list[Issue]]:
        if row in self._fixes:
            return self.check_row(self._fixes[row], row=row, line=line)
        if bad is not None:
            return None, [self._unreadable(record.cells, row, line, bad)]
        return self.check_row(record.cells, row=row, line=line)

    def _marked_in(self, chunk: Chunk) -> list[int]:
        """Return the rows of a chunk that have a hazard or a fix."""
        if not (self._marked and chunk.rows):
            return []
        first = bisect_left(self._marked, chunk.row_of(0))
        return self._marked[first : bisect_right(self._marked, chunk.row_of(chunk.rows - 1))]

    def _finish(self, chunk: Chunk, screened: Screened, marked: Sequence[int]) -> _Looked:
        """Return what the screen found, with the scalar truth's words for every row that is not simply right."""
        checked = Checked()
        blank = set(screened.blank)
        doubtful = {*screened.wrong, *screened.framed.ragged, *(chunk.at_of(row) for row in marked)}
        doubtful.update(chunk.at_of(row) for row in chunk.bad_rows)
        suspects = sorted(doubtful - blank)
        fixed: dict[int, list[str | None]] = {}
        for at, fields in zip(
            suspects, screened.framed.cells[suspects].rows() if suspects else (), strict=True
        ):
            row, line = chunk.row_of(at), screened.framed.line_of(at)
            fix = self._fixes.get(row)
            cells = screened.framed.ragged.get(at, fields[: self.width])
            if fix is not None:
                cells = without_surplus(list(fix), self.width)
            if is_blank(cells, self.width) and row not in chunk.bad_rows:
                blank.add(at)
                continue
            values, issues = self._judge_again(chunk, screened, at, cells)
            if values is None:
                checked.reject(row, line, cells, issues)
            elif fix is not None:
                fixed[at] = values
        left_out = blank.union(chunk.at_of(rejected.row) for rejected in checked.rejected)
        columns = _with_fixed(screened.values, fixed)
        checked.blank = len(blank)
        checked.warnings = self._warned(chunk, screened, columns, left_out, fixed)
        return _Looked(checked, chunk, columns, left_out)

    def _judge_again(
        self, chunk: Chunk, screened: Screened, at: int, cells: Cells
    ) -> tuple[list[str | None] | None, list[Issue]]:
        """Return as `check_row` does what is to be said of a row the screen could not pass."""
        row, line = chunk.row_of(at), screened.framed.line_of(at)
        if row in chunk.bad_rows and row not in self._fixes:
            return None, [self._unreadable(cells, row, line, chunk.bad_rows[row])]
        if at in screened.framed.ragged or row in self._hazards or row in self._fixes:
            return self.check_row(cells, row=row, line=line)
        return None, [
            _issue(judge, wrong, row, line, judge.shown_of(cells)) for judge, wrong in screened.wrong[at]
        ]

    def _warned(
        self,
        chunk: Chunk,
        screened: Screened,
        columns: Sequence[pl.Series],
        left_out: Collection[int],
        fixed: Collection[int],
    ) -> list[Issue]:
        """Return the warnings of the staged rows."""
        rows = sorted({*screened.warned, *fixed}.difference(left_out))
        found = zip(*(column.gather(rows).to_list() for column in columns), strict=True) if rows else ()
        return [
            issue
            for at, values in zip(rows, found, strict=True)
            for issue in self._warnings(values, chunk.row_of(at), screened.framed.line_of(at))
        ]

    def _ragged(self, cells: Cells, row: int, line: int) -> Issue:
        has = f"The row has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header {self.width}."
        if len(cells) > self.width:
            rule = f"{has} Quote cells that hold the delimiter, or give the further column a label."
            extra = next((cell for cell in cells[self.width :] if cell), "")
            return Issue("extra-cell", row, line, "", shown(extra), rule)
        rule = f"{has} {NOTE_RULE if looks_like_note(cells) else 'Add the missing cells, even empty ones.'}"
        return Issue("missing-cell", row, line, self.labels[len(cells)], "", rule)

    def _unreadable(self, cells: Cells, row: int, line: int, bad: BadBytes) -> Issue:
        """Return the issue of a row that its reader could not read as it stands."""
        at = bad.position
        if at < 0 and bad.word:
            at = next((at for at, cell in enumerate(cells) if cell and bad.word in cell), -1)
        label = self.labels[at] if 0 <= at < self.width else ""
        value = shown(cells[at]) if 0 <= at < len(cells) else bad.word
        rule = bad.rule or (
            f"At byte {bad.offset:,} of the file stands {bad.word}, no text in its encoding. Correct the cell."
        )
        return Issue(bad.code, row, line, label, value, rule)


def _issue(judge: ColumnJudge, wrong: Wrong, row: int, line: int, raw: str | None) -> Issue:
    return Issue(wrong.code, row, line, judge.label, shown(raw), wrong.rule)


def _with_fixed(
    columns: Sequence[pl.Series], fixed: Mapping[int, Sequence[str | None]]
) -> Sequence[pl.Series]:
    """Return the columns with the values of the corrected rows."""
    import polars as pl  # slow import  # noqa: PLC0415

    if not fixed:
        return columns
    return [
        column.scatter(list(fixed), pl.Series([values[number] for values in fixed.values()], dtype=pl.String))
        for number, column in enumerate(columns)
    ]


def _labels_of(matches: Sequence[Match]) -> tuple[str, ...]:
    """Return the labels of a file by its matches alone: each position that is matched, in order."""
    labels = {match.position: match.label for match in reversed(matches) if match.position >= 0}
    return tuple(labels.get(at, "") for at in range(max(labels, default=-1) + 1))
