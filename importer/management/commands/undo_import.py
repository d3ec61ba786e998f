"""Undo an import, here and now, through the same services as the pages."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, REFUSED, WITH_REJECTS, Result
from core.errors import RowhouseError
from core.words import count
from importer import services
from importer.models import ImportJob, State
from importer.undo import undo_import
from jobs.foreground import progress_shown

SHOWN_KEYS = 100


class UnknownImport(RowhouseError):
    """No import of the tenant has this number."""

    code = "unknown-import"
    status = 404


class NotPermitted(RowhouseError):
    """Whoever `--as` names may not do it."""

    code = "not-permitted"


class Command(TenantCommand):
    help = "Take back what an import did: preview it, then do it. An undo can be undone in the same way."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", type=int, metavar="JOB", help="the import's number")
        parser.add_argument("--preview", action="store_true", help="stop before anything is written")
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        started = monotonic()
        user = self.person(options["user"]) if options["user"] else None
        undone = _import(options["job"])
        try:
            made = undo_import(job=undone, by=user)
            _work(made)
            refusal = None
            if made.state == State.PREVIEW_SUCCEEDED and not options["preview"]:
                refusal = _confirm(made, user)
        except PermissionDenied as error:
            raise NotPermitted(str(error)) from error
        if said := refusal or _error(made, options["preview"]):
            self.stderr.write(f"error[{said[0]}]: {said[1]}")
        summary = _summary(made, monotonic() - started)
        return Result(summary, _lines(made), _exit_code(made, refusal, options["preview"]))


def _import(pk: int) -> ImportJob:
    found = ImportJob.objects.filter(pk=pk).first()
    if found is None:
        raise UnknownImport(f"There is no import {pk} here. `rowhouse list_imports` shows them.")
    return found


def _work(job: ImportJob) -> None:
    """Run the background work it waits for to its end, with progress for a person who watches."""
    job.refresh_from_db()
    with progress_shown() as tell:
        jobs.services.run_until_done(int(job.current_job_id), on_progress=tell)
    job.refresh_from_db()


def _confirm(job: ImportJob, user: Any) -> tuple[str, str] | None:
    try:
        services.confirm_import(job=job, by=user)
    except services.NotConfirmable as error:
        return error.code, error.message
    _work(job)
    if job.state == State.CREATED:  # records changed meanwhile: the new preview is for a person to look at
        _work(job)
        return "changed-since-preview", job.notice
    return None


def _error(job: ImportJob, is_preview: bool) -> tuple[str, str] | None:
    if job.state in (State.PREVIEW_FAILED, State.IMPORT_FAILED):
        return job.error_code, job.error
    if not is_preview and job.state != State.IMPORT_SUCCEEDED:
        return "not-undone", f"The undo is {job.get_state_display()}."
    return None


def _summary(job: ImportJob, seconds: float) -> dict[str, Any]:
    keys = job.issues.filter(severity="warning").order_by("pk").values_list("value", flat=True)
    return {
        "job": job.pk,
        "undoes": job.undoes_id,
        "state": job.state,
        "removed": job.deleted_rows,
        "restored": job.updated_rows,
        "brought_back": job.created_rows,
        "kept": job.kept_rows,
        "kept_keys": list(keys[:SHOWN_KEYS]),
        "seconds": round(seconds, 3),
    }


def _lines(job: ImportJob) -> list[str]:
    if job.state not in (State.PREVIEW_SUCCEEDED, State.IMPORT_SUCCEEDED):
        return [f"{job}: {job.get_state_display()}. {job.error or job.notice}".rstrip()]
    done = job.state == State.IMPORT_SUCCEEDED
    what = (
        f"{count(job.deleted_rows, 'record')} removed, {job.updated_rows:,} restored,"
        f" {job.created_rows:,} brought back, {job.kept_rows:,} kept."
    )
    kept = [f"  {code}: {number:,}" for code, number in sorted(job.warning_counts.items())]
    return [f"{job}: {'' if done else 'would be '}{what}", *kept]


def _exit_code(job: ImportJob, refusal: tuple[str, str] | None, is_preview: bool) -> int:
    if refusal is not None:
        return REFUSED
    wanted = State.PREVIEW_SUCCEEDED if is_preview else State.IMPORT_SUCCEEDED
    if job.state != wanted:
        return REFUSED if job.error_code in ("not-undoable", "history-pruned") else FAILED
    return WITH_REJECTS if job.kept_rows else DONE
