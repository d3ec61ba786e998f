"""The preview of an import, slice by slice: open, stage, refuse, collect, plan.

Each phase ends with a committed cursor, so a worker that dies costs one slice. Nothing outside the job's own
rows and tables is written.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.services import record
from core import storage
from core.errors import RowhouseError
from datasets.spec import ColumnSpec, DatasetSpec
from importer import mapping, plan, services, staging
from importer.collect import collect
from importer.dialect import Dialect, sniff_path
from importer.issues import Issue, Unreadable, shown
from importer.models import PREVIEWING, ImportIssue, ImportJob, Mode, RejectedRow, SavedMapping, State
from importer.readers.csv import Position, read_chunks
from importer.readers.xlsx import hazards_from_json, sheets, to_csv
from importer.stage import stage
from importer.validation import Validator
from jobs.kinds import Slice, Step

SAMPLE_CHARACTERS = 120
SHOWN_LABELS = 20


class DefinitionChanged(RowhouseError):
    """The dataset's definition changed while an import of it was under way."""

    code = "definition-changed"


@dataclass(frozen=True, slots=True)
class Reading:
    """One slice's view of the job: the definition it is pinned to and how its file is read."""

    job: ImportJob
    spec: DatasetSpec
    dialect: Dialect
    matches: tuple[mapping.Match, ...]
    path: Path

    def validator(self) -> Validator:
        hazards = {}
        if key := self.job.sheet.get("hazards"):
            with storage.open_read(key) as file:
                hazards = hazards_from_json(file.read().decode())
        return Validator(self.spec, self.matches, self.dialect, hazards)

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """The mapped columns, in the dataset's order: those of the staging table."""
        return mapped_columns(self.spec, self.matches)


def mapped_columns(spec: DatasetSpec, matches: tuple[mapping.Match, ...]) -> tuple[ColumnSpec, ...]:
    """Return the columns a mapping fills, in the dataset's order."""
    names = {match.column for match in matches}
    return tuple(column for column in spec.columns if column.name in names)


def run(job: ImportJob, work: Slice) -> Step:
    """Do one slice of a preview.

    :raises DefinitionChanged: the dataset is not what it was when the preview began.
    """
    if job.state not in PREVIEWING:
        return Step(done=True)  # delivered twice, or cancelled meanwhile
    phase = work.cursor.get("phase", "open")
    try:
        return PHASES[phase](job, work)
    except Unreadable as error:
        services.fail(job, old=PREVIEWING, new=State.PREVIEW_FAILED, code=error.code, message=error.message)
        return Step(done=True)


def open_file(job: ImportJob, work: Slice) -> Step:
    """Read the file's head, map its labels and create the staging table."""
    staging.sweep()
    if job.state == State.CREATED:
        record("importer.job.preview_started", target=job)
    job.move(old=PREVIEWING, new=State.PREVIEW_IN_PROGRESS)
    _reset(job)
    with work.long_statement():  # the download and the workbook's child may take longer than a slice
        path = _csv_path(job)
    sniffed = sniff_path(path, overrides=_overrides(job))
    spec = job.dataset.spec()
    job.dialect = sniffed.dialect.to_dict()
    job.head |= {
        "labels": list(sniffed.labels),
        "samples": [[_short(cell) for cell in row] for row in sniffed.samples],
        "doubts": list(sniffed.doubts),
    }
    lost: list[Issue] = []
    if not job.mapping:
        lost = _lost_labels(job)
        job.mapping = [match.to_dict() for match in _suggestion(job, spec)]
    job.definition_version = job.dataset.definition_version
    job.save()
    matches = _matches(job)
    if found := lost or _blocking(job, spec, matches):
        _keep_issues(job, found)
        message = _blocking_message(found)
        services.fail(job, old=PREVIEWING, new=State.PREVIEW_FAILED, code=found[0].code, message=message)
        return Step(done=True)
    staging.create(job.pk, mapped_columns(spec, matches))
    return Step(done=False, cursor={"phase": "stage"})


