"""What the pages of an import show, as plain values for the templates."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

import jobs.services
from datasets import access
from importer import rights, services
from importer.changes import page_of_changes
from importer.dialect import DELIMITERS
from importer.forms import ConfirmForm, MatchForm
from importer.models import REMAPPABLE, RUNNING, ImportIssue, ImportJob, State
from importer.words import NEXT_AFTER_REJECTS, outcome

PAGE = 50
TONES = {
    State.PREVIEW_FAILED: "danger",
    State.IMPORT_FAILED: "danger",
    State.IMPORT_SUCCEEDED: "success",
    State.PREVIEW_SUCCEEDED: "warning",
}
MOMENTS = (
    ("uploaded", "created_at"),
    ("preview began", "preview_started_at"),
    ("preview ended", "previewed_at"),
    ("confirmed", "confirmed_at"),
    ("ended", "ended_at"),
)


def job_context(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    """Return what the page of an import shows, with one page of changes or of issues."""
    may = access.rights_of(request.user, job.dataset)
    tab = request.GET.get("tab") or ("issues" if job.issue_counts and not _has_changes(job) else "changes")
    context = {
        "job": job,
        "sentence": outcome(job),
        "tone": TONES.get(State(job.state), "info"),
        "moments": [(word, at) for word, name in MOMENTS if (at := getattr(job, name))],
        "figures": _figures(job),
        "plan": _plan_words(job),
        "tab": tab,
        "may_import": "import" in may,
        "may_view": "view" in may,
        "may_remap": "import" in may and job.state in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED),
        "may_cancel": "import" in may and job.state in (*REMAPPABLE, State.IMPORT_IN_PROGRESS),
        "lacks": rights.missing_right(request.user, job) if job.state == State.PREVIEW_SUCCEEDED else None,
        "earlier": services.earlier_import(job) if job.state == State.PREVIEW_SUCCEEDED else None,
        "next_after_rejects": NEXT_AFTER_REJECTS,
        "confirm_form": ConfirmForm(initial={"seen": job.previews, "policy": job.policy}),
        "records_url": reverse(f"admin:datasets_ds{job.dataset_id}_changelist") if "view" in may else "",
        **progress_context(job),
    }
    if tab == "issues":
        return context | _issues(request, job)
    return context | (_changes(request, job) if "view" in may else {})


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


def mapping_context(job: ImportJob, form: MatchForm) -> dict[str, Any]:
    """Return the labels with their samples, guesses and selects; unmapped required columns first."""
    spec = job.dataset.spec()
    titles = {column.name: column.label for column in spec.columns}
    used = {match["column"] for match in job.mapping if match["column"]}
    samples = job.head.get("samples", [])
    labels = [
        {
            "label": match["label"],
            "samples": [row[match["position"]] for row in samples[:3] if match["position"] < len(row)],
            "field": form[f"column_{match['position']}"],
            "reason": match["reason"],
            "score": match["score"],
            "guesses": [titles[name] for name in match.get("candidates", ()) if name in titles],
            "is_skipped": not match["column"],
        }
        for match in job.mapping
    ]
    missing = [column.label for column in spec.columns if column.is_required and column.name not in used]
    return {
        "labels": labels,
        "missing": missing,
        "free": [
            column.label for column in spec.columns if column.name not in used and not column.is_required
        ],
        "doubts": job.head.get("doubts", []),
        "notes": job.sheet.get("notes", []),
        "dialect": job.dialect,
        "delimiter": DELIMITERS.get(str(job.dialect.get("delimiter")), job.dialect.get("delimiter")),
        "head_rows": samples,
        "head_labels": job.head.get("labels", []),
        "is_locked": job.state not in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED),
    }


def _has_changes(job: ImportJob) -> bool:
    return bool(job.created_rows or job.updated_rows)


def _figures(job: ImportJob) -> list[tuple[str, str, str]]:
    verb = "records {}" if job.state == State.IMPORT_SUCCEEDED else "would be {}"
    return [
        ("new", f"{job.created_rows:,}", verb.format("created")),
        ("changed", f"{job.updated_rows:,}", verb.format("changed")),
        ("unchanged", f"{job.unchanged_rows:,}", "say what the records say"),
        ("rejected", f"{job.rejected_rows:,}", "rows with issues"),
    ]


def _plan_words(job: ImportJob) -> str:
    if not _has_changes(job):
        return "Finish: nothing to change"
    return f"Import: create {job.created_rows:,}, change {job.updated_rows:,}"


def _changes(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    op = {"new": "+", "changed": "~"}.get(request.GET.get("kind", ""), "")
    changes = page_of_changes(job, op=op, after=_number(request.GET.get("after")), size=PAGE + 1)
    entries = [(change, _history_url(job, change.record_id)) for change in changes[:PAGE]]
    more = _query(request, after=changes[PAGE - 1].at) if len(changes) > PAGE else ""
    return {"changes": entries, "more": more, "kind": request.GET.get("kind", "")}


def _history_url(job: ImportJob, record_id: int | None) -> str:
    return reverse(f"admin:datasets_ds{job.dataset_id}_history", args=[record_id]) if record_id else ""


def _issues(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    code = request.GET.get("code", "")
    found = ImportIssue.objects.filter(job=job, pk__gt=_number(request.GET.get("after"))).order_by("pk")
    if code:
        found = found.filter(code=code)
    issues = list(found[: PAGE + 1])
    more = _query(request, after=issues[PAGE - 1].pk) if len(issues) > PAGE else ""
    return {"issues": issues[:PAGE], "more": more, "code": code, "codes": sorted(job.issue_counts.items())}


def _query(request: HttpRequest, **changes: Any) -> str:
    return "?" + urlencode({**request.GET.dict(), **changes})


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
