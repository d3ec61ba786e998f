"""Import a file into a dataset, here and now, through the same services as the pages."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, REFUSED, WITH_REJECTS, Result
from core.errors import RowhouseError
from datasets.services import dataset_by_slug
from importer import services
from importer.models import ImportJob, Mode, Policy, State
from importer.rejects import rejected_file
from importer.words import outcome
from jobs.foreground import progress_shown


class BadArgument(RowhouseError):
    """An option of the command cannot be used as given."""

    code = "usage"
    status = 422


class Command(TenantCommand):
    help = "Import a CSV or XLSX file into a dataset: preview it, then merge it."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dataset", required=True, metavar="SLUG")
        parser.add_argument("--mode", choices=Mode.values, default=Mode.UPSERT)
        parser.add_argument(
            "--mapping", metavar="JSON", help='{"label of the file": "column" or null to skip it}'
        )
        parser.add_argument("--encoding")
        parser.add_argument("--delimiter")
        parser.add_argument("--sheet", help="which sheet of a workbook; the first one with rows otherwise")
        parser.add_argument("--header-row", type=int, metavar="N", help="0: the file has no header")
        parser.add_argument("--rejects", type=Path, metavar="FILE", help="write the rejected rows there")
        parser.add_argument("--preview", action="store_true", help="stop before anything is written")
        parser.add_argument("--all-or-nothing", action="store_true", help="refuse a file that has a bad row")
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        started = monotonic()
        job = self._create(options)
        _work(job, "preview_job_id")
        refusal = None
        if job.state == State.PREVIEW_SUCCEEDED and not options["preview"]:
            refusal = _confirm(job, self._user(options))
        if options["rejects"] and job.rejected_rows:
            with options["rejects"].open("wb") as file:
                file.writelines(rejected_file(job))
        if error := refusal or _error(job, options["preview"]):
            self.stderr.write(f"error[{error[0]}]: {error[1]}")
        return Result(
            _summary(job, monotonic() - started), _lines(job), _exit_code(job, refusal, options["preview"])
        )

    def _create(self, options: dict[str, Any]) -> ImportJob:
        dataset = dataset_by_slug(options["dataset"])
        names = ("encoding", "delimiter", "sheet", "header_row")
        try:
            with options["file"].open("rb") as file:
                return services.create_import(
                    dataset=dataset,
                    file=file,
                    name=options["file"].name,
                    by=self._user(options),
                    mode=options["mode"],
                    policy=Policy.ALL_OR_NOTHING if options["all_or_nothing"] else Policy.GOOD_ROWS,
                    overrides={name: options[name] for name in names},
                    columns=_mapping(options["mapping"]),
                )
        except OSError as error:
            raise BadArgument(f"{options['file']} cannot be read: {error.strerror}.") from error

    def _user(self, options: dict[str, Any]) -> Any:
        return self.person(options["user"]) if options["user"] else None


def _work(job: ImportJob, kind: str) -> None:
    """Run the job's background work here to its end, with progress for a person who watches."""
    with progress_shown() as tell:
        jobs.services.run_until_done(int(getattr(job, kind)), on_progress=tell)
    job.refresh_from_db()


def _confirm(job: ImportJob, user: Any) -> tuple[str, str] | None:
    try:
        services.confirm_import(job=job, by=user)
    except services.NotConfirmable as error:
        return error.code, error.message
    job.refresh_from_db()
    _work(job, "merge_job_id")
    if job.state == State.CREATED:  # records changed meanwhile: the new preview is for a person to look at
        _work(job, "preview_job_id")
        return "changed-since-preview", job.notice
    return None


def _mapping(text: str | None) -> dict[str, str | None] | None:
    if text is None:
        return None
    try:
        mapping = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadArgument(f"--mapping is no JSON: {error}.") from error
    if not isinstance(mapping, dict) or not all(
        value is None or isinstance(value, str) for value in mapping.values()
    ):
        raise BadArgument('--mapping is an object like {"label of the file": "column"}.')
    return mapping


def _error(job: ImportJob, is_preview: bool) -> tuple[str, str] | None:
    if job.state in (State.PREVIEW_FAILED, State.IMPORT_FAILED):
        return job.error_code, job.error
    if not is_preview and job.state != State.IMPORT_SUCCEEDED:
        return "not-imported", f"The import is {job.get_state_display()}."
    return None


def _summary(job: ImportJob, seconds: float) -> dict[str, Any]:
    return {
        "job": job.pk,
        "state": job.state,
        "created": job.created_rows,
        "updated": job.updated_rows,
        "unchanged": job.unchanged_rows,
        "rejected": job.rejected_rows,
        "missing": 0,  # records the file does not have: counted by the mode that deletes them
        "deleted": 0,
        "issues": job.issue_counts,
        "seconds": round(seconds, 3),
    }


def _lines(job: ImportJob) -> list[str]:
    issues = [f"  {code}: {count:,}" for code, count in sorted(job.issue_counts.items())]
    unmapped = [f"  not imported: {', '.join(job.unmapped_labels)}"] if job.unmapped_labels else []
    doubts = [f"  {doubt}" for doubt in job.head.get("doubts", [])]
    return [f"{job}: {outcome(job)}", *issues, *unmapped, *doubts]


def _exit_code(job: ImportJob, refusal: tuple[str, str] | None, is_preview: bool) -> int:
    if refusal is not None:
        return REFUSED
    wanted = State.PREVIEW_SUCCEEDED if is_preview else State.IMPORT_SUCCEEDED
    if job.state != wanted:
        return FAILED
    return WITH_REJECTS if job.rejected_rows else DONE
