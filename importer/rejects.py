"""The file of rejected rows: to correct and upload again."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from importer.csvtext import csv_text
from importer.mapping import normalise
from importer.models import ImportJob, RejectedRow
from importer.specs import spec_of

AT_ONCE = 2_000


def rejected_file(job: ImportJob) -> Iterator[bytes]:
    """Yield a CSV file of the rejected rows, their cells exactly as they were uploaded.

    Two columns stand before the file's own: the row's number and what is wrong with it. No column of a
    dataset is called so, or they get another name; a mapping skips them when the file comes back. They stand
    in front because a row may have more cells than the header has labels.
    """
    skipped = own_columns(job)
    delimiter = str(job.dialect.get("delimiter") or ",")
    # The byte order mark makes spreadsheets read UTF-8.
    yield codecs.BOM_UTF8 + csv_text([labels_of(job)], delimiter)
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


def labels_of(job: ImportJob) -> list[str]:
    """Return the first row of the file of rejected rows."""
    labels = list(job.head.get("labels", []))[own_columns(job) :]
    return [*_own_names(job, labels), *labels]


def own_columns(job: ImportJob) -> int:
    """Return how many columns in front of an import's file are our own: none, or two of a rejects file."""
    labels = list(job.head.get("labels", []))
    # A corrected file that has rejected rows again: its two extra columns are not handed on.
    are_unused = all(match.get("column") is None for match in job.mapping[:2])
    return 2 if labels[:2] == _own_names(job, labels[2:]) and are_unused else 0


def _own_names(job: ImportJob, labels: list[str]) -> list[str]:
    """Return the two labels in front: like none of the file's, and none that could go to a column."""
    columns = [column.label for column in spec_of(job).columns]
    taken = {normalise(label) for label in (*labels, *columns)}
    return [_free(name, taken) for name in OWN]


def _free(name: str, taken: set[str]) -> str:
    while normalise(name) in taken:
        name += " (rejects)"
    return name
