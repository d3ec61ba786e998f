"""What the pages of an import show, as plain values for the templates."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse

import jobs.services
from datasets import access
from importer import rights, services, undo
from importer.addresses import records_address
from importer.admin import rejects, tabs
from importer.again_file import why_not_repeatable
from importer.confirming import why_not_confirmable, why_not_deletable
from importer.forms import ConfirmForm, CorrectionsForm
from importer.models import REMAPPABLE, RUNNING, UNCONFIRMED, ImportJob, Policy, State
from importer.words import NEXT_AFTER_REJECTS, outcome, plan_button

TONES = {
    State.PREVIEW_FAILED: "danger",
    State.IMPORT_FAILED: "danger",
    State.IMPORT_SUCCEEDED: "success",
    State.PREVIEW_SUCCEEDED: "warning",
    State.CANCELLED: "quiet",
    State.UNDONE: "quiet",
}
MOMENTS = (
    ("asked for", "created_at", "created_by"),
    ("preview began", "preview_started_at", ""),
    ("preview ended", "previewed_at", ""),
    ("confirmed", "confirmed_at", "confirmed_by"),
    ("ended", "ended_at", ""),
    ("undone", "undone_at", ""),
)


def job_context(
    request: HttpRequest, job: ImportJob, confirm_form: ConfirmForm | None = None, *, tab: str = ""
) -> dict[str, Any]:
    """Return what the page of an import shows, with one page of one of its tabs.

    :param confirm_form: one that was sent and refused; else a fresh one.
    """
    may = rights.rights_of(request.user, job)
    is_waiting = job.state == State.PREVIEW_SUCCEEDED
    offered = _tabs(job, may)
    is_kept = not rights.may_see_contents(request.user, job)
    if is_kept:
        offered = [("log", "Log")]
    tab = tab or request.GET.get("tab", "")
    tab = tab if tab in dict(offered) else ("log" if is_kept else _first_tab(job, may))
    return {
        "job": job,
        # The sentence of a failure may name columns.
        "sentence": job.get_state_display() if is_kept and job.error else outcome(job),
        "is_kept": is_kept,
        "tone": TONES.get(State(job.state), "info"),
        "moments": _moments(job),
        "figures": _figures(job),
        "may": {right: right in may for right in access.RIGHTS},
        "may_remap": "import" in may
        and not job.is_undo
        and job.state in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED),
        "may_cancel": "import" in may and job.state in (*REMAPPABLE, State.IMPORT_IN_PROGRESS),
        "may_undo": _may_undo(request.user, job),
        "may_repeat": "import" in may and why_not_repeatable(job) is None,
        "earlier": services.earlier_import(job) if is_waiting and not job.is_undo else None,
        "next_after_rejects": NEXT_AFTER_REJECTS,
        "records_url": _records_url(job) if "view" in may else "",
        "tabs": offered,
        "tab": tab,
        **_undoing(job),
        **(_decision(request, job, confirm_form) if is_waiting and "import" in may else {}),
        **progress_context(job),
        **_tab(request, job, tab, may),
    }


def _tab(request: HttpRequest, job: ImportJob, tab: str, may: frozenset[str]) -> dict[str, Any]:
    match tab:
        case "changes" if "view" in may:
            return tabs.changes(request, job)
        case "issues":
            # The value of an undo's issue is a record's key, that of any other a cell of the file.
            return tabs.issues(request, job) | {"shows_values": ("view" if job.is_undo else "import") in may}
        case "rejects":
            return rejects.context(request, job) | {"corrections_form": CorrectionsForm()}
        case "log":
            return tabs.log(request, job)
    return {}


def _tabs(job: ImportJob, may: frozenset[str]) -> list[tuple[str, str]]:
    issues = job.issues_in_all + sum(job.warning_counts.values())
    found = [("changes", "Changes"), ("issues", f"Issues ({issues:,})")]
    # The rejected rows hold all that was uploaded, also what never entered the dataset.
    if job.rejected_rows and "import" in may:
        found.append(("rejects", f"Rejected rows ({job.rejected_rows:,})"))
    return [*found, ("log", "Log"), *([] if job.is_undo else [("files", "Files")])]


def _first_tab(job: ImportJob, may: frozenset[str]) -> str:
    return "issues" if job.issue_counts and not (job.changes_in_all and "view" in may) else "changes"


def _moments(job: ImportJob) -> list[tuple[str, Any, str]]:
    people = {person: str(getattr(job, person) or "an operator") for person in ("created_by", "confirmed_by")}
    return [
        (word, at, people.get(person, "")) for word, moment, person in MOMENTS if (at := getattr(job, moment))
    ]


def _records_url(job: ImportJob) -> str:
    return (
        records_address(job.target)
        if job.target
        else reverse(f"admin:datasets_ds{job.dataset_id}_changelist")
    )


def _may_undo(user: Any, job: ImportJob) -> bool:
    if job.target:
        return False  # nobody keeps what a plain model's records were before
    try:
        undo.require_undo(user, job)
        undo.require_undoable(job)
    except (PermissionDenied, undo.NotUndoable):
        return False
    return True


def _undoing(job: ImportJob) -> dict[str, Any]:
    """Return the undo that took this import back, or waits for its confirmation."""
    undos = ImportJob.objects.filter(undoes=job).order_by("-pk")
    return {
        "undone_by": undos.filter(state=State.IMPORT_SUCCEEDED).first()
        if job.state == State.UNDONE
        else None,
        "open_undo": undos.filter(state__in=(*UNCONFIRMED, State.IMPORT_IN_PROGRESS)).first(),
    }


def _decision(request: HttpRequest, job: ImportJob, form: ConfirmForm | None) -> dict[str, Any]:
    """Return what a person confirms, or what stands against it."""
    lacks = rights.missing_right(request.user, job)
    return {
        "lacks": lacks,
        "blocked": why_not_confirmable(job, policy=Policy.GOOD_ROWS, deletes=0),
        "undeletable": why_not_deletable(job),
        "button": plan_button(job),
        "confirm_form": form or ConfirmForm(initial={"seen": job.previews, "policy": job.policy}, job=job),
    }


def progress_context(job: ImportJob) -> dict[str, Any]:
    """Return how far the work is; one query for the background job. `percent` is 0 to 100."""
    if job.state not in RUNNING or not job.current_job_id:
        return {"is_running": False}
    try:
        status = jobs.services.status(int(job.current_job_id))
    except jobs.services.JobNotFound:
        return {"is_running": True}
    percent = min(99, status.processed * 100 // status.total) if status.total else None
    return {
        "is_running": True,
        "state_words": job.get_state_display(),
        "processed": f"{status.processed:,}" if status.processed else "",
        "total": f"{status.total:,}" if status.total else "",
        "percent": percent,
        "rows_per_second": f"{status.rows_per_second:,.0f}" if status.rows_per_second else "",
        "seconds_left": round(status.seconds_left) if status.seconds_left is not None else None,
        "is_cancelling": status.cancel_requested,
        "is_paused": status.is_paused and not status.cancel_requested,
    }


def _figures(job: ImportJob) -> list[tuple[str, str, str]]:
    """Return (word, number, what it counts): always the chief ones, others where there are any."""
    is_over = job.state in (State.IMPORT_SUCCEEDED, State.UNDONE)
    verb = "records {}" if is_over else "would be {}"
    if job.is_undo:
        always = [
            ("removed", job.deleted_rows, "had been created"),
            ("restored", job.updated_rows, "get their former values"),
            ("brought back", job.created_rows, "had been deleted"),
            ("kept", job.kept_rows, "stay as they are"),
        ]
        return [(word, f"{number:,}", note) for word, number, note in always]
    stays = job.missing_rows - job.deleted_rows
    figures = [
        ("new", job.created_rows, verb.format("created")),
        ("changed", job.updated_rows, verb.format("changed")),
        ("unchanged", job.unchanged_rows, "say what the records say"),
        ("rejected", job.rejected_rows, "rows with issues"),
    ]
    perhaps = [
        ("deleted", job.deleted_rows, f"not in the file; {verb.format('deleted')}"),
        ("missing", stays, "records that the file does not have; they stay"),
        ("blank", job.blank_rows, "blank rows, left out"),
        ("warnings", sum(job.warning_counts.values()), "rows taken as they are"),
    ]
    return [
        (word, f"{number:,}", note)
        for word, number, note in (*figures, *(one for one in perhaps if one[1] > 0))
    ]
