"""The file of rejected rows: to correct and upload again."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from importer.csvtext import csv_text
from importer.mapping import normalise
from importer.models import ImportJob, RejectedRow

AT_ONCE = 2_000


def rejected_file(job: ImportJob) -> Iterator[bytes]:
    """Yield a CSV file of the rejected rows, their cells exactly as they were uploaded.

    Two columns stand before the file's own: the row's number and what is wrong with it. No column of a
    dataset is called so, or they get another name; a mapping skips them when the file comes back. They stand
    in front because a row may have more cells than the header has labels.
    """
    labels = list(job.head.get("labels", []))
    skipped = _own_columns(job, labels)
    delimiter = str(job.dialect.get("delimiter") or ",")
    names = _own_names(job, labels[skipped:])
    # The byte order mark makes spreadsheets read UTF-8.
    yield codecs.BOM_UTF8 + csv_text([[*names, *labels[skipped:]]], delimiter)
    last = -1
    while page := list(RejectedRow.objects.filter(job=job, row__gt=last).order_by("row")[:AT_ONCE]):
        yield csv_text(([one.row, one.problem, *one.cells[skipped:]] for one in page), delimiter)
        last = page[-1].row


OWN = ("row", "problem")


def file_name(job: ImportJob) -> str:
    """Return a name for the download.

    >>> file_name(ImportJob(pk=7, file_name="Orders 2026.xlsx"))
    'Orders 2026 rejected rows of import 7.csv'
    """
    stem = job.file_name.rsplit(".", 1)[0]
    return f"{stem} rejected rows of import {job.pk}.csv"


def _own_columns(job: ImportJob, labels: list[str]) -> int:
    # A corrected file that has rejected rows again: its two extra columns are not handed on.
    are_unused = all(match.get("column") is None for match in job.mapping[:2])
    return 2 if labels[:2] == _own_names(job, labels[2:]) and are_unused else 0


def _own_names(job: ImportJob, labels: list[str]) -> list[str]:
    """Return the two labels in front: like none of the file's, and none that could go to a column."""
    columns = [column.label for column in job.dataset.spec().columns]
    taken = {normalise(label) for label in (*labels, *columns)}
    return [_free(name, taken) for name in OWN]


def _free(name: str, taken: set[str]) -> str:
    while normalise(name) in taken:
        name += " (rejects)"
    return name
