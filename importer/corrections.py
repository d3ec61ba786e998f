"""The file of rejected rows, corrected and uploaded again while the import waits for its confirmation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import RowhouseError
from importer import fixing, rejects, rights
from importer.choices import SHEET_CHOICES
from importer.dialect import Dialect, sniff_path
from importer.gate import HEAD_BYTES, file_kind
from importer.models import ImportJob, RejectedRow
from importer.readers.csv import read_chunks
from importer.readers.grammar import grammar_of
from importer.readers.xlsx import to_csv

MOST_DIGITS = 19  # of a bigint
MOST_BYTES = 50 * 1024**2
MOST_READ = 100_000  # rows of the file, corrected or not
AT_ONCE = 1_000  # of them are compared with what they were


class BadCorrections(RowhouseError):
    """The file is not the import's file of rejected rows, or a row of it cannot be told."""

    code = "bad-corrections"
    status = 422


def upload_corrections(*, job: ImportJob, by: Any, file: BinaryIO, name: str, seen: int | None = None) -> int:
    """Take the rows of a corrected rejects file that are not as they were; return how many.

    Its rows are known by the number in their first column, so they may be sorted, and those left out stay
    rejected.

    :param seen: the number of the preview the person looked at (`job.previews`), if known.
    :raises PermissionDenied: the person may not import into the dataset.
    :raises Unreadable: the file is empty or neither CSV nor XLSX.
    :raises BadCorrections: it is not the import's file of rejected rows.
    :raises NotFixable: the import is not waiting for its confirmation, was previewed again, or too many rows
        were corrected.
    """
    rights.require_import_of(by, job)
    if reason := fixing.why_not_fixable(job, seen):
        raise fixing.NotFixable(reason)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corrected"
        kind = _store(file, name, path)
        changed = _changed(job, _rows(job, path, kind))
    fixing.fix_rows(job=job, by=by, cells=changed, seen=seen)
    return len(changed)


def _store(file: BinaryIO, name: str, path: Path) -> str:
    head = file.read(HEAD_BYTES)
    kind = file_kind(head, name)
    size = 0
    with path.open("wb") as out:
        while head:
            size += len(head)
            if size > MOST_BYTES:
                raise BadCorrections(
                    f"The file is larger than {MOST_BYTES // 1024**2} MiB. Import the good rows, then upload the"
                    " corrected ones as a file of their own."
                )
            out.write(head)
            head = file.read(HEAD_BYTES)
    return kind


def _changed(job: ImportJob, rows: Iterable[tuple[int, list[str | None]]]) -> dict[int, list[str | None]]:
    """Return the rows that are not as they were, as wide as the import's file; no more than may be corrected."""
    own, width = rejects.own_columns(job), len(job.head["labels"])
    changed: dict[int, list[str | None]] = {}
    for some in batched(rows, AT_ONCE):
        numbers = [number for number, _ in some]
        before = dict(RejectedRow.objects.filter(job=job, row__in=numbers).values_list("row", "cells"))
        for number, cells in some:
            if number not in before:
                raise BadCorrections(
                    f"Row {number} is not one of the rejected rows of this import. Download them again, then"
                    " correct those."
                )
            whole = _whole([*before[number][:own], *cells], width)
            if whole != _whole(before[number], width):
                changed[number] = whole
        if reason := fixing.why_not_so_many(job, changed):
            raise fixing.NotFixable(reason)
    if not changed:
        raise BadCorrections(
            "Every row of the file is as it was; no row is corrected. Change the cells, then upload it again."
        )
    return changed


def _rows(job: ImportJob, path: Path, kind: str) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the file's rows with the number of the row they correct, without the two columns in front."""
    labels, records = _read(path, kind)
    expected = [_text(label) for label in rejects.labels_of(job)]
    if list(labels[: len(expected)]) != expected:
        raise BadCorrections(
            f"The first row must be as downloaded: {', '.join(expected[:4])}, …. Download the rejected rows and"
            " correct that file."
        )
    found: set[int] = set()
    for line, cells in records:
        number = (cells[0] or "").strip() if cells else ""
        if not (number.isascii() and number.isdecimal() and len(number) < MOST_DIGITS):
            raise BadCorrections(
                f"In line {line} the number of the row is {number!r}. It tells which row is meant; put it back."
            )
        if int(number) in found:
            raise BadCorrections(f"Row {number} stands in the file twice; leave one of them out.")
        if len(found) == MOST_READ:
            raise BadCorrections(
                f"The file has more than {MOST_READ:,} rows. Leave only those you corrected, then upload it again."
            )
        found.add(int(number))
        yield int(number), cells[len(rejects.OWN) :]
    if not found:
        raise BadCorrections("There is no row below the labels. Correct the rejected rows, then upload them.")


def _read(path: Path, kind: str) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str | None]]]]:
    wish: dict[str, object] = {"header_row": 1}
    if kind == "xlsx":
        out = path.with_suffix(".csv")
        to_csv(path, None, out)
        path, wish = out, {**wish, **SHEET_CHOICES, "drops_apostrophes": False}
    sniffed = sniff_path(path, overrides=wish)
    return sniffed.labels, _records(path, sniffed.dialect)


def _records(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str | None]]]:
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    for chunk in read_chunks(path, dialect):
        line = chunk.first_line
        for record in grammar.records(chunk.data.decode()):
            if not record.is_blank:
                yield line, record.cells
            line += record.lines


def _text(label: str | None) -> str:
    return " ".join((label or "").split())


def _whole(cells: Sequence[str | None], width: int) -> list[str | None]:
    """Return the cells as wide as the file: a spreadsheet adds and drops empty ones at the end as it likes."""
    kept = list(cells)
    while len(kept) > width and not kept[-1]:
        kept.pop()
    return kept + [None] * (width - len(kept))
