"""The raw cells of rows that were refused only after they were staged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db import connection

from importer.dialect import Dialect
from importer.framing import MASKED, masked
from importer.issues import Issue
from importer.models import ImportIssue, ImportJob, Severity
from importer.readers.csv import Chunk, Position
from importer.readers.grammar import Grammar, count_lines, grammar_of
from importer.stage import write_rejected
from importer.staging import refused_table
from importer.validation import Checked, Validator


class _Refusal(NamedTuple):
    """What SQL said of a row. `first` is the row it repeats, if any; its line is known once it was read."""

    row: int
    code: str
    label: str
    value: str
    rule: str
    first: int | None
    first_line: int | None


def collect(
    job: ImportJob,
    chunks: Iterator[Chunk],
    dialect: Dialect,
    validator: Validator,
    time_left: Callable[[], float],
) -> Position | None:
    """Keep issue and raw cells of each refused row; return where to go on, or None when all are found.

    A row that others repeat stands before them: its line is written down when it passes, and told with theirs.
    """
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    for chunk in chunks:
        if refusals := _refusals(job, chunk):
            found = list(_rows(chunk, grammar, _rows_about(refusals, chunk)))
            lines = {row: line for row, line, _ in found}
            _tell_lines(
                job, {one.first: lines[one.first] for one in refusals if one.first and _waits(one, chunk)}
            )
            _keep(job, found, _told(refusals, lines, chunk), validator)
        if time_left() <= 0:
            return chunk.end
    return None


def _rows(chunk: Chunk, grammar: Grammar, wanted: set[int]) -> Iterator[tuple[int, int, list[str | None]]]:
    """Yield (row, line, cells) of the wanted rows; only they are taken apart."""
    cut = _by_records if b"\r" in chunk.data or MASKED in chunk.data else _by_lines
    for row, line, record in cut(chunk, grammar, wanted):
        yield row, line, next(grammar.records(record.decode())).cells


def _by_lines(chunk: Chunk, grammar: Grammar, wanted: set[int]) -> Iterator[tuple[int, int, bytes]]:
    """Cut records at line ends, when those inside of their cells are masked."""
    data = chunk.data if chunk.rows == chunk.lines else masked(chunk.data, grammar.quote)
    records = data.split(b"\n")
    seen = further = 0
    for row in sorted(wanted):
        at = chunk.at_of(row)
        if chunk.rows != chunk.lines:
            further += b"".join(records[seen:at]).count(MASKED)
            seen = at
        yield row, chunk.first_line + at + further, records[at].replace(MASKED, b"\n") + b"\n"


def _by_records(chunk: Chunk, grammar: Grammar, wanted: set[int]) -> Iterator[tuple[int, int, bytes]]:
    data, line, told = chunk.data, chunk.first_line, 0
    for row, (begin, end) in enumerate(grammar.bounds(data), start=chunk.first_row):
        if row in wanted:
            line += count_lines(data[told:begin])
            told = begin
            yield row, line, data[begin:end]


def _keep(
    job: ImportJob,
    found: Sequence[tuple[int, int, list[str | None]]],
    refusals: Mapping[int, list[tuple[str, str, str, str]]],
    validator: Validator,
) -> None:
    refused = Checked()
    for row, line, raw in found:
        if row in refusals:
            cells = validator.standing(row, raw)
            if job.warning_counts:
                refused.warnings += validator.check_row(cells, row=row, line=line)[1]
            issues = [
                Issue(code, row, line, label, value, rule) for code, label, value, rule in refusals[row]
            ]
            refused.reject(row, line, cells, issues)
    _forget_warnings(job, refused.warnings)
    write_rejected(job, refused.issues, refused.rejected)


def _forget_warnings(job: ImportJob, warnings: Sequence[Issue]) -> None:
    """Take back what was told of rows while they were staged: warnings are about rows that are imported."""
    if warnings:
        job.warning_counts = dict(Counter(job.warning_counts) - Counter(issue.code for issue in warnings))
        rows = {issue.row for issue in warnings}
        found = ImportIssue.objects.filter(job=job, row__in=rows, severity=Severity.WARNING)
        found._raw_delete("default")


def _refusals(job: ImportJob, chunk: Chunk) -> list[_Refusal]:
    """Return what is said of the chunk's rows, and of later ones that repeat one of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, code, label, value, rule, first, first_line FROM {refused_table(job.pk)}"
            " WHERE rn >= %(begin)s AND rn < %(end)s OR first >= %(begin)s AND first < %(end)s",
            {"begin": chunk.first_row, "end": chunk.end.row},
        )
        return [_Refusal(*row) for row in cursor.fetchall()]


def _rows_about(refusals: Sequence[_Refusal], chunk: Chunk) -> set[int]:
    """Return the rows of the chunk that are refused, or repeated."""
    return {
        row
        for one in refusals
        for row in (one.row, one.first)
        if row and chunk.first_row <= row < chunk.end.row
    }


def _waits(refusal: _Refusal, chunk: Chunk) -> bool:
    """Return whether a row is refused that stands in a later chunk, for it repeats one of this."""
    return refusal.row >= chunk.end.row


def _told(
    refusals: Sequence[_Refusal], lines: Mapping[int, int], chunk: Chunk
) -> dict[int, list[tuple[str, str, str, str]]]:
    """Return (code, label, value, rule) of the chunk's refused rows, with the lines of the rows they repeat."""
    told: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
    for one in refusals:
        if not _waits(one, chunk):
            rule = one.rule
            if one.first is not None:
                line = lines.get(one.first, one.first_line)
                first = f"{one.first} (line {line})" if line != one.first else str(one.first)
                rule = rule.replace("{first}", first)
            told[one.row].append((one.code, one.label, one.value, rule))
    return told


def _tell_lines(job: ImportJob, lines: Mapping[int, int]) -> None:
    """Write down on which lines rows stand that later ones repeat."""
    if lines:
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {refused_table(job.pk)} b SET first_line = l.line"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS l (row, line) WHERE b.first = l.row",
                [list(lines), list(lines.values())],
            )
