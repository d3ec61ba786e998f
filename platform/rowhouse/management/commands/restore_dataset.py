"""Restore a dataset from an export or as of a time, here and now, through the same services as the page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, REFUSED, WITH_REJECTS, NotAllowed, Result
from datasets.services import dataset_by_slug
from exporter.models import ExportFile
from importer.models import ImportJob, State
from importer.services import NotConfirmable, confirm_import
from importer.words import outcome
from jobs.foreground import progress_shown
from rowhouse.restoring import NotRestorable, request_restore


class Command(TenantCommand):
    help = (
        "Make a dataset what an export file says, or what it was at a time. Stops at the preview unless --confirm"
        " is given."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", required=True, metavar="SLUG")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--export", metavar="KEY|ID", help="a file of `list_exports`; with those it goes on from"
        )
        source.add_argument("--as-of", metavar="TIME", help="as 2026-08-26T14:00Z; without a zone it is UTC")
        parser.add_argument("--confirm", action="store_true", help="write it, deletions too")
        parser.add_argument(
            "--deletes", type=int, metavar="N",
            help="how many records may be deleted; refused if it would be another number",
        )  # fmt: skip
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        dataset = dataset_by_slug(options["dataset"])
        by = self.person(options["user"]) if options["user"] else None
        chosen: dict[str, Any] = (
            {"file": _file(options["export"])} if options["export"] else {"at": _time(options["as_of"])}
        )
        job = request_restore(dataset=dataset, by=by, **chosen)
        _work(job, "preview_job_id")  # its file
        if job.state == State.CREATED:
            _work(job, "preview_job_id")
        refusal = None
        if job.state == State.PREVIEW_SUCCEEDED and options["confirm"]:
            refusal = _confirmed(job, by, options["deletes"])
        wanted = State.IMPORT_SUCCEEDED if options["confirm"] else State.PREVIEW_SUCCEEDED
        if refusal:
            self.stderr.write(f"error[{refusal[0]}]: {refusal[1]}")
        elif job.state != wanted:
            self.stderr.write(f"error[{job.error_code or 'not-restored'}]: {job.error or outcome(job)}")
        exit_code = REFUSED if refusal else DONE if job.state == wanted else FAILED
        if exit_code == DONE and job.rejected_rows:
            exit_code = WITH_REJECTS
        return Result(_summary(job), [f"{job}: {outcome(job)}", job.notice], exit_code)


def _file(text: str) -> ExportFile:
    found = ExportFile.objects.filter(
        Q(key=text) | (Q(pk=int(text)) if text.isdecimal() else Q(pk=None))
    ).first()
    if found is None:
        raise NotRestorable(f"There is no export {text!r}. `rowhouse list_exports` shows keys and numbers.")
    return found


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise NotAllowed(f"{text!r} is no time; write it as 2026-08-26T14:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _work(job: ImportJob, kind: str) -> None:
    with progress_shown() as tell:
        jobs.services.run_until_done(int(getattr(job, kind)), on_progress=tell)
    job.refresh_from_db()


def _confirmed(job: ImportJob, by: Any, deletes: int | None) -> tuple[str, str] | None:
    # Whoever restores by command has asked for its deletions too.
    try:
        confirm_import(job=job, by=by, deletes=job.deleted_rows if deletes is None else deletes)
    except NotConfirmable as error:
        return error.code, error.message
    job.refresh_from_db()
    _work(job, "merge_job_id")
    if job.state == State.CREATED:
        return "changed-since-preview", f"{job.notice} Restore again."
    return None


def _summary(job: ImportJob) -> dict[str, Any]:
    return {
        "job": job.pk,
        "dataset": job.dataset.slug,
        "state": job.state,
        "created": job.created_rows,
        "updated": job.updated_rows,
        "unchanged": job.unchanged_rows,
        "deleted": job.deleted_rows,
        "rejected": job.rejected_rows,
        "notice": job.notice,
        "error_code": job.error_code,
        "error": job.error,
    }
