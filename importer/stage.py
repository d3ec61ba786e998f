"""From chunks of a file to rows of the staging table; what is wrong goes beside it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connection

from importer import staging
from importer.csvtext import csv_text
from importer.issues import Issue
from importer.models import ImportJob
from importer.readers.csv import Chunk, Position
from importer.validation import Checked, Rejected, Validator

# Issues are counted without end; beyond this many per job they are not kept one by one. The rejected rows
# themselves, with their problems, always are.
KEPT_ISSUES = 100_000
ISSUES_SQL = (
    'COPY importer_importissue (job_id, code, row, line, "column", value, rule) FROM STDIN (FORMAT csv)'
)
REJECTS_SQL = "COPY importer_rejectedrow (job_id, row, line, cells, problem) FROM STDIN (FORMAT csv)"


@dataclass(slots=True)
class Staged:
    """What one slice staged. `end` is where the next one begins."""

    rows: int = 0
    end: Position | None = None
    is_finished: bool = False


def stage(
    job: ImportJob, validator: Validator, chunks: Iterator[Chunk], time_left: Callable[[], float]
) -> Staged:
    """Validate chunks and copy their rows until the time is up; the job's counts are brought up to date.

    A thread sends one chunk to the database while the next is validated; memory holds two at a time. No
    other statement may use the connection meanwhile.
    """
    staged, sql = Staged(), staging.copy_sql(job.pk, validator.columns)
    with connection.cursor() as cursor, ThreadPoolExecutor(1, "copy") as copier:
        cursor.execute("SELECT 1")  # the tenant's search path is set before the thread takes over
        raw = cursor.cursor
        sent: Future[None] | None = None
        for chunk in chunks:
            checked = validator.check(chunk)
            tables = [(sql, checked.staged), *_beside(job, checked)]
            if sent is not None:
                sent.result()
            sent = copier.submit(_send, raw, tables)
            _count(job, checked)
            staged.rows += checked.rows
            staged.end = chunk.end
            if time_left() <= 0:
                break
        else:
            staged.is_finished = True
        if sent is not None:
            sent.result()
    return staged


def write_rejected(job: ImportJob, issues: Sequence[Issue], rejected: Sequence[Rejected]) -> None:
    """Keep issues and the raw rows they are about, and count both on the job (not saved)."""
    checked = Checked(
        staged=b"", staged_rows=0, issues=list(issues), rejected=list(rejected), rows=0, blank=0
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        _send(cursor.cursor, _beside(job, checked))
    _count(job, checked)


def _send(raw: Any, tables: Sequence[tuple[str, bytes]]) -> None:
    for sql, data in tables:
        staging.copy(raw, sql, data)


def _count(job: ImportJob, checked: Checked) -> None:
    job.read_rows += checked.rows
    job.staged_rows += checked.staged_rows
    job.rejected_rows += len(checked.rejected)
    job.blank_rows += checked.blank
    if checked.issues:
        job.issue_counts = dict(Counter(job.issue_counts) + Counter(issue.code for issue in checked.issues))


def _beside(job: ImportJob, checked: Checked) -> list[tuple[str, bytes]]:
    if not checked.issues and not checked.rejected:
        return []
    room = max(0, KEPT_ISSUES - job.issues_in_all)
    kept = [
        (job.pk, issue.code, issue.row, issue.line, issue.column, issue.value, issue.rule)
        for issue in checked.issues[:room]
    ]
    problems = defaultdict(list)
    for issue in checked.issues:
        problems[issue.row].append(f"{issue.column}: {issue.rule}" if issue.column else issue.rule)
    rejected = [
        (job.pk, row.row, row.line, json.dumps(row.cells, ensure_ascii=False), "; ".join(problems[row.row]))
        for row in checked.rejected
    ]
    return [(ISSUES_SQL, csv_text(kept)), (REJECTS_SQL, csv_text(rejected))]
