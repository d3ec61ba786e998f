"""The sentences that say how an import stands."""

from __future__ import annotations

from core.words import count
from importer.models import ImportJob, State

NEXT_AFTER_REJECTS = "Download the rejected rows, correct them and upload that file."
NOTHING_YET = "Nothing is written before you confirm."


def outcome(job: ImportJob) -> str:
    """Return what happened and what to do next."""
    match job.state:
        case State.CREATED:
            return "Waiting for its preview."
        case State.PREVIEW_IN_PROGRESS:
            if job.is_undo:
                return "Working out what can be taken back."
            return f"{count(job.read_rows, 'row')} read so far."
        case State.PREVIEW_SUCCEEDED:
            return f"{_plan(job)}{_warnings(job)} {NOTHING_YET}"
        case State.IMPORT_IN_PROGRESS:
            return f"Confirmed; the records are being {'put back' if job.is_undo else 'written'}."
        case State.IMPORT_SUCCEEDED:
            return f"{_done(job)}{_warnings(job)}"
        case State.UNDONE:
            if job.is_undo:
                return f"This undo was undone: what import {job.undoes_id} did stands again."
            return "This import was undone: its changes were taken back."
        case State.CANCELLED:
            return f"Cancelled. {_nothing(job)}"
        case _:
            return f"{job.error} {_nothing(job)}"


def name_of(job: ImportJob) -> str:
    """Return what an import is called in a list: its file, or the import it takes back."""
    if job.undoes is None:
        return job.file_name
    return f"Undo of import {job.undoes_id}" + (f" ({job.undoes.file_name})" if job.undoes.file_name else "")


def plan_button(job: ImportJob) -> str:
    """Return the words of the button that starts the merge."""
    if not job.changes_in_all:
        return "Finish: nothing to change"
    if job.is_undo:
        parts = (
            ("remove", job.deleted_rows),
            ("restore", job.updated_rows),
            ("bring back", job.created_rows),
        )
        return "Undo: " + ", ".join(f"{verb} {number:,}" for verb, number in parts if number)
    deletes = ", delete as agreed" if job.deleted_rows else ""
    return f"Import: create {job.created_rows:,}, change {job.updated_rows:,}{deletes}"


def _plan(job: ImportJob) -> str:
    if job.is_undo:
        return f"{_taken_back(job, 'would be ')}{_kept(job, 'would stay')}"
    deleted = f", {job.deleted_rows:,} deleted" if job.deleted_rows else ""
    return (
        f"{count(job.created_rows, 'record')} would be created, {job.updated_rows:,} changed{deleted},"
        f" {job.unchanged_rows:,} left as they are, {count(job.rejected_rows, 'row')} rejected."
    )


def _done(job: ImportJob) -> str:
    if job.is_undo:
        return f"{_taken_back(job, '')}{_kept(job, 'stayed')}"
    made = [
        text
        for number, text in (
            (job.created_rows, f"{count(job.created_rows, 'record')} created"),
            (job.updated_rows, f"{count(job.updated_rows, 'record')} changed"),
            (job.deleted_rows, f"{count(job.deleted_rows, 'record')} deleted"),
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


def _taken_back(job: ImportJob, would: str) -> str:
    parts = (
        ("removed", job.deleted_rows),
        ("restored", job.updated_rows),
        ("brought back", job.created_rows),
    )
    said = [
        f"{count(number, 'record') if at == 0 else f'{number:,}'} {would if at == 0 else ''}{verb}"
        for at, (verb, number) in enumerate((verb, number) for verb, number in parts if number)
    ]
    if said:
        return ", ".join(said) + "."
    return "There is nothing to take back." if would else "Nothing was taken back."


def _kept(job: ImportJob, stay: str) -> str:
    if not job.kept_rows:
        return ""
    is_one = job.kept_rows == 1
    return (
        f" {count(job.kept_rows, 'record')} {stay} as {'it is' if is_one else 'they are'}; Issues says why."
    )


def _warnings(job: ImportJob) -> str:
    number = 0 if job.is_undo else sum(job.warning_counts.values())
    return f" {count(number, 'warning')}: look at the issues." if number else ""


def _nothing(job: ImportJob) -> str:
    return "Nothing was taken back." if job.is_undo else "Nothing was imported."
