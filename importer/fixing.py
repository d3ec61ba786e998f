"""Correcting rejected rows of a preview: in the browser, or by uploading their file again.

A corrected row is kept (`RowFix`) and stands for the file's row from then on, however often the file is read
again in the same way. Only corrected rows are checked anew, and those that nothing but the other rows and the
records refused; what the whole file says (repeated keys, the plan) is worked out again in SQL from what is staged.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from audit.services import record
from core.errors import RowhouseError
from core.words import count
from importer import rights, services, staging
from importer.csvtext import csv_text
from importer.framing import is_blank, without_surplus
from importer.issues import Issue
from importer.models import ImportIssue, ImportJob, RejectedRow, RowFix, State
from importer.parts import keys_of, staged_of, validator_of
from importer.preview import COUNTED
from importer.specs import spec_of, version_of
from importer.stage import write_rejected
from importer.validation import Rejected, Validator

Cells = Sequence[str | None]
MOST_ROWS = 10_000  # of one import: every reading of its file holds them in memory
# Beyond this many rows that other rows may have refused, the file is read again instead of checking them here.
MOST_AGAIN = 20_000
# What SQL refuses a row with, in a dataset; the check of a row by itself has these codes too.
OF_OTHERS = ("primary-key", "constraint-error", "missing-cell", "foreign-key", "row-constraint")
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
TOO_MANY = "Import the good rows, then upload the corrected ones as a file of their own."


class NotFixable(RowhouseError):
    """Rows were corrected of an import that is not waiting for its confirmation, or rows that were not rejected."""

    code = "not-fixable"


class BadCell(NotFixable):
    """A corrected cell holds what no text can hold."""

    status = 422


@dataclass(frozen=True, slots=True)
class _Checked:
    """Rows after their check: staged as (row, values), rejected again, or left out as blank."""

    staged: list[tuple[int, list[str | None]]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)


@transaction.atomic
def fix_rows(*, job: ImportJob, by: Any, cells: Mapping[int, Cells], seen: int | None = None) -> None:
    """Put other cells in the place of rejected rows and preview again; a row without any value is left out.

    :param cells: number of the row to its cells, in the order of the file's labels.
    :param seen: the number of the preview the person looked at (`job.previews`), if known: rows are known by
        number alone, and another reading of the file has other rows.
    :raises PermissionDenied: the person may not import into the dataset.
    :raises NotFixable: the import is not waiting for its confirmation, was previewed again or has another
        definition, its staged rows are gone, a row was not rejected, or there are more than MOST_ROWS in all.
    :raises BadCell: a cell holds what no text can hold.
    """
    rights.require_import_of(by, job)
    job = ImportJob.objects.select_for_update().get(pk=job.pk)
    if reason := why_not_fixable(job, seen) or why_not_so_many(job, cells):
        raise NotFixable(reason)
    _require_text(job, cells)
    rejects = {one.row: one for one in RejectedRow.objects.filter(job=job, row__in=list(cells))}
    if unknown := sorted(set(cells) - set(rejects)):
        raise NotFixable(f"Row {unknown[0]} is not one of the rejected rows. Open the import again.")
    _keep(job, by, cells, rejects)
    validator = validator_of(job)
    checked = _check(validator, cells, rejects)
    record("importer.rows.fixed", actor=by, target=job, rows=len(cells), still_rejected=len(checked.rejected))
    # The rows of a recognised file are not staged: with these cells it is another file, and read.
    others = None if job.is_same else _others(job, cells)
    if others is not None:
        again = _restaged(validator, checked, others)
        _forget(job, [*rejects.values(), *again])
        _stage(job, checked)
        job.save(update_fields=[*COUNTED, "read_rows", "blank_rows", "head"])
    job.move(old=State.PREVIEW_SUCCEEDED, new=State.CREATED, notice="")
    services.submit_preview(job, phase="open" if others is None else "refuse")


def why_not_fixable(job: ImportJob, seen: int | None = None) -> str | None:
    """Return why rows of an import cannot be corrected now, with what to do, or None."""
    if job.is_undo:
        return "An undo reads no file, so it has no rows to correct. Confirm it or cancel it."
    if job.state != State.PREVIEW_SUCCEEDED:
        return f"Rows can be corrected while an import waits for its confirmation; this one: {job.get_state_display()}."
    if seen is not None and seen != job.previews:
        return "The preview was made again since this page was opened. Look at its rows, then correct them."
    if job.definition_version != version_of(job):
        return "The definition changed since the preview. Preview it again, then correct its rows."
    if not staging.is_kept(job):
        return "The rows that were read are not there any more. Preview the file again, then correct it."
    return None


def why_not_so_many(job: ImportJob, cells: Mapping[int, Cells]) -> str | None:
    """Return why these rows are too many for one import, with those corrected before, or None."""
    if len(cells) > MOST_ROWS:
        return f"At most {count(MOST_ROWS, 'row')} of an import can be corrected. {TOO_MANY}"
    earlier = RowFix.objects.filter(job=job).exclude(row__in=list(cells)).count()
    if earlier + len(cells) > MOST_ROWS:
        return (
            f"At most {count(MOST_ROWS, 'row')} of an import can be corrected, and {earlier:,} of this one were"
            f" already. {TOO_MANY}"
        )
    return None


def _require_text(job: ImportJob, cells: Mapping[int, Cells]) -> None:
    labels = job.head["labels"]
    for row, fixed in cells.items():
        for at, cell in enumerate(fixed):
            if found := NO_TEXT.search(cell or ""):
                label = f", {labels[at]}" if at < len(labels) else ""
                what = "the character NUL" if found[0] == "\x00" else "half of a character"
                raise BadCell(
                    f"Row {row}{label}: {what} cannot stand in a text. Remove it, then send the row again."
                )


def _keep(job: ImportJob, by: Any, cells: Mapping[int, Cells], rejects: Mapping[int, RejectedRow]) -> None:
    earlier = dict(RowFix.objects.filter(job=job, row__in=list(cells)).values_list("row", "before"))
    fixes = [
        RowFix(job=job, row=row, cells=list(fixed), before=earlier.get(row, rejects[row].cells), by=by)
        for row, fixed in cells.items()
    ]
    RowFix.objects.bulk_create(
        fixes, update_conflicts=True, unique_fields=["job", "row"], update_fields=["cells", "by", "at"]
    )


def _check(validator: Validator, cells: Mapping[int, Cells], rejects: Mapping[int, RejectedRow]) -> _Checked:
    checked = _Checked()
    for row, fixed in sorted(cells.items()):
        own = without_surplus(list(fixed), validator.width)
        if is_blank(own, validator.width):
            checked.blank.append(row)
            continue
        values, issues = validator.check_row(own, row=row, line=rejects[row].line)
        checked.issues.extend(issues)
        if values is None:
            checked.rejected.append(Rejected(row, rejects[row].line, tuple(own)))
        else:
            checked.staged.append((row, values))
    return checked


def _others(job: ImportJob, cells: Mapping[int, Cells]) -> list[RejectedRow] | None:
    """Return the other rejected rows that this file's rows or the records may have refused; None: too many.

    What was said of them need not be true any more. A plain model's serializer refuses with any code.
    """
    found = RejectedRow.objects.filter(job=job).exclude(row__in=list(cells))
    if not job.target:
        if not any(job.issue_counts.get(code) for code in OF_OTHERS):
            return []
        found = found.filter(codes__contained_by=list(OF_OTHERS))
    rows = list(found[: MOST_AGAIN + 1])
    return None if len(rows) > MOST_AGAIN else rows


def _restaged(validator: Validator, checked: _Checked, others: Sequence[RejectedRow]) -> list[RejectedRow]:
    """Add to the checked rows those others that nothing is wrong with by themselves; return these."""
    again = []
    for one in others:
        values, warnings = validator.check_row(one.cells, row=one.row, line=one.line)
        if values is not None:
            again.append(one)
            checked.staged.append((one.row, values))
            checked.issues.extend(warnings)
    checked.staged.sort(key=lambda staged: staged[0])
    return again


def _forget(job: ImportJob, rejects: Sequence[RejectedRow]) -> None:
    """Take back what was counted and kept of rows that are about to be counted anew. None of them has a warning."""
    codes = Counter(code for one in rejects for code in one.codes)
    job.issue_counts = dict(Counter(job.issue_counts) - codes)
    job.rejected_rows -= len(rejects)
    rows = [one.row for one in rejects]
    ImportIssue.objects.filter(job=job, row__in=rows)._raw_delete("default")
    RejectedRow.objects.filter(pk__in=[one.pk for one in rejects])._raw_delete("default")
    if not spec_of(job).key:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {staging.keys_table(job.pk)} WHERE rn = ANY(%s)", [rows])
        # Every rejected row has its key there, or has none that can be read.
        cursor.execute(f"SELECT count(*) FROM {staging.keys_table(job.pk)}")
        job.head["keyless"] = job.rejected_rows - int(cursor.fetchone()[0])


def _stage(job: ImportJob, checked: _Checked) -> None:
    staged = staged_of(job, spec_of(job))
    sql = staging.copy_sql(staging.staging_table(job.pk), staged.columns)
    with connection.cursor() as cursor:
        cursor.copy_expert(sql, io.BytesIO(csv_text((row, *values) for row, values in checked.staged)))
    job.staged_rows += len(checked.staged)
    job.blank_rows += len(checked.blank)
    job.read_rows -= len(checked.blank)
    write_rejected(job, checked.issues, checked.rejected, keys_of(job))
