"""The sentences that say how an import stands."""

from __future__ import annotations

from core.words import count
from importer.models import ImportJob, State

NEXT_AFTER_REJECTS = "Download the rejected rows, correct them and upload that file."


def outcome(job: ImportJob) -> str:
    """Return what happened and what to do next."""
    match job.state:
        case State.CREATED:
            return "Waiting for its preview."
        case State.PREVIEW_IN_PROGRESS:
            return f"{count(job.read_rows, 'row')} read so far."
        case State.PREVIEW_SUCCEEDED:
            return _preview(job)
        case State.IMPORT_IN_PROGRESS:
            return "Confirmed; the records are being written."
        case State.IMPORT_SUCCEEDED:
            return _imported(job)
        case State.CANCELLED:
            return "Cancelled. Nothing was imported."
        case _:
            return f"{job.error} Nothing was imported."


def _preview(job: ImportJob) -> str:
    plan = (
        f"{count(job.created_rows, 'record')} would be created, {job.updated_rows:,} changed,"
        f" {job.unchanged_rows:,} left as they are, {count(job.rejected_rows, 'row')} rejected."
    )
    return f"{plan} Nothing is written before you confirm."


def _imported(job: ImportJob) -> str:
    made = [
        text
        for number, text in (
            (job.created_rows, f"{count(job.created_rows, 'record')} created"),
            (job.updated_rows, f"{count(job.updated_rows, 'record')} changed"),
            (job.rejected_rows, f"{count(job.rejected_rows, 'row')} rejected"),
        )
        if number
    ]
    if made:
        sentence = ", ".join(made) + "."
    elif job.read_rows:
        sentence = "No record changed: the file says what the records say already."
    else:
        sentence = "No record changed: the file has no rows below its labels."
    return f"{sentence} {NEXT_AFTER_REJECTS}" if job.rejected_rows else sentence
