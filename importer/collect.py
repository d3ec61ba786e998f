"""The raw cells of rows that were refused only after they were staged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from django.db import connection

from importer.dialect import Dialect
from importer.issues import Issue
from importer.models import ImportJob
from importer.readers.csv import Chunk, Position
from importer.readers.grammar import grammar_of
from importer.stage import write_rejected
from importer.staging import refused_table
from importer.validation import Rejected


def collect(
    job: ImportJob, chunks: Iterator[Chunk], dialect: Dialect, time_left: Callable[[], float]
) -> Position | None:
    """Keep issue and raw cells of each refused row; return where to go on, or None when all are found.

    Chunks without a refused row are skipped without reading their records.
    """
    for chunk in chunks:
        wanted = _refusals(job, chunk.first_row, chunk.end.row)
        if wanted:
            _keep(job, chunk, dialect, wanted)
        if time_left() <= 0:
            return chunk.end
    return None


def _refusals(job: ImportJob, first: int, end: int) -> dict[int, list[tuple[str, str, str, str]]]:
    found: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, code, label, value, rule FROM {refused_table(job.pk)} WHERE rn >= %s AND rn < %s",
            [first, end],
        )
        for rn, *refusal in cursor.fetchall():
            found[rn].append(tuple(refusal))
    return found


def _keep(
    job: ImportJob, chunk: Chunk, dialect: Dialect, wanted: dict[int, list[tuple[str, str, str, str]]]
) -> None:
    issues: list[Issue] = []
    rejected: list[Rejected] = []
    line = chunk.first_line
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    for row, record in enumerate(grammar.records(chunk.data.decode()), start=chunk.first_row):
        if row in wanted:
            issues += [Issue(code, row, line, label, value, rule) for code, label, value, rule in wanted[row]]
            rejected.append(Rejected(row, line, tuple(record.cells)))
        line += record.lines
    write_rejected(job, issues, rejected)