def stage_rows(job: ImportJob, work: Slice) -> Step:
    """Validate and stage as many chunks as the slice has time for."""
    reading = _reading(job, work)
    at = work.cursor.get("at")
    staged = stage(
        job,
        reading.validator(),
        read_chunks(reading.path, reading.dialect, start=_position(at)),
        work.time_left,
    )
    job.save(update_fields=["read_rows", "staged_rows", "rejected_rows", "blank_rows", "issue_counts"])
    if staged.is_finished:
        return Step(done=False, cursor={"phase": "refuse"}, processed=staged.rows, total=job.read_rows)
    assert staged.end is not None
    total = job.read_rows * reading.path.stat().st_size // max(staged.end.offset, 1)
    cursor = {"phase": "stage", "at": staged.end.to_dict()}
    return Step(done=False, cursor=cursor, processed=staged.rows, total=total)


def refuse_rows(job: ImportJob, work: Slice) -> Step:
    """Find the rows that only the whole file or the table can refuse: repeated keys and the like."""
    if not staging.is_whole(job):
        return Step(done=False, cursor={})  # the database lost it in a crash: once more from the start
    reading = _reading(job, work)
    with work.long_statement():
        found = plan.find_refusals(job, reading.spec, reading.columns)
    return Step(done=False, cursor={"phase": "collect" if found else "plan"}, total=job.read_rows)


def collect_refused(job: ImportJob, work: Slice) -> Step:
    """Fetch the raw cells of the refused rows from the file, then take them out of the staging table."""
    reading = _reading(job, work)
    chunks = read_chunks(reading.path, reading.dialect, start=_position(work.cursor.get("at")))
    end = collect(job, chunks, reading.dialect, work.time_left)
    job.save(update_fields=["rejected_rows", "issue_counts"])
    if end is not None:
        return Step(done=False, cursor={"phase": "collect", "at": end.to_dict()}, total=job.read_rows)
    with work.long_statement():
        job.staged_rows -= plan.remove_refused(job)
    job.save(update_fields=["staged_rows"])
    return Step(done=False, cursor={"phase": "plan"}, total=job.read_rows)


def plan_rows(job: ImportJob, work: Slice) -> Step:
    """Make the plan: what would be created and changed, compared with the records there are now."""
    if not staging.is_whole(job):
        return Step(done=False, cursor={})
    reading = _reading(job, work)
    with work.long_statement():
        counts, snapshot = plan.make(job, reading.spec, reading.columns)
    services.finish_preview(job, created=counts.created, updated=counts.updated, snapshot=snapshot)
    return Step(done=True, total=job.read_rows)


PHASES = {
    "open": open_file,
    "stage": stage_rows,
    "refuse": refuse_rows,
    "collect": collect_refused,
    "plan": plan_rows,
}


def _reset(job: ImportJob) -> None:
    ImportIssue.objects.filter(job=job)._raw_delete("default")
    RejectedRow.objects.filter(job=job)._raw_delete("default")
    job.read_rows = job.staged_rows = job.rejected_rows = job.blank_rows = 0
    job.created_rows = job.updated_rows = job.unchanged_rows = 0
    job.issue_counts = {}
    job.error_code = job.error = ""


def _csv_path(job: ImportJob) -> Path:
    """Return a local CSV file of the upload, made from the workbook's sheet when it is one."""
    upload = storage.local_copy(job.key, job.sha256)
    if job.kind != "xlsx":
        return upload
    if not job.sheet:
        _convert(job, upload)
    return storage.local_copy(job.sheet["key"], job.sheet["sha256"])


