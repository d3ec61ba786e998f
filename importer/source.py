"""The file of an import: where its text is, how it is written, and what its head says."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import storage
from datasets.signals import written_here
from importer import choices, matching, services, staging
from importer.choices import SHEET_CHOICES
from importer.dialect import sniff_path
from importer.issues import Issue, WorkbookRefused
from importer.models import PREVIEWING, ImportIssue, ImportJob, RejectedRow, State
from importer.readers.xlsx import sheets, to_csv
from jobs.kinds import Slice

SAMPLE_CHARACTERS = 120
READING = 2  # is raised when a rule changes by which files are read or cells judged: what was found is then found anew


def csv_path(job: ImportJob, work: Slice) -> Path:
    """Return a local CSV file of the upload, made from the workbook's sheet when it is one."""
    with work.long_statement():  # the download and the workbook's child may take longer than a slice
        upload = storage.local_copy(job.key, job.sha256, known=job.head.get("mark", ""))
        if job.kind != "xlsx":
            return upload
        if not job.sheet:
            _convert(job, upload)
        return storage.local_copy(job.sheet["key"], job.sheet["sha256"])


def read_head(job: ImportJob, work: Slice) -> None:
    """Begin anew: forget what an earlier preview found, and read dialect, labels and samples (not saved)."""
    staging.sweep()
    _reset(job)
    known = [column.label for column in job.dataset.spec().columns] if job.dataset_id else []
    sniffed = sniff_path(csv_path(job, work), overrides=_overrides(job), known=known)
    job.dialect = sniffed.dialect.to_dict()
    job.head |= {
        "reading": READING,
        "labels": list(sniffed.labels),
        "samples": [[_short(cell) for cell in row] for row in sniffed.samples],
        "doubts": list(sniffed.doubts),
    }


def block(job: ImportJob, found: list[Issue]) -> None:
    """End a preview whose labels must be settled by a person first."""
    _keep_issues(job, found)
    services.fail(
        job,
        old=PREVIEWING,
        new=State.PREVIEW_FAILED,
        code=found[0].code,
        message=matching.blocking_message(found),
    )


def _reset(job: ImportJob) -> None:
    ImportIssue.objects.filter(job=job)._raw_delete("default")
    RejectedRow.objects.filter(job=job)._raw_delete("default")
    job.read_rows = job.staged_rows = job.rejected_rows = job.blank_rows = 0
    job.created_rows = job.updated_rows = job.unchanged_rows = 0
    job.missing_rows = job.deleted_rows = job.kept_rows = 0
    job.issue_counts, job.warning_counts = {}, {}
    for found in ("keyless", "same_as"):
        job.head.pop(found, None)
    job.error_code = job.error = ""


def _convert(job: ImportJob, workbook: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sheet.csv"
        try:
            made = to_csv(
                workbook, job.overrides.get("sheet"), out, header_row=job.overrides.get("header_row")
            )
        except WorkbookRefused:  # another sheet may do
            job.head["sheets"] = [asdict(sheet) for sheet in sheets(workbook)]
            raise
        job.head["sheets"] = [asdict(sheet) for sheet in made.sheets]
        with out.open("rb") as file:
            stored = storage.save(f"uploads/{job.pk}/sheet.csv", file)
    with storage.write(f"uploads/{job.pk}/hazards.json") as writer:
        writer.write(made.hazards_to_json().encode())
    job.sheet = {
        "key": stored.key, "sha256": stored.sha256, "bytes": stored.bytes, "sheet": made.sheet,
        "hazards": writer.key, "notes": list(made.notes),
    }  # fmt: skip


def _overrides(job: ImportJob) -> dict[str, Any]:
    given = {key: job.overrides[key] for key in choices.NAMES if key in job.overrides}
    if job.kind == "xlsx":
        given |= SHEET_CHOICES
    # A workbook is not guessed about: its own texts need no sign.
    known = _known(job) or ({"drops_apostrophes": False} if job.kind == "xlsx" else {})
    return {**known, **given}


def _known(job: ImportJob) -> dict[str, Any]:
    """Return how the file is written, as far as an app that wrote these very bytes says so."""
    answers: Any = written_here.send(ImportJob, sha256=job.sha256)
    return next((answer for _, answer in answers if answer), {})


def _keep_issues(job: ImportJob, issues: list[Issue]) -> None:
    ImportIssue.objects.bulk_create(
        ImportIssue(
            job=job, code=issue.code, row=issue.row, line=issue.line, column=issue.column, value=issue.value,
            rule=issue.rule,
        )
        for issue in issues
    )  # fmt: skip
    job.issue_counts = dict(Counter(issue.code for issue in issues))
    job.save(update_fields=["issue_counts"])


def _short(cell: str | None) -> str | None:
    return cell if cell is None or len(cell) <= SAMPLE_CHARACTERS else cell[: SAMPLE_CHARACTERS - 1] + "…"
