"""Import a file into a dataset, here and now, through the same services as the pages."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, REFUSED, WITH_REJECTS, Result
from core.errors import RowhouseError
from datasets.services import dataset_by_slug
from importer import services
from importer.choices import NAMES
from importer.confirming import why_not_deletable
from importer.gate import HEAD_BYTES, file_kind
from importer.issues import BadOverride
from importer.models import ImportJob, Mode, Policy, State
from importer.rejects import rejected_file
from importer.rules import rules_of
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
            "--mapping",
            metavar="NAME|JSON",
            help='a saved mapping, or {"label of the file": "column", null to skip it, or {"column": …} with more}',
        )
        parser.add_argument("--encoding")
        parser.add_argument("--delimiter")
        parser.add_argument("--sheet", help="which sheet of a workbook; the first one with rows otherwise")
        parser.add_argument("--header-row", type=int, metavar="N", help="0: the file has no header")
        parser.add_argument("--header-rows", type=int, metavar="N", help="how many rows the labels stand in")
        parser.add_argument(
            "--skip-footer", type=int, metavar="N", help="how many rows below the table are none"
        )
        parser.add_argument("--quote", metavar="C", help="the quote, or none")
        parser.add_argument("--escape", metavar="C", help="the escape, a backslash, or none")
        parser.add_argument("--rejects", type=Path, metavar="FILE", help="write the rejected rows there")
        parser.add_argument("--preview", action="store_true", help="stop before anything is written")
        parser.add_argument("--all-or-nothing", action="store_true", help="refuse a file that has a bad row")
        parser.add_argument(
            "--deletes", type=int, metavar="N",
            help="with --mode sync: how many records may be deleted; refused if it would be another number",
        )  # fmt: skip
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        started = monotonic()
        job = self._create(options)
        _work(job, "preview_job_id")
        refusal = None
        if job.state == State.PREVIEW_SUCCEEDED and not options["preview"]:
            refusal = _confirm(job, self._user(options), options["deletes"])
        if options["rejects"] and job.rejected_rows:
            with options["rejects"].open("wb") as file:
                file.writelines(rejected_file(job))
        if error := refusal or _error(job, options["preview"]):
            self.stderr.write(f"error[{error[0]}]: {error[1]}")
        return Result(
            _summary(job, monotonic() - started), _lines(job), _exit_code(job, refusal, options["preview"])
        )

    def _create(self, options: dict[str, Any]) -> ImportJob:
        # It takes a while to load, and while the file is stored the processor has little to do.
        Thread(target=import_module, args=["polars"]).start()
        dataset = dataset_by_slug(options["dataset"])
        try:
            with options["file"].open("rb") as file:
                if options["sheet"] and file_kind(file.read(HEAD_BYTES), options["file"].name) != "xlsx":
                    raise BadArgument("--sheet chooses a sheet of a workbook, and this file is none.")
                return services.create_import(
                    dataset=dataset,
                    file=file,
                    name=options["file"].name,
                    by=self._user(options),
                    mode=options["mode"],
                    policy=Policy.ALL_OR_NOTHING if options["all_or_nothing"] else rules_of(dataset).policy,
                    overrides={name: options[name] for name in NAMES if name in options},
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


def _confirm(job: ImportJob, user: Any, deletes: int | None) -> tuple[str, str] | None:
    # Whoever asks for a sync by command has asked for its deletions too, unless nobody can tell them for sure.
    reason = why_not_deletable(job)
    if deletes is None:
        deletes = 0 if reason else job.deleted_rows
    try:
        services.confirm_import(job=job, by=user, deletes=deletes)
    except services.NotConfirmable as error:
        return error.code, error.message
    job.refresh_from_db()
    _work(job, "merge_job_id")
    if job.state == State.CREATED:  # records changed meanwhile: the new preview is for a person to look at
        _work(job, "preview_job_id")
        return "changed-since-preview", f"{job.notice} Changed: {job.drifted}." if job.drifted else job.notice
    if reason:
        return "not-deleted", f"No record was deleted. {reason}"
    return None


def _mapping(text: str | None) -> dict[str, Any] | str | None:
    """Return a mapping as people write it, or the name of a saved one."""
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return dict(json.loads(text, object_pairs_hook=_once_each))
    except json.JSONDecodeError as error:
        raise BadArgument(f"--mapping is no JSON: {error}.") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON would take the last of two and say nothing.
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if name in dict(pairs[:at]))
        raise BadArgument(f"--mapping says “{twice}” twice. Keep one of the two.")
    return made


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
        "missing": job.missing_rows,
        "deleted": job.deleted_rows,
        "issues": job.issue_counts,
        "warnings": job.warning_counts,
        "doubts": job.head.get("doubts", []),
        "unmapped": job.unmapped_labels,
        "seconds": round(seconds, 3),
    }


def _lines(job: ImportJob) -> list[str]:
    issues = [f"  {code}: {count:,}" for code, count in sorted(job.issue_counts.items())]
    unmapped = [f"  not imported: {', '.join(job.unmapped_labels)}"] if job.unmapped_labels else []
    doubts = [f"  {doubt}" for doubt in job.head.get("doubts", [])]
    return [f"{job}: {outcome(job)}", *issues, *unmapped, *doubts]


def _exit_code(job: ImportJob, refusal: tuple[str, str] | None, is_preview: bool) -> int:
    if (refusal is not None and job.state != State.IMPORT_SUCCEEDED) or job.error_code == BadOverride.code:
        return REFUSED
    wanted = State.PREVIEW_SUCCEEDED if is_preview else State.IMPORT_SUCCEEDED
    if job.state != wanted:
        return FAILED
    return WITH_REJECTS if job.rejected_rows else DONE