def _convert(job: ImportJob, workbook: Path) -> None:
    job.head["sheets"] = [
        {"name": sheet.name, "rows": sheet.rows, "is_hidden": sheet.is_hidden} for sheet in sheets(workbook)
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sheet.csv"
        made = to_csv(workbook, job.overrides.get("sheet"), out)
        with out.open("rb") as file:
            stored = storage.save(f"uploads/{job.pk}/sheet.csv", file)
    with storage.write(f"uploads/{job.pk}/hazards.json") as writer:
        writer.write(made.hazards_to_json().encode())
    job.sheet = {
        "key": stored.key, "sha256": stored.sha256, "bytes": stored.bytes, "sheet": made.sheet,
        "hazards": writer.key, "notes": list(made.notes),
    }  # fmt: skip


def _overrides(job: ImportJob) -> dict[str, Any]:
    given = {
        key: job.overrides[key] for key in ("encoding", "delimiter", "header_row") if key in job.overrides
    }
    if job.kind == "xlsx":
        given |= {"encoding": "utf-8", "delimiter": ","}
    return given


def _suggestion(job: ImportJob, spec: DatasetSpec) -> tuple[mapping.Match, ...]:
    labels, samples = job.head["labels"], job.head["samples"]
    saved = explicit = job.overrides.get("columns")
    if explicit is None:
        kept = SavedMapping.objects.filter(
            dataset=job.dataset_id, fingerprint=services.fingerprint(labels)
        ).first()
        saved = kept.columns if kept else None
    matches = mapping.suggest(labels, samples, spec.columns, saved, is_explicit=explicit is not None)
    # A doubtful guess is shown, not used: a person chooses it or leaves it.
    doubtful = {match.position: None for match in matches if match.column and not match.is_certain}
    return tuple(match if match.position not in doubtful else unused(match) for match in matches)


def _lost_labels(job: ImportJob) -> list[Issue]:
    """Return an issue for each label that the mapping given with this file names and the file lacks."""
    labels = job.head["labels"]
    has = ", ".join(f"“{label}”" for label in labels[:SHOWN_LABELS]) + (
        f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    )
    return [
        Issue(
            "missing-label", 0, 0, shown(label), "", f"The file has no label “{shown(label)}”; it has {has}."
        )
        for label in mapping.absent(labels, job.overrides.get("columns") or {})
    ]


def unused(match: mapping.Match) -> mapping.Match:
    """Return the match with its guess kept as the first candidate and no column."""
    candidates = tuple(dict.fromkeys([match.column, *match.candidates])) if match.column else match.candidates
    kept = match.to_dict() | {"column": None, "candidates": list(candidates)}
    return mapping.Match.from_dict(kept)


def _matches(job: ImportJob) -> tuple[mapping.Match, ...]:
    return tuple(mapping.Match.from_dict(match) for match in job.mapping)


def _blocking(job: ImportJob, spec: DatasetSpec, matches: tuple[mapping.Match, ...]) -> list[Issue]:
    found = mapping.problems(matches, spec)
    if job.mode != Mode.UPDATE:
        return found
    # Records that exist have their required values; only the key must be in the file.
    key = {column.label for column in spec.key_columns}
    return [issue for issue in found if issue.code != "missing-label" or issue.column in key]


def _blocking_message(found: list[Issue]) -> str:
    if len(found) == 1 and found[0].rule.endswith("preview again."):
        return found[0].rule
    if found[0].rule.startswith("The file has no label"):
        return f"{found[0].rule} Correct the mapping, then preview again."
    missing = [issue.column for issue in found if issue.code == "missing-label"]
    said = f"No label of the file goes to {', '.join(missing)}." if missing else found[0].rule
    return f"{said} Match the columns, then preview again."


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


def _reading(job: ImportJob, work: Slice) -> Reading:
    if job.dataset.definition_version != job.definition_version:
        raise DefinitionChanged("The dataset's definition changed during the preview. Preview it again.")
    with work.long_statement():  # another worker may have to download the file first
        path = _csv_path(job)
    return Reading(
        job=job,
        spec=job.dataset.spec(),
        dialect=Dialect.from_dict(job.dialect),
        matches=_matches(job),
        path=path,
    )


def _position(stored: dict[str, Any] | None) -> Position | None:
    return Position.from_dict(stored) if stored else None


def _short(cell: str | None) -> str | None:
    return cell if cell is None or len(cell) <= SAMPLE_CHARACTERS else cell[: SAMPLE_CHARACTERS - 1] + "…"
