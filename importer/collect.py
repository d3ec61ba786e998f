"""The raw cells of rows that were refused only after they were staged."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db import connection

from importer.dialect import Dialect
from importer.framing import MASKED, masked
from importer.issues import Issue
from importer.models import ImportIssue, ImportJob, Severity
from importer.readers.csv import CHUNK_BYTES, Chunk, Position
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
    for some in _together(chunks):
        begin, end = some[0].first_row, some[-1].end.row
        refusals, repeated = _refusals(job, begin, end), _repeated_later(job, begin, end)
        wanted = sorted({one.row for one in refusals} | _firsts(refusals, begin) | repeated)
        found = [row for chunk in some for row in _rows(chunk, grammar, _those_in(chunk, wanted))]
        lines = {row: line for row, line, _ in found}
        _tell_lines(job, {row: lines[row] for row in repeated})
        _keep(job, found, _told(refusals, lines), validator)
        if time_left() <= 0:
            return some[-1].end
    return None


def _together(chunks: Iterator[Chunk]) -> Iterator[list[Chunk]]:
    """Yield chunks of about CHUNK_BYTES in all: small ones are not worth statements of their own."""
    some: list[Chunk] = []
    size = 0
    for chunk in chunks:
        some.append(chunk)
        size += len(chunk.data)
        if size >= CHUNK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _those_in(chunk: Chunk, rows: Sequence[int]) -> Sequence[int]:
    return rows[bisect_left(rows, chunk.first_row) : bisect_left(rows, chunk.end.row)]


def _rows(
    chunk: Chunk, grammar: Grammar, wanted: Sequence[int]
) -> Iterator[tuple[int, int, list[str | None]]]:
    """Yield (row, line, cells) of the wanted rows, which are in order; only they are taken apart."""
    if not wanted:
        return
    cut = _by_records if b"\r" in chunk.data or MASKED in chunk.data else _by_lines
    for row, line, record in cut(chunk, grammar, wanted):
        yield row, line, next(grammar.records(record.decode())).cells


def _by_lines(chunk: Chunk, grammar: Grammar, wanted: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
    """Cut records at line ends, when those inside of their cells are masked."""
    data = chunk.data if chunk.rows == chunk.lines else masked(chunk.data, grammar.quote)
    records = data.split(b"\n")
    seen = further = 0
    for row in wanted:
        at = chunk.at_of(row)
        if chunk.rows != chunk.lines:
            further += b"".join(records[seen:at]).count(MASKED)
            seen = at
        yield row, chunk.first_line + at + further, records[at].replace(MASKED, b"\n") + b"\n"


def _by_records(chunk: Chunk, grammar: Grammar, wanted: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
    data, line, told, asked = chunk.data, chunk.first_line, 0, set(wanted)
    for row, (begin, end) in enumerate(grammar.bounds(data), start=chunk.first_row):
        if row in asked:
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


def _refusals(job: ImportJob, begin: int, end: int) -> list[_Refusal]:
    """Return what is said of the rows from `begin` up to `end`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, code, label, value, rule, first, first_line FROM {refused_table(job.pk)}"
            " WHERE rn >= %s AND rn < %s",
            [begin, end],
        )
        return [_Refusal(*row) for row in cursor.fetchall()]


def _firsts(refusals: Sequence[_Refusal], begin: int) -> set[int]:
    """Return the rows from `begin` on that these repeat."""
    return {one.first for one in refusals if one.first is not None and one.first >= begin}


def _repeated_later(job: ImportJob, begin: int, end: int) -> set[int]:
    """Return the rows from `begin` up to `end` that a row behind them repeats."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT first FROM {refused_table(job.pk)} WHERE first >= %s AND first < %s AND rn >= %s",
            [begin, end, end],
        )
        return {first for (first,) in cursor.fetchall()}


def _told(
    refusals: Sequence[_Refusal], lines: Mapping[int, int]
) -> dict[int, list[tuple[str, str, str, str]]]:
    """Return (code, label, value, rule) of the refused rows, with the lines of the rows they repeat."""
    told: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
    for one in refusals:
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
