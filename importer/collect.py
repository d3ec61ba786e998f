"""The raw cells of rows that were refused only after they were staged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from django.db import connection

from importer.dialect import Dialect
from importer.issues import Issue
from importer.models import ImportIssue, ImportJob, Severity
from importer.readers.csv import Chunk, Position
from importer.readers.grammar import Grammar, count_lines, grammar_of
from importer.stage import write_rejected
from importer.staging import refused_table
from importer.validation import Checked, Validator


def collect(
    job: ImportJob,
    chunks: Iterator[Chunk],
    dialect: Dialect,
    validator: Validator,
    time_left: Callable[[], float],
) -> Position | None:
    """Keep issue and raw cells of each refused row; return where to go on, or None when all are found.

    Chunks without a row that counts are skipped without reading their records. A row that others repeat stands
    before them: its line is written down when it passes, and told with theirs.
    """
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    for chunk in chunks:
        repeated, refusals = _repeated(job, chunk), _refusals(job, chunk)
        if repeated or refusals:
            found = list(_rows(chunk, grammar, repeated | refusals.keys()))
            if repeated:
                _tell_lines(job, [(line, row) for row, line, _ in found if row in repeated])
                refusals = _refusals(job, chunk)  # one of its own rows may be the repetition
            _keep(job, found, refusals, validator)
        if time_left() <= 0:
            return chunk.end
    return None


def _rows(chunk: Chunk, grammar: Grammar, wanted: set[int]) -> Iterator[tuple[int, int, list[str | None]]]:
    """Yield (row, line, cells) of the wanted rows; only they are taken apart."""
    cut = _by_records if b"\r" in chunk.data else _by_lines
    for row, line, record in cut(chunk, grammar, wanted):
        yield row, line, next(grammar.records(record.decode())).cells


def _by_lines(chunk: Chunk, grammar: Grammar, wanted: set[int]) -> Iterator[tuple[int, int, bytes]]:
    """Cut plain records: one that has an odd number of quotes goes on to the next line that has."""
    lines, quote = chunk.data.split(b"\n"), grammar.quote
    row, at, count = chunk.first_row, 0, len(lines) - 1
    while at < count:
        end = at + 1
        if quote and lines[at].count(quote) & 1:
            while end < count and not lines[end].count(quote) & 1:
                end += 1
            end += 1
        if row in wanted:
            yield row, chunk.first_line + at, b"\n".join(lines[at:end]) + b"\n"
        row, at = row + 1, end


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


def _repeated(job: ImportJob, chunk: Chunk) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT first FROM {refused_table(job.pk)} WHERE first >= %s AND first < %s",
            [chunk.first_row, chunk.end.row],
        )
        return {first for (first,) in cursor.fetchall()}


def _tell_lines(job: ImportJob, lines: Sequence[tuple[int, int]]) -> None:
    if lines:
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {refused_table(job.pk)} b SET first_line = l.line"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS l (line, row) WHERE b.first = l.row",
                [[line for line, _ in lines], [row for _, row in lines]],
            )


def _refusals(job: ImportJob, chunk: Chunk) -> dict[int, list[tuple[str, str, str, str]]]:
    found: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, code, label, value, rule, first, first_line FROM {refused_table(job.pk)}"
            " WHERE rn >= %s AND rn < %s",
            [chunk.first_row, chunk.end.row],
        )
        for rn, code, label, value, rule, first, line in cursor.fetchall():
            if first is not None:
                rule = rule.replace("{first}", f"{first} (line {line})" if line != first else str(first))
            found[rn].append((code, label, value, rule))
    return found
