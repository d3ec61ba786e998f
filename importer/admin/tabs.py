"""The lists on the page of an import: what changes, what is wrong, what happened. Pages by key, never by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from datasets.access import visible_columns
from datasets.rows import get_row_model
from importer.addresses import record_address
from importer.changes import changing_columns, page_of_changes
from importer.log import entries_of
from importer.models import ImportIssue, ImportJob, Severity, State

PAGE = 50
MOST_DIGITS = 18  # of a bigint that a page asks for
KINDS = {"new": "+", "changed": "~", "deleted": "-"}
UNDO_WORDS = {"+": "brought back", "~": "restored", "-": "removed"}
FILTERS = ("kind", "code", "column", "severity")


def changes(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    """Return a page of changed records, each with the way to its history."""
    seen = None
    columns = changing_columns(job)
    if not job.target:
        seen = {column.name for column in visible_columns(request.user, job.dataset)}
        columns = tuple(column for column in columns if column.name in seen)
    kind, column = request.GET.get("kind", ""), request.GET.get("column", "")
    column = column if column in {one.name for one in columns} else ""
    found = page_of_changes(
        job,
        op=KINDS.get(kind, ""),
        after=number(request.GET.get("after")),
        size=PAGE + 1,
        column=column,
        seen=seen,
    )
    words = kind_words(job)
    urls = _history_urls(job, [change.record_id for change in found[:PAGE]])
    entries = [(change, words[change.op], urls.get(change.record_id, "")) for change in found[:PAGE]]
    return {
        "changes": entries,
        "kinds": _kinds(job, words),
        "kind": kind if kind in KINDS else "",
        "columns": [(one.name, one.label) for one in columns],
        "column": column,
        "more": _more(request, found[PAGE - 1].at) if len(found) > PAGE else "",
    }


def issues(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    """Return a page of issues, and what they can be filtered by."""
    mine = ImportIssue.objects.filter(job=job)
    asked = {name: request.GET.get(name, "") for name in ("code", "column", "severity")}
    found = mine.filter(**{name: value for name, value in asked.items() if value})
    if last := mine.filter(pk=number(request.GET.get("after"))).first():
        # In the order of the rows: those that only the whole file could tell were found last.
        found = found.filter(row__gte=last.row).exclude(row=last.row, pk__lte=last.pk)
    page = list(found.order_by("row", "pk")[: PAGE + 1])
    columns = mine.exclude(column="").values_list("column").annotate(Count("pk")).order_by("column")
    return {
        "issues": page[:PAGE],
        "codes": [*_counted(job.issue_counts), *_counted(job.warning_counts)],
        "columns": [(label, f"{label} ({kept:,})") for label, kept in columns],
        "severities": Severity.choices if job.warning_counts and job.issue_counts else (),
        "more": _more(request, page[PAGE - 1].pk) if len(page) > PAGE else "",
        **asked,
    }


def log(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    """Return what happened with the import."""
    return {"entries": entries_of(job)}


def kind_words(job: ImportJob) -> dict[str, str]:
    """Return what each kind of change is called."""
    if job.is_undo:
        return UNDO_WORDS
    is_over = job.state != State.PREVIEW_SUCCEEDED
    return {"+": "new", "~": "changed", "-": "deleted" if is_over else "missing from the file"}


def number(text: str | int | None) -> int:
    """Return a number of the address, or 0. Facets ask with the numbers of the choices themselves."""
    text = str(text or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0


def _kinds(job: ImportJob, words: dict[str, str]) -> list[tuple[str, str, int]]:
    counts = {"+": job.created_rows, "~": job.updated_rows, "-": job.deleted_rows}
    return [
        (kind, words[op], counts[op])
        for kind, op in KINDS.items()
        if counts[op] or (op != "-" and not job.is_undo)
    ]


def _counted(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items())


def _history_urls(job: ImportJob, ids: Sequence[int | str | None]) -> dict[int | str | None, str]:
    """Return the way to the history of each record that is there: one that is gone has no page.

    A plain model's records are shown on their own page.
    """
    if job.target:
        return {id_: record_address(job.target, str(id_)) for id_ in ids if id_}
    there = get_row_model(job.dataset)._default_manager.filter(pk__in=[id_ for id_ in ids if id_])
    name = f"admin:datasets_ds{job.dataset_id}_history"
    return {pk: reverse(name, args=[pk]) for pk in there.values_list("pk", flat=True)}


def _more(request: HttpRequest, after: int) -> str:
    kept = {name: request.GET[name] for name in ("tab", *FILTERS) if request.GET.get(name)}
    return "?" + urlencode({**kept, "after": str(after)})
