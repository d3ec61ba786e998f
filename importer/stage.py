"""From chunks of a file to rows of the staging table; what is wrong goes beside it."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connection

from importer import staging
from importer.copytext import CopyForm
from importer.csvtext import csv_text
from importer.issues import Issue
from importer.keyhashes import KeyHashes
from importer.keys import KeyReader
from importer.models import ImportJob
from importer.places import noted
from importer.readers.csv import Chunk, Position
from importer.validation import Checked, Rejected, Validator

# Issues are counted without end; beyond this many per job they are not kept one by one. The rejected rows
# themselves, with their problems, always are.
KEPT_ISSUES = 100_000
AT_ONCE = 2  # chunks that are validated at the same time
MANY_ROWS = 10_000  # of a chunk
GATHERED_BYTES = 1 << 20  # of what goes beside the rows
_as_json = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one for each text
ISSUES_SQL = (
    'COPY importer_importissue (job_id, code, row, line, "column", value, rule, severity)'
    " FROM STDIN (FORMAT csv)"
)
REJECTS_SQL = "COPY importer_rejectedrow (job_id, row, line, cells, problem, codes) FROM STDIN (FORMAT csv)"


class Miscounted(Exception):
    """The database does not read staged rows as they were meant; nothing of them is to be trusted."""


@dataclass(slots=True)
class Staged:
    """What one slice staged. `end` is where the next one begins."""

    rows: int = 0
    end: Position | None = None
    is_finished: bool = False
    hashes: KeyHashes | None = None  # of all rows up to there, if they are known


def stage(
    job: ImportJob,
    validator: Validator,
    keys: KeyReader,
    chunks: Iterator[Chunk],
    begin: Position | None,
    time_left: Callable[[], float],
    hashes: KeyHashes | None = None,
) -> Staged:
    """Validate chunks, read from `begin` on, and copy their rows until the time is up.

    The job's counts are brought up to date. `hashes`, those of the keys of all rows before, get those of these.

    A thread sends one chunk to the database while the next ones are validated, in the file's order. No other
    statement may use the connection meanwhile. What goes beside the rows is gathered: a statement for each little
    would cost more than it.
    """
    staged, sql, beside = Staged(hashes=hashes), _copy_sql(job, validator.form), _Gathered()
    with connection.cursor() as cursor, ThreadPoolExecutor(1, "copy") as copier:
        cursor.execute("SELECT 1")  # the tenant's search path is set before the thread takes over
        raw = cursor.cursor
        sent: Future[None] | None = None
        for chunk, checked in _validated(validator, chunks, staged, time_left):
            beside.add(noted(job, chunk, checked.marks, begin))
            beside.add(*_beside(job, checked), *_keys(job, keys, checked.rejected, checked.issues))
            if sent is not None:
                sent.result()
            others = beside.taken(at_least=GATHERED_BYTES)
            sent = copier.submit(_send_rows, raw, (sql, checked.staged), checked.staged_rows, others)
            _count(job, checked)
            if hashes is not None:
                hashes.add(checked.hashes)
            staged.rows += checked.rows
            staged.end = begin = chunk.end
        if sent is not None:
            sent.result()
        _send(raw, beside.taken())
    return staged


class _Gathered:
    """Texts for COPY, gathered by their statements."""

    def __init__(self) -> None:
        self._texts: dict[str, list[bytes]] = {}
        self._size = 0

    def add(self, *tables: tuple[str, bytes]) -> None:
        for sql, data in tables:
            self._texts.setdefault(sql, []).append(data)
            self._size += len(data)

    def taken(self, at_least: int = 0) -> list[tuple[str, bytes]]:
        """Return all that was gathered, which is forgotten with that; nothing while it is less than so many bytes."""
        if self._size < at_least:
            return []
        found = [(sql, b"".join(texts)) for sql, texts in self._texts.items()]
        self._texts, self._size = {}, 0
        return found


def _validated(
    validator: Validator, chunks: Iterator[Chunk], staged: Staged, time_left: Callable[[], float]
) -> Iterator[tuple[Chunk, Checked]]:
    """Yield chunks with what became of them, in their order, two at work at a time where their rows are not many.

    The screen lets other threads run while it works. Memory holds one chunk more for it, and what becomes of a
    row takes far more than its bytes.
    """
    waiting: deque[tuple[Chunk, Future[Checked]]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "validate") as pool:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(validator.check, chunk)))
            while len(waiting) >= (AT_ONCE if chunk.rows <= MANY_ROWS else 1):
                first, checked = waiting.popleft()
                yield first, checked.result()
            if time_left() <= 0:
                break
        else:
            staged.is_finished = True
        for first, checked in waiting:
            yield first, checked.result()


def _copy_sql(job: ImportJob, form: CopyForm) -> str:
    return staging.copy_sql(staging.staging_table(job.pk), form.columns, form.delimiter, form.quote)


def write_rejected(
    job: ImportJob, issues: Sequence[Issue], rejected: Sequence[Rejected], keys: KeyReader | None = None
) -> None:
    """Keep issues and the raw rows they are about, and count both on the job (not saved).

    `keys` reads the keys of rows that were never staged.
    """
    checked = Checked(
        staged=b"", staged_rows=0, issues=list(issues), rejected=list(rejected), rows=0, blank=0
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        _send(cursor.cursor, [*_beside(job, checked), *(_keys(job, keys, rejected, issues) if keys else ())])
    _count(job, checked)


def _send_rows(raw: Any, table: tuple[str, bytes], rows: int, others: Sequence[tuple[str, bytes]]) -> None:
    """Send a chunk's rows, and what goes beside rows.

    :raises Miscounted: the database read another number of rows than were written for it.
    """
    if (copied := staging.copy(raw, *table)) != rows:
        raise Miscounted(f"{rows} rows were written, {copied} read")
    _send(raw, others)


def _send(raw: Any, tables: Sequence[tuple[str, bytes]]) -> None:
    for sql, data in tables:
        staging.copy(raw, sql, data)


def _count(job: ImportJob, checked: Checked) -> None:
    job.read_rows += checked.rows
    job.staged_rows += checked.staged_rows
    job.rejected_rows += len(checked.rejected)
    job.blank_rows += checked.blank
    for issue in (*checked.issues, *checked.warnings):
        counts = job.issue_counts if issue.severity == "error" else job.warning_counts
        counts[issue.code] = counts.get(issue.code, 0) + 1


def _beside(job: ImportJob, checked: Checked) -> list[tuple[str, bytes]]:
    if not (checked.issues or checked.warnings or checked.rejected):
        return []
    room = max(0, KEPT_ISSUES - job.issues_in_all - sum(job.warning_counts.values()))
    kept = [
        (
            job.pk,
            issue.code,
            issue.row,
            issue.line,
            issue.column,
            issue.value,
            issue.rule,
            issue.severity,
        )
        for issue in (*checked.issues, *checked.warnings)[:room]
    ]
    wrong: dict[int, list[Issue]] = defaultdict(list)
    for issue in checked.issues:
        if issue.severity == "error":
            wrong[issue.row].append(issue)
    rejected = [
        (
            job.pk,
            row.row,
            row.line,
            _as_json(row.cells),
            "; ".join(_problem(issue) for issue in wrong[row.row]),
            _as_json([issue.code for issue in wrong[row.row]]),
        )
        for row in checked.rejected
    ]
    return [(ISSUES_SQL, csv_text(kept)), (REJECTS_SQL, csv_text(rejected))]


def _problem(issue: Issue) -> str:
    return f"{issue.column}: {issue.rule}" if issue.column else issue.rule


def _keys(
    job: ImportJob, keys: KeyReader, rejected: Sequence[Rejected], issues: Sequence[Issue]
) -> list[tuple[str, bytes]]:
    if not keys.columns:
        return []
    known, unreadable = keys.split(rejected, issues)
    job.head["keyless"] = job.head.get("keyless", 0) + unreadable
    return [(staging.copy_sql(staging.keys_table(job.pk), keys.columns), csv_text(known))] if known else []
